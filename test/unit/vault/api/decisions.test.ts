import assert from "node:assert/strict";
import type { PolicyVersionView, RecordedDecision } from "../../../../src/domain/api.ts";
import type { Answer } from "../../../../src/vault/api/routes.ts";
import {
  ADDRESSES,
  REQUESTS,
  accountOf,
  acmePolicy,
  newKey,
  testVault,
  transferBody,
  type TestVault,
} from "../../../support/vault.ts";

// Goal: officers and auditors read what was decided and on which facts, and which policy stood when, in bounded pages.
// Method: a vault with a few requests, one of each outcome; pages of every size make the same list.

const HOUR = 3_600_000;
const BOOK = { treasury: { address: accountOf(ADDRESSES[0]!) } };
const RULES = [
  { id: "small", allow: ["transfer"], to: ["treasury"], amount: { ETH: { max: "10" } } },
  {
    id: "large",
    allow: ["transfer"],
    to: ["treasury"],
    amount: { ETH: { over: "10", max: "50" } },
    approvals: { people: "1" },
  },
];
const POLICY = { addressBook: BOOK, rules: RULES, groups: { people: ["alice"] } };

type Page = { readonly decisions: RecordedDecision[]; readonly cursor: string | null };

describe("vault/api/decisions", () => {
  let vault: TestVault;
  before(async () => {
    vault = await testVault({ policy: POLICY });
    for (const value of [1, 20, 99, 2]) {
      await vault.call("payouts", "POST", REQUESTS, transferBody(value), newKey());
      vault.clock.now += HOUR;
    }
    const garbage = { key: "hot-1", payload: { type: "evm-transaction", unsigned: "0x02c3" } };
    await vault.call("payouts", "POST", REQUESTS, garbage, newKey());
  });
  after(() => vault.close());

  const get = (query: string, path = "decisions"): Promise<Answer> =>
    vault.call("officer", "GET", `/v1/clients/acme/${path}${query}`);
  const page = async (query: string): Promise<Page> => {
    const { status, body } = await get(query);
    assert.equal(status, 200, JSON.stringify(body));
    return body as Page;
  };
  async function walk(limit: number): Promise<string[]> {
    const ids: string[] = [];
    for (let cursor: string | null = ""; cursor !== null;) {
      const found: Page = await page(`?limit=${limit}${cursor && `&cursor=${cursor}`}`);
      assert.ok(found.decisions.length <= limit);
      ids.push(...found.decisions.map(({ id }) => id));
      cursor = found.cursor;
    }
    return ids;
  }

  it("each outcome with the facts that led to it; what could not be decoded is not in it", async () => {
    const { decisions, cursor } = await page("");
    assert.equal(cursor, null);
    assert.deepEqual(
      decisions.map(({ outcome, reasons }) => [outcome, reasons[0]]),
      [
        ["allow", "rule-allowed"],
        ["deny", "no-rule-allows"],
        ["needs-approval", "needs-approvals"],
        ["allow", "rule-allowed"],
      ],
    );
    const first = decisions.at(-1)!;
    const [own] = vault.key.accounts;
    assert.deepEqual(first.owners, { [own!]: "acme" });
    assert.deepEqual(Object.keys(first.heldSince), [accountOf(ADDRESSES[0]!)]);
    assert.deepEqual([first.caller, first.key, first.keyPurpose], ["payouts", "hot-1", "transactions"]);
    assert.ok(!JSON.stringify(first).includes("signature"), "no signature leaves with it");
  });
  it("pages of every size make the same list", async () => {
    const all = await walk(200);
    assert.equal(all.length, 4);
    for (const limit of [1, 2, 3, 4]) assert.deepEqual(await walk(limit), all);
  });
  it("since: what was submitted from then on", async () => {
    const since = new Date(vault.clock.now - 2 * HOUR).toISOString();
    assert.deepEqual((await page(`?since=${since}`)).decisions.length, 2);
    assert.deepEqual(await page(`?since=${since}&limit=1`).then(({ cursor }) => cursor === null), false);
  });
  for (const query of ["?limit=0", "?limit=201", "?limit=x", "?since=yesterday"]) {
    it(`${query} is refused`, async () => {
      const { status, body } = await get(query);
      assert.deepEqual([status, (body as { code: string }).code], [400, "invalid-parameter"]);
    });
  }
  it("a service of the client reads its own requests, not these", async () =>
    assert.equal((await vault.call("payouts", "GET", "/v1/clients/acme/decisions")).status, 403));

  it("versions: newest first, each with its officers, in pages", async () => {
    for (const version of ["2", "5"])
      await vault.apply("acme", { ...acmePolicy, ...POLICY, callers: vault.clientCallers, version });
    type Versions = { versions: PolicyVersionView[]; cursor: number | null };
    const all = (await get("", "policy/versions")).body as Versions;
    assert.deepEqual(
      all.versions.map(({ version, active, signatures }) => [version, active, signatures[0]?.person]),
      [
        [5, true, "officer"],
        [2, false, "officer"],
        [1, false, "officer"],
      ],
    );
    assert.equal(all.cursor, null);
    const first = (await get("?limit=2", "policy/versions")).body as Versions;
    assert.deepEqual([first.versions.length, first.cursor], [2, 2]);
    const second = (await get("?limit=2&cursor=2", "policy/versions")).body as Versions;
    assert.deepEqual([second.versions.map(({ version }) => version), second.cursor], [[1], null]);
  });
});
