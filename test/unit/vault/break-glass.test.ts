import assert from "node:assert/strict";
import type { Report } from "../../../src/cli/log/verify.ts";
import type { ApprovalView, SigningRequestView } from "../../../src/domain/api.ts";
import type { Answer } from "../../../src/vault/api/routes.ts";
import { checkpointsOf, exported, verified } from "../../support/exported-log.ts";
import { checkLog, logOf } from "../../support/log-check.ts";
import { edPerson, signedBy, type Person } from "../../support/people.ts";
import {
  accountOf,
  acmePolicy,
  ADDRESSES,
  housePolicy,
  newKey,
  REQUESTS,
  testVault,
  transferBody,
  type TestVault,
} from "../../support/vault.ts";

// Goal: breaking the glass is loud at every step, needs its people and its delay, and goes round nothing.
// Method: a real vault, whose log an auditor checks: as it is, and with the alarm taken out or told otherwise.

const MINUTE = 60_000;
const EVACUATION = ADDRESSES[1]!;

describe("breaking the glass", () => {
  let vault: TestVault;
  const [ann, ben, tia, tom, una] = (["ann", "ben", "tia", "tom", "una"] as const).map(edPerson) as [
    Person,
    Person,
    Person,
    Person,
    Person,
  ];

  const policy = (changed: object = {}, glass: object = {}) => ({
    ...acmePolicy,
    version: "2",
    callers: {
      ...vault.clientCallers,
      ...Object.fromEntries(
        [ann, ben, tia, tom, una].map(({ name, key }) => [name, { role: "approver", keys: [key] }]),
      ),
    },
    groups: { officers: ["ann", "ben"], trustees: ["tia", "tom", "una"] },
    addressBook: { payee: { address: accountOf(ADDRESSES[0]!) }, elsewhere: { address: accountOf(EVACUATION) } },
    rules: [
      { id: "daily", allow: ["transfer"], to: ["payee"], amount: { ETH: "any" } },
      {
        id: "evacuate",
        breakGlass: "true",
        allow: ["transfer"],
        to: ["elsewhere"],
        amount: { ETH: "any" },
        approvals: { trustees: "2", expireAfter: "4h" },
        delay: "30m",
        ...glass,
      },
    ],
    ...changed,
  });

  beforeEach(async () => {
    vault = await testVault();
    await vault.apply("acme", policy());
  });
  afterEach(() => vault.close());

  const ask = (to = EVACUATION, key = "out", value = 5000) =>
    vault.call("payouts", "POST", REQUESTS, transferBody(value, { to }), key);
  const viewOf = ({ body }: Answer) => body as SigningRequestView;
  const glassOf = (view: SigningRequestView) => (view.decision as { breakGlass?: string[] } | undefined)?.breakGlass;
  const decide = async (id: string, person: Person, verdict: "approve" | "reject" = "approve") => {
    const view = (await vault.call("alice", "GET", `${REQUESTS}/${id}/approvals`)).body as ApprovalView;
    const where = `${REQUESTS}/${id}/${verdict === "approve" ? "approvals" : "rejections"}`;
    return vault.call("alice", "POST", where, signedBy(person, view, { verdict }), newKey());
  };
  const leaves = async () => checkLog(await logOf(vault.store)).filter(({ opening }) => opening["request"]);
  const types = async () => (await leaves()).map(({ opening }) => opening.type);
  const audit = async (change: (lines: string[]) => string[] = (lines) => lines): Promise<Report> => {
    await (await checkpointsOf(vault)).round();
    return verified(change(await exported(vault)));
  };

  async function broken(): Promise<void> {
    const { id } = viewOf(await ask());
    await decide(id, tia);
    await decide(id, tom);
    vault.clock.now += 30 * MINUTE;
    assert.equal(viewOf(await ask()).state, "signed");
  }

  it("each step has a leaf of its own, and decision, view and question say it", async () => {
    const asked = viewOf(await ask());
    assert.deepEqual([asked.state, glassOf(asked)], ["pending", ["evacuate"]]);
    const { waiting } = (await vault.call("alice", "GET", `${REQUESTS}/${asked.id}/approvals`)).body as ApprovalView;
    assert.deepEqual(waiting?.breakGlass, ["evacuate"]);
    await broken();
    assert.deepEqual(await types(), [
      ...["pending", "break-glass", "approved", "break-glass", "approved", "break-glass"],
      ...["authorized", "break-glass", "signed"],
    ]);
    const told = (await leaves()).filter(({ opening }) => opening.type === "break-glass");
    for (const { opening, index } of told) {
      assert.deepEqual([opening["rules"], opening["caller"], opening["key"]], [["evacuate"], "payouts", "hot-1"]);
      assert.equal(opening["leaf"], index - 1);
    }
    assert.deepEqual((await audit()).findings, []);
  });

  it("what is no emergency is quiet", async () => {
    assert.deepEqual([viewOf(await ask(ADDRESSES[0])).state, await types()], ["signed", ["authorized", "signed"]]);
  });

  it("a vault that starts anew goes on with it, and a fresh nonce is the next one", async () => {
    const { id } = viewOf(await ask());
    await decide(id, tia);
    await vault.gateway.directory.load();
    await vault.restarted();
    await decide(id, tom);
    vault.clock.now += 30 * MINUTE;
    await vault.restarted();
    assert.equal(viewOf(await ask()).state, "signed");
    assert.equal(viewOf(await ask(ADDRESSES[0], "after")).state, "signed");
    assert.deepEqual(vault.faults, []);
  });

  it("nobody else's approval counts, and not before the delay", async () => {
    const { id } = viewOf(await ask());
    assert.equal(((await decide(id, ann)).body as { code: string }).code, "approval-not-asked");
    await decide(id, tia);
    assert.equal(viewOf(await ask()).state, "pending");
    await decide(id, una);
    vault.clock.now += 30 * MINUTE - 1;
    assert.equal(viewOf(await ask()).state, "pending");
    vault.clock.now += 1;
    assert.equal(viewOf(await ask()).state, "signed");
  });

  it("whoever hears the alarm ends it: any approver by a rejection, any person by a freeze", async () => {
    const { id } = viewOf(await ask());
    assert.equal(viewOf(await decide(id, ann, "reject")).state, "rejected");
    const second = viewOf(await ask(EVACUATION, "again"));
    await decide(second.id, tia);
    await decide(second.id, tom);
    vault.clock.now += 30 * MINUTE;
    await vault.call("alice", "POST", "/v1/clients/acme/freeze", {}, newKey());
    const refused = await ask(EVACUATION, "again");
    assert.deepEqual([refused.status, (refused.body as { code: string }).code], [409, "client-frozen"]);
    assert.ok(!(await types()).includes("authorized"));
  });

  const walls: Record<string, [reason: string, () => Promise<unknown>]> = {
    "a deny rule of the client": [
      "rule-denied",
      () =>
        vault.apply("acme", {
          ...policy({ version: "3" }),
          rules: [...policy().rules, { id: "no", deny: ["transfer"], to: ["elsewhere"] }],
        }),
    ],
    "a limit": [
      "over-limit",
      () =>
        vault.apply(
          "acme",
          policy({ version: "3", limits: { daily: { sum: "ETH", max: "100", window: { rolling: "24h" } } } }),
        ),
    ],
    "a deny rule of the house": [
      "rule-denied",
      () =>
        vault.apply("house", {
          ...housePolicy,
          version: "2",
          use: ["assets.yaml"],
          callers: vault.houseCallers,
          rules: [{ id: "never", deny: ["transfer"], amount: { ETH: { over: "100" } } }],
        }),
    ],
  };
  for (const [what, [reason, build]] of Object.entries(walls)) {
    it(`goes round nothing: ${what}`, async () => {
      await build();
      const { status, body } = await ask();
      assert.equal(status, 403);
      const view = (body as { request: SigningRequestView }).request;
      assert.equal((body as { reason: string }).reason, reason);
      assert.equal(glassOf(view), undefined);
      assert.deepEqual(await types(), ["denied"]);
    });
  }

  describe("log verify", () => {
    type Opening = Record<string, unknown> & { type: string };
    const codes = ({ found }: Report) => Object.keys(found);
    const openingOf = (line: string): Opening | undefined => {
      const { leaf } = JSON.parse(line) as { leaf?: { opening: string } };
      return leaf && (JSON.parse(leaf.opening) as Opening);
    };
    const told = (type: string, change: (opening: Opening) => void) => (lines: string[]) => {
      const at = lines.findIndex((line) => openingOf(line)?.type === type);
      const line = JSON.parse(lines[at]!) as { leaf: { opening: string } };
      const opening = openingOf(lines[at]!)!;
      change(opening);
      line.leaf.opening = JSON.stringify(opening);
      return lines.with(at, JSON.stringify(line));
    };

    beforeEach(broken);

    it("an alarm that is missing, even where the decision says nothing of it: break-glass-silent", async () => {
      const silent = (lines: string[]) => lines.filter((line) => openingOf(line)?.type !== "break-glass");
      assert.ok(codes(await audit(silent)).includes("break-glass-silent"));
      const lied = told("authorized", ({ decision }) => delete (decision as { breakGlass?: unknown }).breakGlass);
      assert.ok(codes(await audit((lines) => silent(lied(lines)))).includes("break-glass-silent"));
    });
    it("an alarm of another rule, or where there was none: break-glass-differs", async () => {
      const other = told("break-glass", (opening) => (opening["rules"] = ["daily"]));
      assert.ok(codes(await audit(other)).includes("break-glass-differs"));
      const none = told("signed", (opening) => Object.assign(opening, { type: "break-glass" }));
      assert.ok(codes(await audit(none)).includes("break-glass-differs"));
    });
  });
});
