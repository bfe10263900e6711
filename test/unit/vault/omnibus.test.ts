import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import canonicalizeModule from "canonicalize";
import type { ApprovalView } from "../../../src/domain/api.ts";
import { copyFileSync, existsSync } from "node:fs";
import { openSqliteStore } from "../../../src/adapters/sqlite/store.ts";
import type { PositionView, SubAccountPositions } from "../../../src/domain/custody.ts";
import { intentContent } from "../../../src/domain/approval.ts";
import { intentFromJson } from "../../../src/domain/intent.ts";
import { checkpointsOf, exported, verified } from "../../support/exported-log.ts";
import { pledgeBody, releaseBody } from "../../support/liens.ts";
import { hsmInSoftware } from "../../support/software-hsm.ts";
import {
  acmePolicy,
  ASSETS,
  GATEWAY,
  newKey,
  testVault,
  transferBody,
  watched,
  type TestVault,
} from "../../support/vault.ts";

// Goal: where several owners' assets lie in the same accounts, one never spends another's: whose a request is, is named,
// approved, counted and in the log; without `omnibus` there is no such word.
// Method: the router and the real store; `log verify` over the export of every run.

const rules = [
  ...acmePolicy.rules,
  { id: "words", allow: ["message"], format: ["text"] },
  { id: "allowances", allow: ["allowance"], to: ["anyone"], amount: { ETH: "any" } },
];
const limits = {
  each: { sum: "ETH", max: "50", window: { rolling: "24h" }, per: "sub-account" },
  all: { sum: "ETH", max: "70", window: { rolling: "24h" } },
};
const omnibus = { subAccounts: ["alpha", "beta"] };

// The package's types say `export default` while Node sees `module.exports`.
const canonicalize = canonicalizeModule as unknown as (value: unknown) => string;

type Body = { code?: string; reason?: string; detail?: string; id?: string };
type Positions = SubAccountPositions & { readonly positions: readonly PositionView[] };

