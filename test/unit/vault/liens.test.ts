import assert from "node:assert/strict";
import Database from "better-sqlite3";
import { copyFileSync, existsSync } from "node:fs";
import fc from "fast-check";
import { openSqliteStore } from "../../../src/adapters/sqlite/store.ts";
import type { LienView, PositionView } from "../../../src/domain/custody.ts";
import { GatewayError } from "../../../src/domain/errors.ts";
import { route } from "../../../src/vault/api/router.ts";
import { newCaller } from "../../../src/sdk/caller-file.ts";
import { GatewayClient } from "../../../src/sdk/client.ts";
import { checkpointsOf, exported, verified } from "../../support/exported-log.ts";
import { pledgeBody, releaseBody } from "../../support/liens.ts";
import { hsmInSoftware } from "../../support/software-hsm.ts";
import {
  acmePolicy,
  ASSETS,
  CHAIN,
  GATEWAY,
  newKey,
  REQUESTS,
  testVault,
  transferBody,
  watched,
  type TestVault,
} from "../../support/vault.ts";

// Goal: what is pledged does not leave while its lien stands, whatever the policy allows, at any concurrency; nobody but
// the secured party releases it; what nobody has read on the chain counts as nothing.
// Method: the router and the real store; a model that keeps plain lists; `log verify` over the export.

const rules = [
  ...acmePolicy.rules,
  { id: "own", allow: ["transfer"], to: ["own"], amount: { ETH: "any" } },
  { id: "words", allow: ["message"], format: ["text", "opaque"] },
];
const ETHER_PLEDGED = { lien: "loan-1", asset: "ETH", amount: "60" };

type Body = { code?: string; reason?: string; detail?: string; id?: string };

