import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Transaction } from "ethers";
import type { Statement as AccountStatement } from "../../src/custody/statement.ts";
import { readStatementText, type Statement } from "../../src/domain/statement.ts";
import { transfer } from "../../src/cli/tour.ts";
import { RefusedError } from "../../src/sdk/client.ts";
import { startGateway, type TestGateway } from "../../src/sdk/testing.ts";
import { run } from "../support/program.ts";

// Goal: what a client holds is said from the log alone, signed, and checked by whoever gets it.
// Method: the whole gateway; an observer reports what a chain would show; the statement is verified in another folder.

const TREASURY = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const ETHER = 10n ** 18n;
const HOUR_MS = 3_600_000;
const BEGIN = new Date("2026-11-20T12:00:00Z");
const hash = (byte: string): string => `0x${byte.repeat(32)}`;

const POLICY = `apiVersion: portcullis/v1
kind: ClientPolicy
client: acme-fund
version: 1
use: [shared/assets.yaml]
callers:
  payouts: { role: wallet-service, keys: ["ed25519:M6VqVUrtA/kadQU9EtD0ORaImZtOy1kR/HPbKRYegRM="] }
  bank: { role: secured-party, keys: ["ed25519:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwE="] }
  watcher: { role: observer, keys: ["ed25519:rE+HDdsI1jl4pUTVAqZMhR+1ashqyyHECzFcmYkssJU="] }
addressBook:
  treasury: { address: "eip155:31337:${TREASURY}" }
fee: { ETH-LOCAL: { max: "0.02" } }
rules:
  - { id: payouts, allow: [transfer], from: [hot-1], to: [treasury], amount: { ETH-LOCAL: { max: "10" } } }
limits:
  eth-daily: { sum: ETH-LOCAL, max: "50", window: { rolling: 24h } }
`;

