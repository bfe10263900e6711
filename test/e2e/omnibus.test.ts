import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Transaction } from "ethers";
import type { SegregationReport } from "../../src/cli/assurance/segregation.ts";
import { transfer } from "../../src/cli/tour.ts";
import type { Statement as AccountStatement } from "../../src/custody/statement.ts";
import type { SubAccountPositions } from "../../src/domain/custody.ts";
import { readStatementText, type Statement } from "../../src/domain/statement.ts";
import { RefusedError } from "../../src/sdk/client.ts";
import { startGateway, type TestGateway } from "../../src/sdk/testing.ts";
import { startAnvil, type Anvil } from "../support/anvil.ts";
import { run } from "../support/program.ts";

// Goal: two funds in one account of a real gateway each spend their own alone, over REST and JSON-RPC, across a crash; what
// is said of each adds up, and verifies elsewhere.
// Method: the whole gateway on SoftHSM, a real node read by `reconcile`, the commands.

const BANK = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const VENUE = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
const ETHER = 10n ** 18n;
const BEGIN = new Date("2026-11-20T12:00:00Z");
const HOUR_MS = 3_600_000;
const CHAIN = "eip155:31337";

const POLICY = `apiVersion: portcullis/v1
kind: ClientPolicy
client: pool
version: 1
legalBasis: { kind: trust, reference: "Pooled custody agreement, schedule B" }
omnibus: { subAccounts: [alpha, beta] }
use: [shared/assets.yaml]
callers:
  beta-app: { role: wallet-service, keys: ["ed25519:M6VqVUrtA/kadQU9EtD0ORaImZtOy1kR/HPbKRYegRM="], subAccount: beta }
  desk: { role: wallet-service, keys: ["ed25519:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwE="] }
  watcher: { role: observer, keys: ["ed25519:rE+HDdsI1jl4pUTVAqZMhR+1ashqyyHECzFcmYkssJU="] }
addressBook:
  bank: { address: "${CHAIN}:${BANK}" }
  venue: { address: "${CHAIN}:${VENUE}", tags: [exchange] }
fee: { ETH-LOCAL: { max: "0.02" } }
rules:
  - { id: payouts, allow: [transfer], from: [hot-1], to: [bank, venue], amount: { ETH-LOCAL: { max: "20" } } }
limits:
  eth-of-each: { sum: ETH-LOCAL, max: "60", window: { rolling: 24h }, per: sub-account }
  at-venue: { sum: ETH-LOCAL, max: "15", to: [venue], window: outstanding }
`;