describe("vault/liens", () => {
  let vault: TestVault;
  const own = () => vault.key.accounts[0]!;
  const caller = (name: string) => vault.callers.get(name)!;
  const codeOf = ({ code, reason }: Body) => (code === "denied-by-policy" ? reason : code);

  async function post(who: string, path: string, body: unknown) {
    const answer = await vault.call(who, "POST", `/v1/clients/acme/${path}`, body, newKey());
    return { status: answer.status, body: answer.body as Body };
  }
  const observe = async (...all: object[]) => {
    for (const body of all) assert.equal((await post("watcher", "observations", body)).status, 201);
  };
  const pay = (value: number, fields = {}, more = {}) =>
    post("payouts", "signing-requests", { ...transferBody(value, { gas: "0", ...fields }), ...more });
  const policyHash = async () => (await vault.store.read((reader) => reader.policyHash("acme" as never)))!;
  const pledge = async (
    change: Partial<typeof ETHER_PLEDGED> = {},
    signers: { party?: string; officers?: string[] } = {},
  ) => {
    const { party = "lender", officers = ["officer"] } = signers;
    const fields = { origin: GATEWAY, client: "acme", ...ETHER_PLEDGED, ...change, policy: await policyHash() };
    return post("officer", "liens", pledgeBody({ ...fields, party: caller(party), officers: officers.map(caller) }));
  };
  const liens = async () =>
    ((await vault.call("lender", "GET", "/v1/clients/acme/liens")).body as { liens: LienView[] }).liens;
  const release = async (lien: string, remaining = "none", party = caller("lender")) => {
    const placedIn = (await liens()).find((each) => each.lien === lien)?.leaf ?? 0;
    const body = releaseBody({ origin: GATEWAY, client: "acme", lien, placedIn, remaining, party });
    return post("lender", `liens/${lien}/release`, body);
  };
  const position = async () => {
    const { body } = await vault.call("checker", "GET", "/v1/clients/acme/positions");
    return (body as { positions: PositionView[] }).positions.find(({ asset }) => asset === "ETH")!;
  };
  const assertVerifies = async () => {
    await (await checkpointsOf(vault)).round();
    assert.deepEqual(verified(await exported(vault)).findings, []);
  };

  beforeEach(async () => {
    vault = await testVault({ hsm: hsmInSoftware(), policy: { rules } });
    await observe(watched.deposit(own(), 100), watched.balance(100));
  });
  afterEach(() => vault.close());

  it("what is free leaves, what is pledged does not; a release by the secured party frees it", async () => {
    assert.equal((await pledge()).status, 201);
    const { encumbered, free, reconciled } = await position();
    assert.deepEqual([encumbered, free, reconciled], ["60", "40", "100"]);
    assert.equal(codeOf((await pay(41)).body), "breaks-lien");
    assert.equal((await pay(40)).status, 201);
    assert.equal(codeOf((await pay(1)).body), "breaks-lien");
    assert.equal((await release("loan-1", "50")).status, 200);
    assert.equal((await pay(10)).status, 201);
    assert.equal(codeOf((await pay(1)).body), "breaks-lien");
    assert.equal((await release("loan-1")).status, 200);
    assert.equal((await pay(50)).status, 201);
    assert.deepEqual(await liens(), []);
    await assertVerifies();
  });

  it("the decision says which lien, what was asked and what is free; a dry run too", async () => {
    await pledge();
    const denied = await post("payouts", "evaluations", transferBody(70));
    const { outcome, liens: found } = (denied.body as { decision: { outcome: string; liens: object[] } }).decision;
    const expected = { asset: "ETH", liens: ["loan-1"], holds: false, requested: "71", available: "40" };
    assert.deepEqual([outcome, found], ["deny", [expected]]);
    assert.match((await pay(70)).body.detail!, /70 ETH would leave, 40 ETH is free of lien `loan-1`/);
  });

  it("the fee counts, and transfers to oneself cost no more than that", async () => {
    await pledge({ amount: "100" });
    assert.equal(codeOf((await pay(0, { gas: "1" })).body), "breaks-lien");
    assert.equal((await pay(90, { to: own().split(":")[2] })).status, 201);
    await assertVerifies();
  });

  it("a replacement takes what the transaction holds whose place it takes; both count until the chain was read", async () => {
    await pledge();
    const { id } = (await pay(38, { gas: "1", maxFeePerGas: "1" })).body;
    assert.equal(codeOf((await pay(38, { gas: "1", maxFeePerGas: "3" }, { replaces: id })).body), "breaks-lien");
    const second = await pay(38, { gas: "1", maxFeePerGas: "2" }, { replaces: id });
    assert.equal(second.status, 201, JSON.stringify(second.body));
    assert.equal(codeOf((await pay(1)).body), "breaks-lien");
    await observe(watched.transaction(id!, "replaced"), watched.transaction(second.body.id!, "mined", 1));
    await observe(watched.balance(61));
    assert.equal(codeOf((await pay(2)).body), "breaks-lien");
    assert.equal((await pay(1)).status, 201);
    await assertVerifies();
  });

  it("what is not known counts as nothing: a deposit that nobody has read on the chain is neither pledged nor free", async () => {
    await pledge({ amount: "90" });
    await observe(watched.deposit(own(), 50));
    assert.equal(codeOf((await pay(11)).body), "breaks-lien");
    assert.equal(codeOf((await pledge({ lien: "loan-2", amount: "20" })).body), "not-enough-free");
    await observe(watched.balance(150));
    assert.equal((await pay(11)).status, 201);
    assert.equal((await pledge({ lien: "loan-2", amount: "20" })).status, 201);
    await assertVerifies();
  });

  it("the smallest of register and what observers have read: what the chain lacks is not free, whoever says otherwise", async () => {
    await pledge();
    await observe(watched.balance(80));
    assert.equal(codeOf((await pay(21)).body), "breaks-lien");
    await observe(watched.balance(1_000));
    assert.equal(codeOf((await pay(41)).body), "breaks-lien", "no reading is worth more than what was reported");
    assert.equal((await pay(40)).status, 201);
    await assertVerifies();
  });

  it("a debit that has not settled is not free because the chain still shows it, nor because one word says that it failed", async () => {
    await pledge();
    const { id } = (await pay(30)).body;
    await observe(watched.balance(100));
    assert.equal(codeOf((await pay(11)).body), "breaks-lien");
    await observe(watched.transaction(id!, "replaced"));
    assert.equal(codeOf((await pay(11)).body), "breaks-lien", "until the chain was read again");
    await observe(watched.balance(100));
    assert.equal((await pay(40)).status, 201);
    await assertVerifies();
  });

  it("a lien on everything takes what comes too; delegations and what cannot be read are refused, words are not", async () => {
    assert.equal((await pledge({ amount: "all" })).status, 201);
    await observe(watched.deposit(own(), 50), watched.balance(150));
    assert.equal(codeOf((await pay(1)).body), "breaks-lien");
    const asked = (payload: object) => post("payouts", "signing-requests", { key: "hot-1", payload });
    const message = (hex: string) => asked({ type: "evm-message", chain: CHAIN, message: hex });
    const spoken = await message(`0x${Buffer.from("good morning").toString("hex")}`);
    assert.equal(spoken.status, 201, JSON.stringify(spoken.body));
    assert.equal(codeOf((await message(`0x${"fe".repeat(32)}`)).body), "breaks-lien");
    assert.equal(codeOf((await pledge({ lien: "more", amount: "1" })).body), "not-enough-free");
    assert.equal((await release("loan-1", "150")).status, 200);
    assert.equal(codeOf((await pay(1)).body), "breaks-lien");
    await release("loan-1", "149");
    assert.equal((await pay(1)).status, 201);
    await assertVerifies();
  });

  it("nothing is pledged twice", async () => {
    await pledge();
    assert.equal(codeOf((await pledge({ lien: "loan-2", amount: "41" })).body), "not-enough-free");
    assert.equal(codeOf((await pledge({ lien: "loan-2", amount: "all" })).body), "not-enough-free");
    assert.equal((await pledge({ lien: "loan-2", amount: "40" })).status, 201);
    assert.equal(codeOf((await pay(1)).body), "breaks-lien");
    assert.deepEqual(
      (await liens()).map(({ lien, amount }) => [lien, amount]),
      [
        ["loan-1", "60"],
        ["loan-2", "40"],
      ],
    );
  });

  it("officers and secured party sign the same text, and a name is used once", async () => {
    assert.equal(codeOf((await pledge({}, { officers: [] })).body), "officer-signatures");
    assert.equal(codeOf((await pledge({}, { officers: ["alice"] })).body), "officer-signatures");
    assert.equal(codeOf((await pledge({}, { party: "checker" })).body), "caller-not-found");
    const fields = { origin: GATEWAY, client: "acme", ...ETHER_PLEDGED, policy: await policyHash() };
    const body = pledgeBody({ ...fields, party: caller("lender"), officers: [caller("officer")] });
    const refused = async (change: object) => codeOf((await post("officer", "liens", { ...body, ...change })).body);
    assert.equal(await refused({ amount: "61" }), "officer-signatures");
    assert.equal(await refused({ lien: "other" }), "officer-signatures");
    const other = pledgeBody({ ...fields, amount: "all", party: caller("lender"), officers: [] });
    assert.equal(await refused({ agreement: other.agreement }), "person-signature-invalid");
    assert.equal(await refused({ amount: "0" }), "officer-signatures");
    assert.equal((await post("officer", "liens", body)).status, 201);
    assert.equal(await refused({}), "lien-exists");
    await release("loan-1");
    assert.equal(await refused({}), "lien-exists", "what was signed once brings no lien back");
    await assertVerifies();
  });

  it("nobody but the secured party releases: not another, not a policy that gives its name to other keys", async () => {
    await pledge();
    assert.equal(codeOf((await release("loan-1", "none", caller("officer"))).body), "person-signature-invalid");
    assert.equal(codeOf((await release("loan-1", "60")).body), "not-less");
    const thief = newCaller(caller("lender"), "lender");
    const callers = { ...vault.clientCallers, lender: { role: "secured-party", keys: [thief.publicKey] } };
    await vault.apply("acme", { ...acmePolicy, version: "2", rules, callers });
    assert.equal(codeOf((await postRelease(thief)).body), "person-signature-invalid");
    assert.equal((await postRelease(caller("lender"))).status, 200);
    assert.equal(codeOf((await postRelease(caller("lender"))).body), "lien-not-found");
    await assertVerifies();

    async function postRelease(party: typeof thief) {
      const [{ leaf: placedIn } = { leaf: 0 }] = await liensAs("checker");
      const body = releaseBody({ origin: GATEWAY, client: "acme", lien: "loan-1", placedIn, remaining: "none", party });
      return post("operator", "liens/loan-1/release", body);
    }
    async function liensAs(who: string) {
      return ((await vault.call(who, "GET", "/v1/clients/acme/liens")).body as { liens: LienView[] }).liens;
    }
  });

  it("a pledged asset keeps its symbol until it is released", async () => {
    await pledge();
    const renamed = {
      ...ASSETS,
      chains: { [CHAIN]: { name: "Development", native: "COIN" } },
      assets: { COIN: ASSETS.assets.ETH },
    };
    const document = {
      ...acmePolicy,
      version: "2",
      callers: vault.clientCallers,
      fee: { COIN: { max: "1000" } },
      rules: [{ id: "payouts", allow: ["transfer"], to: ["anyone"], amount: { COIN: "any" } }],
      limits: { daily: { sum: "COIN", max: "1000", window: { rolling: "24h" } } },
    };
    const apply = () => vault.apply("acme", document, undefined, renamed);
    await assert.rejects(apply(), (error: GatewayError) => error.code === "policy-conflict");
    await release("loan-1");
    await apply();
  });

  it("many at once take together no more than is free", async () => {
    await pledge();
    const answers = await Promise.all(Array.from({ length: 30 }, () => pay(3)));
    assert.equal(answers.filter(({ status }) => status === 201).length, 13);
    assert.ok(answers.every(({ status, body }) => status === 201 || codeOf(body) === "breaks-lien"));
    await assertVerifies();
  });

  it("a lien that is placed while withdrawals come in is covered, or refused", async () => {
    const paying = Array.from({ length: 10 }, () => pay(7));
    const pledging = ["a", "b"].map((lien) => pledge({ lien, amount: "40" }));
    const paid = (await Promise.all(paying)).filter(({ status }) => status === 201).length;
    const pledged = (await Promise.all(pledging)).filter(({ status }) => status === 201).length;
    assert.ok(pledged > 0 || paid === 10);
    assert.ok(paid * 7 + pledged * 40 <= 100, `${paid} of 7 and ${pledged} of 40`);
    await assertVerifies();
  });

  /** A vault started on a copy of the store, which somebody may have changed. */
  async function onCopy<T>(
    change: (path: string) => void,
    use: (ask: (value: number) => Promise<Body>) => Promise<T>,
  ): Promise<T> {
    const path = `${vault.storePath}.copy`;
    for (const suffix of ["", "-wal"])
      if (existsSync(`${vault.storePath}${suffix}`)) copyFileSync(`${vault.storePath}${suffix}`, `${path}${suffix}`);
    change(path);
    const store = vault.sealed(openSqliteStore(path, () => vault.clock.now));
    try {
      const gateway = await vault.restarted({ store });
      return await use(async (value) => {
        const bytes = Buffer.from(JSON.stringify(transferBody(value, { gas: "0" })));
        const { headers } = new GatewayClient(caller("payouts")).signRequest("POST", REQUESTS, bytes, newKey());
        return (await route(gateway, { method: "POST", target: REQUESTS, headers, body: bytes })).body as Body;
      });
    } finally {
      await store.close();
    }
  }

  it("a vault that starts anew knows it", async () => {
    await pledge();
    await pay(30);
    await onCopy(
      () => undefined,
      async (ask) => {
        assert.equal(codeOf(await ask(11)), "breaks-lien");
        assert.equal(codeOf(await ask(10)), undefined);
      },
    );
  });

  it("an exported log in which something about a lien is told otherwise is found", async () => {
    await pledge();
    await pay(40);
    await release("loan-1", "20");
    await pay(30);
    await release("loan-1");
    await (await checkpointsOf(vault)).round();
    const lines = await exported(vault);
    const said = (line: string) => (JSON.parse(line) as { leaf?: { opening?: string } }).leaf?.opening;
    /** The tree does not fit any more either, which is found as well. */
    const told = (type: string, nth: number, change: (opening: Record<string, unknown>) => void): string[] => {
      const places = lines.flatMap((line, place) => (said(line)?.includes(`"type":"${type}"`) ? [place] : []));
      const line = JSON.parse(lines[places[nth]!]!) as { leaf: { opening: string } };
      const opening = JSON.parse(line.leaf.opening) as Record<string, unknown>;
      change(opening);
      line.leaf.opening = JSON.stringify(opening);
      return lines.with(places[nth]!, JSON.stringify(line));
    };
    const codes = (changed: string[]) => Object.keys(verified(changed).found);
    const lies: Record<string, string[]> = {
      "lien-broken": told("lien-released", 0, (opening) => (opening["remaining"] = "59")),
      "lien-signature": told("lien-released", 1, (opening) => (opening["signature"] = "AAAA")),
      "lien-quorum": told("lien-placed", 0, (opening) => (opening["signatures"] = [])),
      "lien-party": told("lien-placed", 0, (opening) => (opening["keys"] = ["ed25519:none"])),
      "lien-uncovered": told("lien-placed", 0, (opening) => (opening["amount"] = "101")),
      "lien-order": told("lien-released", 1, (opening) => (opening["lien"] = "other")),
    };
    assert.deepEqual(verified(lines).findings, []);
    for (const [code, changed] of Object.entries(lies)) assert.ok(codes(changed).includes(code), code);
    const agreed = told("lien-placed", 0, (opening) => (opening["agreement"] = "AAAA"));
    assert.ok(codes(agreed).includes("lien-signature"));
  });

  it("a lien that is changed in the store stops its client", async () => {
    await pledge();
    const change = (path: string) => {
      const database = new Database(path);
      const said = `replace(opening, '"amount":"60"', '"amount":"06"')`;
      const { changes } = database
        .prepare(`UPDATE leaves SET opening = ${said} WHERE opening LIKE '%lien-placed%'`)
        .run();
      assert.equal(changes, 1);
      database.close();
    };
    await onCopy(change, async (ask) => assert.equal(codeOf(await ask(50)), "integrity")).catch((error: unknown) =>
      assert.equal((error as GatewayError).code, "integrity", String(error)),
    );
  });

  it("whatever happens in whatever order: what is denied would break a lien, what is signed breaks none", async () => {
    const amount = fc.integer({ min: 1, max: 60 });
    const step = fc.oneof(
      { weight: 5, arbitrary: amount.map((value) => ({ act: "pay", value }) as const) },
      amount.map((value) => ({ act: "deposit", value }) as const),
      fc.integer({ min: 0, max: 250 }).map((value) => ({ act: "balance", value }) as const),
      amount.map((value) => ({ act: "pledge", value }) as const),
      amount.map((value) => ({ act: "release", value }) as const),
    );
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
        run += 1;
        const model = new Model(await position(), await liens());
        for (const [n, { act, value }] of steps.entries()) {
          const lien = `r${run}-${n}`;
          if (act === "pay") assert.equal((await pay(value)).status === 201, model.pay(value), `pay ${value}`);
          if (act === "deposit") await observe(watched.deposit(own(), value)).then(() => model.deposit(value));
          if (act === "balance") await observe(watched.balance(value)).then(() => model.read(value));
          if (act === "pledge")
            assert.equal((await pledge({ lien, amount: String(value) })).status === 201, model.pledge(lien, value));
          if (act === "release") {
            const [name] = model.liens.keys();
            if (name !== undefined)
              assert.equal((await release(name, String(value))).status === 200, model.lower(name, value));
          }
        }
        for (const name of [...model.liens.keys()]) await release(name);
        await observe(watched.deposit(own(), 100), watched.balance(10_000));
      }),
      { numRuns: process.env["SOAK"] === undefined ? 6 : 400 },
    );
    await assertVerifies();
  }).timeout(process.env["SOAK"] === undefined ? 60_000 : 3_600_000);
});