describe("a client's account", function () {
  let gateway: TestGateway;
  let folder: string;
  let own: string;
  before(async () => {
    gateway = await startGateway({ policy: POLICY, clients: ["acme-fund", "blue-harbor"], clock: BEGIN });
    folder = mkdtempSync(join(tmpdir(), "portcullis-account-"));
    own = `eip155:31337:${gateway.addresses["acme-fund"]!["hot-1"]!}`;
  });
  after(async () => {
    rmSync(folder, { recursive: true, force: true });
    await gateway?.stop();
  });

  const post = <T>(client: string, caller: string, path: string, body: unknown): Promise<T> =>
    gateway.as(client, caller).call<T>("POST", `/v1/clients/acme-fund/${path}`, { body, idempotencyKey: randomUUID() });
  const observe = (body: unknown): Promise<unknown> => post("acme-fund", "watcher", "observations", body);
  const deposit = (amount: bigint, change: object = {}) => ({
    what: "deposit",
    deposit: {
      transaction: hash("aa"),
      position: "value",
      asset: "ETH-LOCAL",
      amount: String(amount),
      to: own,
      block: 7,
      ...change,
    },
  });
  const position = async () => {
    const { positions } = await gateway
      .as("acme-fund", "payouts")
      .get<{ positions: { asset: string; closing: string; credits: string }[] }>("/v1/clients/acme-fund/positions");
    return positions.find(({ asset }) => asset === "ETH-LOCAL");
  };
  const code = (promise: Promise<unknown>): Promise<unknown> =>
    promise.then(
      () => "done",
      (error: unknown) => (error instanceof RefusedError ? error.code : error),
    );

  it("deposits are what an observer saw, once each; debits what was authorized, at the most until the chain shows less", async () => {
    await observe(deposit(20n * ETHER));
    await observe(deposit(20n * ETHER));
    assert.equal((await position())?.closing, "20");
    gateway.advance(HOUR_MS);
    const signed = await gateway
      .as("acme-fund", "payouts")
      .sign("acme-fund", transfer("hot-1", TREASURY, 3n), { idempotencyKey: "one" });
    // 21,000 gas at 30 gwei is the most that those bytes permit.
    assert.equal((await position())?.closing, "16.99937");
    const { id } = signed;
    await observe({
      what: "transaction",
      transaction: { request: id, state: "mined", block: 9, depth: 1, fee: String(ETHER / 10_000n) },
    });
    assert.equal((await position())?.closing, "16.9999");
  });

  it("only an observer observes, and only of this client's own accounts, assets and requests", async () => {
    assert.equal(await code(post("acme-fund", "payouts", "observations", deposit(1n))), "not-permitted");
    assert.equal(await code(post("house", "operator", "observations", deposit(1n))), "not-permitted");
    const foreign = `eip155:31337:${gateway.addresses["blue-harbor"]!["hot-1"]!}`;
    assert.equal(await code(observe(deposit(1n, { to: foreign }))), "foreign-account");
    // ETH is an asset of another chain than the account's.
    for (const asset of ["NOPE", "ETH"])
      assert.equal(await code(observe(deposit(1n, { asset }))), "asset-not-found", asset);
    assert.equal(await code(observe(deposit(1n, { amount: "-1" }))), "invalid-body");
    assert.equal(await code(observe(deposit(1n, { amount: "1.5" }))), "invalid-body");
    const nobody = { what: "transaction", transaction: { request: "0".repeat(32), state: "replaced" } };
    assert.equal(await code(observe(nobody)), "request-not-found");
    assert.equal((await position())?.credits, "20");
  });

  it("a statement is verified elsewhere with the public key alone; a changed one is refused", async () => {
    const auditor = join(gateway.folder, "callers/house/auditor.json");
    const at = (name: string) => join(folder, name);
    gateway.advance(HOUR_MS);
    const period = ["--from", BEGIN.toISOString(), "--to", new Date(BEGIN.getTime() + HOUR_MS).toISOString()];
    const files = ["--out", at("statement.json"), "--csv", at("movements.csv"), "--html", at("statement.html")];
    const made = await run(["statement", "--client", "acme-fund", "--as", auditor, ...period, ...files]);
    assert.equal(made.code, 0, made.stderr);
    const signed = JSON.parse(readFileSync(at("statement.json"), "utf8")) as Statement;
    const account = readStatementText(signed.text)!.content as AccountStatement;
    const [{ opening, credits, closing }] = account.positions as [AccountStatement["positions"][number]];
    assert.deepEqual([opening, credits, closing, account.movements.length], ["0", "20", "20", 1]);
    assert.match(readFileSync(at("movements.csv"), "utf8"), /credit,ETH-LOCAL,20,deposit/);
    assert.match(readFileSync(at("statement.html"), "utf8"), /<h1>Statement of client acme-fund<\/h1>/);

    const key = ["--key", gateway.callers["house"]!["auditor"]!.statementKey!];
    const verified = await run(["statement", "verify", at("statement.json"), ...key]);
    assert.deepEqual(
      [verified.code, verified.stdout.startsWith("verified\nclient acme-fund")],
      [0, true],
      verified.stderr,
    );
    const pages = ["--csv", at("movements.csv"), "--html", at("statement.html")];
    const shown = await run(["statement", "verify", at("statement.json"), ...key, ...pages]);
    assert.equal(shown.code, 0, shown.stderr);
    for (const [flag, name] of [
      ["--csv", "movements.csv"],
      ["--html", "statement.html"],
    ] as const) {
      writeFileSync(at("other"), readFileSync(at(name), "utf8").replace(/\b20\b/, "21"));
      const other = await run(["statement", "verify", at("statement.json"), ...key, flag, at("other")]);
      assert.deepEqual([other.code, /other` says something else than the signed/.test(other.stderr)], [1, true]);
    }
    writeFileSync(at("changed.json"), JSON.stringify({ ...signed, signature: `${signed.signature}AA` }));
    assert.equal((await run(["statement", "verify", at("changed.json"), ...key])).code, 1);
    writeFileSync(at("changed.json"), JSON.stringify({ ...signed, text: signed.text.replace('"20"', '"21"') }));
    const changed = await run(["statement", "verify", at("changed.json"), ...key]);
    assert.deepEqual([changed.code, /not signed by the gateway/.test(changed.stderr)], [1, true]);
  });

  it("of time that is not over there is no statement", async () => {
    const later = { from: BEGIN.toISOString(), to: new Date(BEGIN.getTime() + 99 * HOUR_MS).toISOString() };
    assert.equal(await code(post("house", "auditor", "statements", later)), "invalid-parameter");
  });

  it("the log says all of it, and verifies", async () => {
    const exported = join(folder, "log.jsonl");
    const auditor = join(gateway.folder, "callers/house/auditor.json");
    const got = await run(["log", "export", exported, "--as", auditor]);
    assert.equal(got.code, 0, got.stderr);
    const types = readFileSync(exported, "utf8").match(/(?<=\\"type\\":\\")(observed|stated)(?=\\")/g);
    assert.deepEqual(types, ["observed", "observed", "observed", "stated"]);
    const verified = await run(["log", "verify", exported, "--json"]);
    assert.equal(verified.code, 0, verified.stdout + verified.stderr);
  });

  it("asked for before a checkpoint covers the last leaf it is waited for: nobody sees that it was too early", async () => {
    const auditor = join(gateway.folder, "callers/house/auditor.json");
    const target = "/v1/clients/acme-fund/statements";
    const raw = async (to: string) =>
      gateway
        .as("house", "auditor")
        .send("POST", target, Buffer.from(JSON.stringify({ from: BEGIN.toISOString(), to })), randomUUID());
    /** A leaf of this moment; the moment after it, by the gateway's own clock. */
    const seen = async (): Promise<string> => {
      await observe(deposit(1n, { transaction: hash("cc") }));
      gateway.advance(10);
      const { now } = JSON.parse((await raw("2099-01-01T00:00:00Z")).body.toString()) as { now: string };
      return now;
    };
    const tooEarly = async (): Promise<boolean> => {
      const { status, headers } = await raw(await seen());
      return status === 503 && headers["retry-after"] === "1";
    };
    // A checkpoint may come between the two, once a second.
    while (!(await tooEarly()));
    const body = { from: BEGIN.toISOString(), to: await seen() };
    assert.ok((await post<Statement>("house", "auditor", "statements", body)).signature);
    const ran = await run(["statement", "--client", "acme-fund", "--as", auditor, "--to", await seen()]);
    assert.deepEqual([ran.code, ran.stderr], [0, ""]);
  });

  it("the signed transaction is the one that the debit names", async () => {
    const { requests } = await gateway
      .as("acme-fund", "payouts")
      .get<{ requests: { result: { signedTransaction: string; transactionHash: string } }[] }>(
        "/v1/clients/acme-fund/signing-requests",
      );
    const body = { from: BEGIN.toISOString(), to: new Date(BEGIN.getTime() + 2 * HOUR_MS).toISOString() };
    const signed = await post<Statement>("house", "auditor", "statements", body);
    const { movements } = readStatementText(signed.text)!.content as AccountStatement;
    const { hash: transaction } = Transaction.from(requests[0]!.result.signedTransaction);
    assert.deepEqual(
      movements.map(({ kind, amount, transaction, state }) => [kind, amount, transaction, state]),
      [
        ["credit", "20", hash("aa"), undefined],
        ["debit", "-3", transaction, "mined"],
        ["fee", "-0.00063", transaction, "mined"],
        ["correction", "0.00053", transaction, "mined"],
      ],
    );
  });

  it("what is pledged by command stays until the secured party releases it by command", async () => {
    const file = (client: string, caller: string) => join(gateway.folder, "callers", client, `${caller}.json`);
    const lien = (...args: string[]) => run(["lien", ...args, "--client", "acme-fund", "--json"]);
    await observe({ what: "balance", balance: { asset: "ETH-LOCAL", amount: String(16n * ETHER), block: 9 } });
    const terms = ["--asset", "ETH-LOCAL", "--amount", String(10n * ETHER), "--party", "bank"];
    const agreed = await lien("create", "loan-1", ...terms, "--sign", "--as", file("acme-fund", "bank"));
    assert.equal(agreed.code, 0, agreed.stderr);
    const { person, signature } = JSON.parse(agreed.stdout) as { person: string; signature: string };
    const both = [...terms, "--signature", `${person}:${signature}`, "--as", file("house", "officer")];
    const made = await lien("create", "loan-1", ...both);
    assert.equal(made.code, 0, made.stderr);
    const pay = (amount: bigint) =>
      code(
        gateway
          .as("acme-fund", "payouts")
          .sign("acme-fund", transfer("hot-1", TREASURY, amount), { idempotencyKey: randomUUID() }),
      );
    assert.equal(await pay(7n), "denied-by-policy");
    const few = await lien("release", "loan-1", "--as", file("house", "officer"));
    assert.match(few.stderr + few.stdout, /person-signature-invalid/);
    const released = await lien("release", "loan-1", "--as", file("acme-fund", "bank"));
    assert.equal(released.code, 0, released.stderr);
    assert.deepEqual(JSON.parse((await lien("list", "--as", file("acme-fund", "bank"))).stdout), {
      client: "acme-fund",
      liens: [],
    });
  });
});