describe("an omnibus client", function () {
  let gateway: TestGateway;
  let node: Anvil;
  let folder: string;
  const at = (name: string) => join(folder, name);
  const callerFile = (client: string, caller: string) => join(gateway.folder, "callers", client, `${caller}.json`);
  const readBy = (caller: string) => ["--as", callerFile("pool", caller)];
  const auditor = () => ["--as", callerFile("house", "auditor")];
  const own = () => gateway.addresses["pool"]!["hot-1"]!;
  const ok = async (args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(args);
    assert.equal(code, 0, `${args.join(" ")}\n${stdout}${stderr}`);
    return stdout;
  };
  const deposit = (ether: bigint, byte: string, subAccount: string) =>
    gateway.as("pool", "watcher").call("POST", "/v1/clients/pool/observations", {
      idempotencyKey: randomUUID(),
      body: {
        what: "deposit",
        deposit: {
          ...{ transaction: `0x${byte.repeat(32)}`, position: "value", asset: "ETH-LOCAL", block: 1, subAccount },
          ...{ amount: String(ether * ETHER), to: `${CHAIN}:${own()}` },
        },
      },
    });
  /** Of the other asset of the shared registry this node knows nothing. */
  const reconcile = async () => {
    const { stdout } = await run([
      "reconcile",
      ...readBy("watcher"),
      "--node",
      node.url,
      "--confirmations",
      "1",
      "--json",
    ]);
    const { reports } = JSON.parse(stdout) as { reports: { breaks: { asset: string }[] }[] };
    assert.deepEqual(
      reports[0]!.breaks.map(({ asset }) => asset),
      ["TUSD-LOCAL"],
      stdout,
    );
  };
  const pay = (caller: string, ether: bigint, subAccount?: string, to = BANK): Promise<string> =>
    gateway
      .as("pool", caller)
      .sign(
        "pool",
        { ...transfer("hot-1", to, ether), ...(subAccount === undefined ? {} : { subAccount }) },
        { idempotencyKey: randomUUID() },
      )
      .then(
        ({ state }) => state,
        (error: unknown) => {
          if (!(error instanceof RefusedError)) throw error;
          return String(error.problem["reason"]);
        },
      );
  const rpc = async (method: string, params: unknown[]): Promise<void> => {
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
    await fetch(node.url, { method: "POST", headers: { "content-type": "application/json" }, body });
  };
  const signOverRpc = (value: bigint) => {
    const fields = { from: own(), to: BANK, value: `0x${value.toString(16)}`, gas: "0x5208", chainId: "0x7a69" };
    const prices = { maxFeePerGas: "0x6fc23ac00", maxPriorityFeePerGas: "0x3b9aca00" };
    return { jsonrpc: "2.0", id: 1, method: "eth_signTransaction", params: [{ ...fields, ...prices }] };
  };

  before(async () => {
    [node, gateway] = await Promise.all([startAnvil(), startGateway({ policy: POLICY, clock: BEGIN })]);
    folder = mkdtempSync(join(tmpdir(), "portcullis-omnibus-"));
    await rpc("anvil_setBalance", [own(), `0x${(50n * ETHER).toString(16)}`]);
    await rpc("anvil_mine", ["0x2"]);
  });
  after(async () => {
    if (folder) rmSync(folder, { recursive: true, force: true });
    await gateway?.stop();
    await node?.stop();
  });

  it("each fund spends what an observer booked to it and the chain holds, and nothing of the other's", async () => {
    await deposit(30n, "aa", "alpha");
    await deposit(20n, "bb", "beta");
    assert.equal(await pay("desk", 1n, "alpha"), "sub-account-short", "the chain was not read");
    await reconcile();
    assert.equal(await pay("desk", 1n), "sub-account");
    assert.equal(await pay("desk", 18n, "alpha"), "signed");
    const both = await Promise.all([pay("desk", 8n, "alpha", VENUE), pay("desk", 8n, "alpha")]);
    assert.deepEqual(both.sort(), ["signed", "sub-account-short"]);
    assert.equal(await pay("beta-app", 1n, "alpha"), "sub-account");
    assert.equal(await pay("beta-app", 7n, undefined, VENUE), "signed");
  });

  it("over JSON-RPC whoever is bound asks for its own; whoever is not has no way to say whose it is", async () => {
    const body = JSON.stringify(signOverRpc(10n * ETHER));
    const headers = { "content-type": "application/json" };
    const answer = await fetch(`${gateway.proxyUrl}/rpc/pool`, { method: "POST", headers, body });
    const { result, error } = (await answer.json()) as { result?: { raw: string } | string; error?: object };
    const raw = typeof result === "string" ? result : result?.raw;
    assert.ok(raw, JSON.stringify(error));
    assert.equal(Transaction.from(raw).value, 10n * ETHER);
    const refused = await gateway
      .as("pool", "desk")
      .call<{ error: { message: string; data: { reason: string } } }>("POST", "/rpc/pool", {
        body: signOverRpc(ETHER),
        idempotencyKey: randomUUID(),
      });
    assert.equal(refused.error.data.reason, "sub-account");
    assert.match(refused.error.message, /expected `subAccount`/);
  });

  it("a crash forgets nobody's ledger", async () => {
    await gateway.crash();
    assert.equal(await pay("desk", 5n, "alpha"), "sub-account-short");
    assert.equal(await pay("beta-app", 3n), "sub-account-short");
    const shown = await gateway.as("pool", "watcher").get<SubAccountPositions>("/v1/clients/pool/positions");
    const closing = Object.entries(shown.subAccounts).map(([name, [position]]) => [name, position!.closing]);
    assert.equal(Number(closing[0]![1]) + Number(closing[1]![1]), 50 - 18 - 8 - 7 - 10 - 4 * 0.00063);
    assert.deepEqual(shown.unallocated, [{ asset: "ETH-LOCAL", closing: "0" }]);
    assert.equal(closing[1]![1], "2.99874");
  });

  it("a statement and a proof of liabilities are of one fund alone, and verify without the gateway", async () => {
    const key = ["--key", gateway.callers["house"]!["auditor"]!.statementKey!];
    gateway.advance(2 * HOUR_MS);
    const period = ["--from", BEGIN.toISOString(), "--to", new Date(BEGIN.getTime() + HOUR_MS).toISOString()];
    const ofBeta = ["--client", "pool", "--sub-account", "beta", ...period];
    await ok(["statement", ...ofBeta, "--out", at("beta.json"), ...auditor()]);
    const signed = JSON.parse(readFileSync(at("beta.json"), "utf8")) as Statement;
    const { subAccount, positions, movements } = readStatementText(signed.text)!.content as AccountStatement;
    assert.deepEqual([subAccount, positions[0]!.closing, movements.length], ["beta", "2.99874", 5]);
    assert.match(await ok(["statement", "verify", at("beta.json"), ...key]), /client pool, sub-account beta/);
    await ok(["liabilities", "--out", at("owed"), ...auditor()]);
    await ok(["liabilities", "extract", "pool/beta", "--from", at("owed"), "--out", at("proofs")]);
    await ok(["log", "export", at("log.jsonl"), ...auditor()]);
    const { header } = JSON.parse(readFileSync(at("log.jsonl"), "utf8").split("\n")[0]!) as { header: { key: string } };
    const verified = await run(["liabilities", "verify", at("proofs/pool.beta.json"), "--key", header.key]);
    assert.match(verified.stdout, /1 positions of client pool\/beta are counted/, verified.stderr);
  });

  it("the segregation report says what is on omnibus, at the venue as the limit has it, and unreconciled", async () => {
    const text = await ok(["segregation", "report", "--out", at("segregation.json"), ...auditor()]);
    const { clients, breaches, figures } = JSON.parse(
      readFileSync(at("segregation.json"), "utf8"),
    ) as SegregationReport;
    assert.deepEqual(breaches, []);
    const [client] = clients;
    assert.deepEqual(
      [client!.legalBasis?.reference, client!.omnibus?.subAccounts.map(({ subAccount }) => subAccount).sort()],
      ["Pooled custody agreement, schedule B", ["alpha", "beta"]],
    );
    const figure = figures.find(({ asset }) => asset === "ETH-LOCAL")!;
    const { decision } = await gateway
      .as("pool", "desk")
      .call<{ decision: { limits: { limit: string; spent: string }[] } }>("POST", "/v1/clients/pool/evaluations", {
        body: { ...transfer("hot-1", VENUE, 1n), subAccount: "beta" },
        idempotencyKey: randomUUID(),
      });
    const counted = decision.limits.find(({ limit }) => limit === "at-venue")!.spent;
    assert.deepEqual(figure.venues, [{ venue: "at-venue", amount: counted, max: "15" }]);
    assert.equal(figure.onOwnAddresses.amount, "0");
    assert.equal(figure.unreconciledForADay.amount, "0");
    assert.equal(Number(figure.onOmnibus.amount) + Number(figure.atVenues.amount), Number(figure.total));
    assert.match(text, /pool, OMNIBUS/);
  });

  it("the log says all of it, and verifies", async () => {
    await ok(["log", "export", at("log.jsonl"), ...auditor()]);
    const { code, stdout } = await run(["log", "verify", at("log.jsonl"), "--json"]);
    assert.deepEqual([code, (JSON.parse(stdout) as { findings: object[] }).findings], [0, []]);
  });
});