/** Plain lists, and every question answered by adding up all of them. All payments stay unsettled, as nobody says otherwise. */
class Model {
  readonly liens = new Map<string, number>();
  #closing: number;
  /** What the last reading leaves. */
  #left: number | undefined;
  #pending: number;

  constructor({ closing, pending, reconciled }: PositionView, liens: readonly LienView[]) {
    this.#closing = Number(closing);
    this.#pending = Number(pending);
    if (reconciled !== undefined) this.#left = Number(reconciled);
    for (const { lien, amount } of liens) this.liens.set(lien, Number(amount));
  }

  pay(value: number): boolean {
    const pledged = this.#pledged();
    if (this.liens.size > 0 && (this.#left === undefined || value + pledged > Math.min(this.#closing, this.#left)))
      return false;
    this.#closing -= value;
    this.#pending += value;
    if (this.#left !== undefined) this.#left -= value;
    return true;
  }

  deposit(value: number): void {
    this.#closing += value;
  }

  read(value: number): void {
    this.#left = value - this.#pending;
  }

  pledge(lien: string, value: number): boolean {
    if (value + this.#pledged() > Math.min(this.#closing, this.#left ?? 0)) return false;
    this.liens.set(lien, value);
    return true;
  }

  lower(lien: string, value: number): boolean {
    if (value >= this.liens.get(lien)!) return false;
    this.liens.set(lien, value);
    return true;
  }

  #pledged(): number {
    return [...this.liens.values()].reduce((sum, each) => sum + each, 0);
  }
}