describe("vault/omnibus", () => {
  let vault: TestVault;
  const own = () => vault.key.accounts[0]!;
  const codeOf = ({ code, reason }: Body) => (code === "denied-by-policy" ? reason : code);
  const post = async (who: string, path: string, body: unknown) => {
    const answer = await vault.call(who, "POST", `/v1/clients/acme/${path}`, body, newKey());
    return { status: answer.status, body: answer.body as Body };
  };
  const observe = async (...all: object[]) => {
    for (const body of all) assert.equal((await post("watcher", "observations", body)).status, 201);
  };
  const deposit = (amount: number, subAccount?: string, transaction?: string) => {
    const { what, deposit: seen } = watched.deposit(own(), amount, transaction);
    return { what, deposit: { ...seen, ...(subAccount === undefined ? {} : { subAccount }) } };
  };
  const pay = (value: number, subAccount?: string, fields = {}, more = {}, who = "payouts") =>
    post(who, "signing-requests", {
      ...transferBody(value, { gas: "0", ...fields }),
      ...(subAccount === undefined ? {} : { subAccount }),
      ...more,
    });
  const outcome = async (asked: ReturnType<typeof pay>) => {
    const { status, body } = await asked;
    return status === 201 ? "signed" : codeOf(body);
  };
  const positions = async (who = "checker") =>
    (await vault.call(who, "GET", "/v1/clients/acme/positions")).body as Positions;
  const closings = async () => {
    const { positions: all, subAccounts, unallocated } = await positions();
    const each = Object.entries(subAccounts).map(([name, [position]]) => [name, [position?.closing, position?.free]]);
    return {
      all: all[0]!.closing,
      ...(Object.fromEntries(each) as Record<string, string[]>),
      left: unallocated[0]!.closing,
    };
  };
  const policy = (change: object = {}) => ({
    ...acmePolicy,
    rules,
    limits,
    omnibus,
    callers: vault.clientCallers,
    ...change,
  });
  const start = async (change: object = {}) => {
    vault = await testVault({ hsm: hsmInSoftware(), policy: { rules, limits, omnibus, ...change } });
  };
  const findings = async () => {
    await (await checkpointsOf(vault)).round();
    return verified(await exported(vault)).findings;
  };

  beforeEach(() => start());
  afterEach(() => vault.close());

  it("each spends what was booked to it and read on the chain, and not one unit of the other's", async () => {
    await observe(deposit(30, "alpha"), deposit(20, "beta"), deposit(7));
    assert.equal(await outcome(pay(1, "alpha")), "sub-account-short", "nobody has read the chain");
    await observe(watched.balance(57));
    assert.equal(await outcome(pay(31, "alpha")), "sub-account-short");
    assert.equal(await outcome(pay(30, "alpha")), "signed");
    assert.equal(await outcome(pay(1, "alpha")), "sub-account-short");
    assert.equal(await outcome(pay(20, "beta")), "signed");
    assert.equal(await outcome(pay(1, "beta")), "sub-account-short", "what is nobody's is not spent");
    assert.deepEqual(await closings(), { all: "7", alpha: ["0", "0"], beta: ["0", "0"], left: "7" });
    assert.deepEqual(await findings(), []);
  });

  it("the decision says whose it is, what was asked and what is that one's; so do the request and its leaf", async () => {
    await observe(deposit(30, "alpha"), watched.balance(30));
    const { body } = await pay(31, "alpha", { gas: "1" });
    assert.match(body.detail!, /32 ETH would leave, 30 ETH is `alpha`'s and free/);
    const shown = (
      await vault.call(
        "payouts",
        "GET",
        `/v1/clients/acme/signing-requests/${body.id ?? (body as { requestId: string }).requestId}`,
      )
    ).body as { subAccount: string; decision: { subAccount: object[] } };
    const found = { subAccount: "alpha", asset: "ETH", holds: false, requested: "32", available: "30" };
    assert.deepEqual([shown.subAccount, shown.decision.subAccount], ["alpha", [found]]);
    const leaf = await vault.store.read((reader) => reader.lastLeaf());
    assert.equal(
      (
        JSON.parse((await vault.store.read((reader) => reader.leaves(leaf!.index, 1)))[0]!.opening) as {
          subAccount: string;
        }
      ).subAccount,
      "alpha",
    );
  });

  it("a lying deposit spends nothing: where the chain holds less, nobody takes what is another's", async () => {
    await observe(deposit(30, "alpha"), deposit(20, "beta"), watched.balance(50));
    await observe(deposit(40, "alpha"));
    assert.equal(await outcome(pay(31, "alpha")), "sub-account-short");
    await observe(watched.balance(50));
    assert.equal(await outcome(pay(31, "alpha")), "sub-account-short");
    assert.equal(await outcome(pay(30, "alpha")), "signed");
    assert.deepEqual(await findings(), []);
  });

  it("a request says whose assets it moves, of the policy's; a readable text moves nobody's", async () => {
    await observe(deposit(30, "alpha"), watched.balance(30));
    assert.equal(await outcome(pay(1)), "sub-account");
    assert.equal(await outcome(pay(1, "gamma")), "sub-account");
    const words = { key: "hot-1", payload: { type: "evm-message", message: "hello", chain: "eip155:31337" } };
    assert.equal((await post("payouts", "signing-requests", words)).status, 201);
    await vault.close();
    await start({ omnibus: undefined, limits: { all: limits.all } });
    assert.equal(await outcome(pay(1, "alpha")), "sub-account", "where there are none, none is named");
    assert.equal(await outcome(pay(1)), "signed");
  });

  it("limits per sub-account are each one's own, others are of all together", async () => {
    await observe(deposit(100, "alpha"), deposit(100, "beta"), watched.balance(200));
    assert.equal(await outcome(pay(51, "alpha")), "over-limit");
    assert.equal(await outcome(pay(50, "alpha")), "signed");
    assert.equal(await outcome(pay(1, "alpha")), "over-limit");
    assert.equal(await outcome(pay(21, "beta")), "over-limit");
    assert.equal(await outcome(pay(20, "beta")), "signed");
    // A limit that is changed counts the past of each anew.
    await vault.apply("acme", policy({ version: "2", limits: { each: { ...limits.each, max: "60" } } }));
    assert.equal(await outcome(pay(11, "alpha")), "over-limit");
    assert.equal(await outcome(pay(10, "alpha")), "signed");
    assert.equal(await outcome(pay(40, "beta")), "signed");
    assert.deepEqual(await findings(), []);
  });

  it("a bound caller asks for its own alone, named or not, and sees that alone", async () => {
    const bound = {
      ...vault.clientCallers,
      trading: { ...(vault.clientCallers as Record<string, object>)["trading"], subAccount: "beta" },
    };
    await vault.apply("acme", policy({ version: "2", callers: bound }));
    await observe(deposit(30, "alpha"), deposit(20, "beta"), watched.balance(50));
    assert.equal(await outcome(pay(1, "alpha", {}, {}, "trading")), "sub-account");
    assert.equal(await outcome(pay(1, "beta", {}, {}, "trading")), "signed");
    assert.equal(await outcome(pay(19, undefined, {}, {}, "trading")), "signed");
    assert.equal(await outcome(pay(1, undefined, {}, {}, "trading")), "sub-account-short");
    const shown = await positions("trading");
    assert.deepEqual([shown.positions[0]!.credits, shown.subAccounts], ["20", undefined]);
    assert.deepEqual(await findings(), []);
  });

  it("whose a deposit is can be said later, once, and of the amount that was reported first", async () => {
    const transaction = `0x${"ab".repeat(32)}`;
    await observe(deposit(30, undefined, transaction), watched.balance(30));
    assert.deepEqual(await closings(), { all: "30", left: "30" });
    await observe(deposit(99, "alpha", transaction));
    assert.deepEqual(await closings(), { all: "30", alpha: ["30", "30"], left: "0" });
    assert.equal((await post("watcher", "observations", deposit(30, "beta", transaction))).body.code, "deposit-booked");
    assert.equal((await post("watcher", "observations", deposit(30, "gamma"))).body.code, "sub-account-not-found");
    assert.equal(await outcome(pay(30, "alpha")), "signed");
    assert.deepEqual(await findings(), []);
  });

  it("fees are the sub-account's own; what the chain settles for less is that one's again", async () => {
    await observe(deposit(30, "alpha"), deposit(20, "beta"), watched.balance(50));
    const { body } = await pay(20, "alpha", { gas: "10" });
    assert.equal(await outcome(pay(1, "alpha")), "sub-account-short");
    await observe(watched.transaction(body.id!, "mined", 4), watched.balance(26));
    assert.deepEqual(await closings(), { all: "26", alpha: ["6", "6"], beta: ["20", "20"], left: "0" });
    assert.equal(await outcome(pay(6, "alpha")), "signed");
    assert.deepEqual(await findings(), []);
  });

  it("a replacement is the same sub-account's, and takes what it holds already", async () => {
    await observe(deposit(30, "alpha"), deposit(20, "beta"), watched.balance(50));
    const { id } = (await pay(20, "alpha", { gas: "1", maxFeePerGas: "1" })).body;
    const again = { gas: "1", maxFeePerGas: "10" };
    assert.equal(await outcome(pay(20, "beta", again, { replaces: id })), "sub-account");
    assert.equal(
      await outcome(pay(20, "alpha", { ...again, maxFeePerGas: "11" }, { replaces: id })),
      "sub-account-short",
    );
    assert.equal(await outcome(pay(20, "alpha", again, { replaces: id })), "signed");
    assert.deepEqual(await findings(), []);
  });

  it("a lien is on one sub-account's asset, and leaves the other's free", async () => {
    await observe(deposit(30, "alpha"), deposit(20, "beta"), watched.balance(50));
    const hash = (await vault.store.read((reader) => reader.policyHash("acme" as never)))!;
    const callers = { party: vault.callers.get("lender")!, officers: [vault.callers.get("officer")!] };
    const pledge = (amount: string, subAccount?: string) =>
      post("officer", "liens", {
        ...pledgeBody({
          origin: GATEWAY,
          client: "acme",
          subAccount,
          lien: "loan",
          asset: "ETH",
          amount,
          policy: hash,
          ...callers,
        }),
        ...(subAccount === undefined ? {} : { subAccount }),
      });
    assert.equal((await pledge("25")).body.code, "sub-account-missing");
    assert.equal((await pledge("25", "beta")).body.code, "not-enough-free");
    assert.equal((await pledge("25", "alpha")).status, 201);
    assert.equal(await outcome(pay(6, "alpha")), "sub-account-short");
    assert.equal(await outcome(pay(5, "alpha")), "signed");
    assert.equal(await outcome(pay(20, "beta")), "signed");
    const { liens } = (await vault.call("lender", "GET", "/v1/clients/acme/liens")).body as {
      liens: { subAccount: string; leaf: number }[];
    };
    assert.equal(liens[0]!.subAccount, "alpha");
    const body = releaseBody({
      origin: GATEWAY,
      client: "acme",
      lien: "loan",
      placedIn: liens[0]!.leaf,
      remaining: "none",
      party: callers.party,
    });
    assert.equal((await post("lender", "liens/loan/release", body)).status, 200);
    assert.equal(await outcome(pay(25, "alpha")), "signed");
    assert.deepEqual(await findings(), []);
  });

  it("what people approve names the sub-account: of two requests for the same payment each is another", async () => {
    const group = { officers: ["alice"] };
    const asks = [{ ...acmePolicy.rules[0]!, approvals: { officers: "1" } }];
    await vault.apply("acme", policy({ version: "2", groups: group, rules: asks }));
    await observe(deposit(30, "alpha"), deposit(30, "beta"), watched.balance(60));
    const hashes = [];
    for (const name of ["alpha", "beta"]) {
      const { status, body } = await pay(1, name, { nonce: 7 });
      assert.equal(status, 202);
      const path = `/v1/clients/acme/signing-requests/${body.id}/approvals`;
      const view = (await vault.call("alice", "GET", path)).body as ApprovalView;
      const { intent, intentHash } = view.waiting!;
      hashes.push(intentHash);
      const meant = { client: "acme", key: "hot-1", subAccount: name, intent: intentFromJson(intent) };
      const content = { callData: `sha256:${createHash("sha256").update("").digest("hex")}` };
      const said = canonicalize(intentContent(meant, content));
      assert.equal(intentHash, `sha256:${createHash("sha256").update(said).digest("hex")}`, "as it is made elsewhere");
    }
    assert.notEqual(hashes[0], hashes[1]);
  });

  it("a policy takes no sub-account's ledger away: what is booked stays, under the same meaning", async () => {
    await observe(deposit(30, "alpha"), deposit(20, "beta"), watched.balance(50));
    await vault.apply("acme", policy({ version: "2", omnibus: { subAccounts: ["beta"] } }));
    assert.equal(await outcome(pay(1, "alpha")), "sub-account");
    assert.equal(await outcome(pay(21, "beta")), "sub-account-short", "what is alpha's stays alpha's");
    await vault.apply("acme", policy({ version: "3" }));
    const coarser = { ...ASSETS, assets: { ETH: { ...ASSETS.assets.ETH, decimals: "1" } } };
    await assert.rejects(vault.apply("acme", policy({ version: "4" }), undefined, coarser), {
      code: "policy-conflict",
      message: "expected `ETH` to stay the asset that sub-accounts hold",
    });
    assert.equal(await outcome(pay(30, "alpha")), "signed");
    assert.deepEqual(await findings(), []);
  });

  it("an exported log in which something about a sub-account is told otherwise is found", async () => {
    await observe(deposit(30, "alpha"), deposit(20, "beta"), watched.balance(50));
    await pay(20, "alpha");
    await pay(20, "beta");
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
    assert.deepEqual(verified(lines).findings, []);
    const named = (name?: string) => told("authorized", 1, (opening) => (opening["subAccount"] = name));
    assert.ok(codes(named("alpha")).includes("sub-account-short"));
    assert.ok(codes(named("gamma")).includes("sub-account"));
    assert.ok(codes(named()).includes("sub-account"));
    const poorer = told(
      "observed",
      0,
      (opening) => (opening["deposit"] = { ...(opening["deposit"] as object), amount: "19" }),
    );
    assert.ok(codes(poorer).includes("sub-account-short"));
    const other = told(
      "observed",
      0,
      (opening) => (opening["deposit"] = { ...(opening["deposit"] as object), subAccount: "beta" }),
    );
    assert.ok(codes(other).includes("sub-account-short"));
  });

  it("a statement of one is of its own movements alone", async () => {
    await observe(deposit(30, "alpha"), deposit(20, "beta"), watched.balance(50));
    await pay(10, "alpha");
    await (await checkpointsOf(vault)).round();
    vault.clock.now += 60_000;
    const period = { from: "2026-11-20T00:00:00.000Z", to: new Date(vault.clock.now).toISOString() };
    const stated = async (more: object) => {
      const { status, body } = await post("checker", "statements", { ...period, ...more });
      assert.equal(status, 201, JSON.stringify(body));
      const text = (body as { text: string }).text;
      return JSON.parse(text.slice(text.indexOf("{"))) as {
        subAccount?: string;
        positions: { closing: string }[];
        movements: object[];
      };
    };
    const [alpha, all] = [await stated({ subAccount: "alpha" }), await stated({})];
    assert.deepEqual([alpha.subAccount, alpha.positions[0]!.closing, alpha.movements.length], ["alpha", "20", 2]);
    assert.deepEqual([all.subAccount, all.positions[0]!.closing, all.movements.length], [undefined, "40", 3]);
  });

  it("a vault that starts again knows every ledger", async () => {
    await observe(deposit(30, "alpha"), deposit(20, "beta"), watched.balance(50));
    await pay(25, "alpha");
    const path = `${vault.storePath}.copy`;
    for (const suffix of ["", "-wal"])
      if (existsSync(`${vault.storePath}${suffix}`)) copyFileSync(`${vault.storePath}${suffix}`, `${path}${suffix}`);
    const store = vault.sealed(openSqliteStore(path, () => vault.clock.now));
    await vault.restarted({ store });
    const holdings = (await store.read((reader) => reader.holdings("acme" as never, "always")))!;
    assert.equal(holdings.availableTo("alpha" as never, "ETH" as never), 5n);
    assert.equal(holdings.availableTo("beta" as never, "ETH" as never), 20n);
    await store.close();
  });
});
