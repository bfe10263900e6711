import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import {
  createPublicClient,
  createTestClient,
  createWalletClient,
  encodeDeployData,
  encodeFunctionData,
  http,
  keccak256,
  type Abi,
  type Hex,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import type { SigningRequestView } from "../../src/domain/api.ts";
import { evmChainReader } from "../../src/adapters/evm-node/reader.ts";
import { ClientLeaves } from "../../src/cli/reconcile/leaves.ts";
import { runOnce } from "../../src/cli/reconcile/run.ts";
import type { Report } from "../../src/cli/reconcile/report.ts";
import { newCaller, readGatewayFile, writeCallerFile } from "../../src/sdk/caller-file.ts";
import { connect, RefusedError } from "../../src/sdk/client.ts";
import { startGateway, type TestGateway } from "../../src/sdk/testing.ts";
import { FIRST_ACCOUNT_KEY, startAnvil, type Anvil } from "../support/anvil.ts";
import { compileErc20 } from "../support/erc20.ts";
import { leavesOf } from "../support/ledger.ts";
import { pledgeBody } from "../support/liens.ts";
import { PROGRAM, run, type Ran } from "../support/program.ts";
import { assertTranscript } from "../support/transcript.ts";

// Goal: a year of a small custodian: every planted break is found and named, and nothing else is.
// Method: the whole gateway and a real node. The books are kept here from receipts, as a custodian would: another way than
// the register's. SOAK plays hundreds of deposits and withdrawals.

const CLIENTS = ["acme-fund", "blue-harbor", "cedar-trust", "delta-dao", "elm-estate", "own-funds"] as const;
type Client = (typeof CLIENTS)[number];
const TREASURY = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
/** The first two contracts that the first account deploys. */
const TOKENS = {
  "TUSD-LOCAL": "0x5FbDB2315678afecb367f032d93F642f64180aa3",
  "TEUR-LOCAL": "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512",
} as const;
const ASSETS = ["ETH-LOCAL", "TUSD-LOCAL", "TEUR-LOCAL"] as const;
type AssetName = (typeof ASSETS)[number];
const UNIT: Readonly<Record<AssetName, bigint>> = {
  "ETH-LOCAL": 10n ** 18n,
  "TUSD-LOCAL": 10n ** 6n,
  "TEUR-LOCAL": 10n ** 6n,
};
const GWEI = 10n ** 9n;
const HOUR_MS = 3_600_000;
const EVENTS = process.env["SOAK"] === undefined ? 48 : 600;
const YEAR_MS = 365 * 24 * HOUR_MS;

const REGISTRY = `apiVersion: portcullis/v1
kind: AssetRegistry
chains:
  "eip155:31337": { name: Local development chain, native: ETH-LOCAL }
assets:
  ETH-LOCAL: { chain: "eip155:31337", decimals: 18, standard: native }
  TUSD-LOCAL: { chain: "eip155:31337", decimals: 6, standard: erc20, contract: "eip155:31337:${TOKENS["TUSD-LOCAL"]}" }
  TEUR-LOCAL: { chain: "eip155:31337", decimals: 6, standard: erc20, contract: "eip155:31337:${TOKENS["TEUR-LOCAL"]}" }
`;

const policyOf = (client: Client): string => `apiVersion: portcullis/v1
kind: ClientPolicy
client: ${client}
version: 1
${client === "own-funds" ? "owner: house\n" : ""}${client === "elm-estate" ? "signedOutside: freeze\n" : ""}use: [assets.yaml]
callers:
  payouts: { role: wallet-service, keys: ["ed25519:M6VqVUrtA/kadQU9EtD0ORaImZtOy1kR/HPbKRYegRM="] }
  bank: { role: secured-party, keys: ["ed25519:rE+HDdsI1jl4pUTVAqZMhR+1ashqyyHECzFcmYkssJU="] }
addressBook:
  treasury: { address: "eip155:31337:${TREASURY}" }
fee: { ETH-LOCAL: { max: "0.05" } }
rules:
  - { id: payouts, allow: [transfer], from: [hot-1], to: [treasury], amount: { ETH-LOCAL: { max: "10" }, TUSD-LOCAL: { max: "5000" }, TEUR-LOCAL: { max: "5000" } } }
limits:
  eth: { sum: ETH-LOCAL, max: "10000", window: lifetime }
  tusd: { sum: TUSD-LOCAL, max: "1000000", window: lifetime }
  teur: { sum: TEUR-LOCAL, max: "1000000", window: lifetime }
`;

/** The same year every time: a linear congruential generator (Numerical Recipes). */
function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * sides);
  };
}

describe("a year of a small custodian", function () {
  this.timeout(process.env["SOAK"] === undefined ? 600_000 : 1_200_000);
  const roll = dice(20_261_123);
  const rich = privateKeyToAccount(FIRST_ACCOUNT_KEY);
  let anvil: Anvil;
  let gateway: TestGateway;
  let folder: string;
  let abi: Abi;
  const books = new Map<string, bigint>();
  const nonces = new Map<Client, number>(CLIENTS.map((client) => [client, 0]));

  const chain = () => createPublicClient({ chain: foundry, transport: http(anvil.url), pollingInterval: 20 });
  const node = () => createTestClient({ chain: foundry, mode: "anvil", transport: http(anvil.url) });
  const wallet = () => createWalletClient({ account: rich, chain: foundry, transport: http(anvil.url) });
  const at = (name: string): string => join(folder, name);
  const address = (client: Client): Hex => gateway.addresses[client]!["hot-1"] as Hex;
  const bookOf = (client: Client, asset: AssetName): string => `${client},${asset}`;
  const book = (client: Client, asset: AssetName, by: bigint): void =>
    void books.set(bookOf(client, asset), (books.get(bookOf(client, asset)) ?? 0n) + by);

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-year-"));
    anvil = await startAnvil();
    const { abi: compiled, bytecode } = compileErc20();
    abi = compiled;
    for (const token of Object.values(TOKENS)) {
      const hash = await wallet().sendTransaction({ data: encodeDeployData({ abi, bytecode }) });
      const { contractAddress } = await chain().waitForTransactionReceipt({ hash });
      assert.equal(contractAddress, token.toLowerCase());
    }
    writeFileSync(at("assets.yaml"), REGISTRY);
    for (const client of CLIENTS) writeFileSync(at(`${client}.yaml`), policyOf(client));
    const policy = CLIENTS.map((client) => at(`${client}.yaml`));
    gateway = await startGateway({ policy, clock: new Date(Date.now() - YEAR_MS) });
    await addObserver();
  });
  after(async () => {
    await gateway?.stop();
    await anvil?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** The custodian's own, who sees every client. */
  async function addObserver(): Promise<void> {
    const { officer, operator, auditor } = gateway.callers["house"]!;
    const watcher = newCaller(readGatewayFile(join(gateway.folder, "gateway.json")), "watcher", undefined);
    writeCallerFile(at("watcher.json"), watcher);
    writeCallerFile(at("officer.json"), officer!);
    const roles = { officer: "policy-officer", operator: "operator", auditor: "auditor", watcher: "observer" };
    const callers = [officer!, operator!, auditor!, watcher].map(
      ({ caller, publicKey }) =>
        `  ${caller}: { role: ${roles[caller as keyof typeof roles]}, keys: ["${publicKey}"] }`,
    );
    writeFileSync(
      at("house.yaml"),
      `apiVersion: portcullis/v1\nkind: HousePolicy\nversion: 2\npolicyQuorum: 1\ncallers:\n${callers.join("\n")}\n`,
    );
    const applied = await run(["policy", "apply", at("house.yaml"), "--as", at("officer.json"), "--yes"]);
    assert.equal(applied.code, 0, applied.stdout + applied.stderr);
  }

  const dataFor = (to: string, amount: bigint): Hex =>
    encodeFunctionData({ abi, functionName: "transfer", args: [to, amount] });

  /** A deposit on the chain. @returns its observation, as a deposit feed would report it */
  async function arrive(client: Client, asset: AssetName, amount: bigint) {
    const what =
      asset === "ETH-LOCAL"
        ? { to: address(client), value: amount }
        : { to: TOKENS[asset], data: dataFor(address(client), amount) };
    const hash = await wallet().sendTransaction(what);
    const { blockNumber } = await chain().waitForTransactionReceipt({ hash });
    const position = asset === "ETH-LOCAL" ? "value" : "0";
    const to = `eip155:31337:${address(client)}`;
    return { transaction: hash, position, asset, amount: String(amount), to, block: Number(blockNumber) };
  }
  const report = (client: Client, deposit: object): Promise<unknown> =>
    house().call("POST", `/v1/clients/${client}/observations`, {
      body: { what: "deposit", deposit },
      idempotencyKey: randomUUID(),
    });
  const house = () => connect(at("watcher.json"));
  async function deposit(client: Client, asset: AssetName, amount: bigint): Promise<void> {
    await report(client, await arrive(client, asset, amount));
    book(client, asset, amount);
  }

  const body = (
    client: Client,
    asset: AssetName,
    amount: bigint,
    { nonce = nonces.get(client)!, tip = GWEI, to = TREASURY, replaces = "" } = {},
  ) => ({
    key: "hot-1",
    ...(replaces === "" ? {} : { replaces }),
    payload: {
      type: "evm-transaction",
      transaction: {
        chainId: 31337,
        nonce: String(nonce),
        gas: "100000",
        maxFeePerGas: String(20n * tip),
        maxPriorityFeePerGas: String(tip),
        ...(asset === "ETH-LOCAL"
          ? { to, value: String(amount) }
          : { to: TOKENS[asset], value: "0", data: dataFor(to, amount) }),
      },
    },
  });
  const signed = (client: Client, request: object): Promise<SigningRequestView> =>
    gateway.as(client, "payouts").sign(client, request as Record<string, unknown>, { idempotencyKey: randomUUID() });

  async function send(view: SigningRequestView) {
    const { signedTransaction } = view.result as { signedTransaction: Hex };
    const hash = await chain().sendRawTransaction({ serializedTransaction: signedTransaction });
    assert.equal(hash, keccak256(signedTransaction));
    return chain().waitForTransactionReceipt({ hash });
  }
  async function withdraw(client: Client, asset: AssetName, amount: bigint, more = {}): Promise<string> {
    const view = await signed(client, body(client, asset, amount, more));
    nonces.set(client, nonces.get(client)! + 1);
    const { gasUsed, effectiveGasPrice, status } = await send(view);
    assert.equal(status, "success");
    book(client, asset, -amount);
    book(client, "ETH-LOCAL", -gasUsed * effectiveGasPrice);
    return view.id;
  }

  function writeBooks(): void {
    const unit = ([name, amount]: [string, bigint]): string => {
      const decimals = name.endsWith("ETH-LOCAL") ? 18 : 6;
      const digits = String(amount).padStart(decimals + 1, "0");
      return `${name},${digits.slice(0, -decimals)}.${digits.slice(-decimals)}`;
    };
    writeFileSync(at("books.csv"), ["client,asset,amount", ...[...books].map(unit), ""].join("\n"));
  }
  /** By the command. */
  async function reconcile(...flags: string[]): Promise<{ ran: Ran; reports: readonly Report[] }> {
    await node().mine({ blocks: 3 });
    writeBooks();
    const common = [
      "--as",
      at("watcher.json"),
      "--node",
      anvil.url,
      "--confirmations",
      "3",
      "--books",
      at("books.csv"),
    ];
    const ran = await run(["reconcile", ...common, "--json", "--out", at("reports"), ...flags]);
    const read = JSON.parse(ran.stdout) as { reports?: readonly Report[] };
    assert.ok(read.reports, ran.stdout + ran.stderr);
    return { ran, reports: read.reports };
  }
  /** As one that runs every quarter of an hour does: it goes on from the leaves that it has read. */
  let leaves: ClientLeaves[] | undefined;
  /** What a progress bar showed last. */
  let shown = "";
  async function reconcileAgain(): Promise<readonly Report[]> {
    await node().mine({ blocks: 3 });
    writeBooks();
    leaves ??= CLIENTS.map((client) => new ClientLeaves(house(), client));
    const readers = [await evmChainReader(anvil.url, HOUR_MS)];
    const plan = { gateway: house(), clients: leaves, readers, confirmations: 3, books: at("books.csv") };
    const progress = (text: string): void => void (shown = text);
    return runOnce({ ...plan, record: true, progress, tell: () => undefined });
  }
  /** All that a run has found, each as one line. */
  const named = (reports: readonly Report[]): string[] =>
    reports.flatMap(({ client, breaks, signedOutside, rewritten }) => [
      ...breaks.map(({ asset, cause, difference }) => `${client} ${asset} ${cause} ${difference}`),
      ...signedOutside.map(({ what }) => `${client} outside ${what.split(" ").slice(1, 3).join(" ")}`),
      ...rewritten,
    ]);
  async function assertFound(...expected: string[]): Promise<readonly Report[]> {
    const reports = await reconcileAgain();
    assert.deepEqual(named(reports).sort(), [...expected].sort());
    return reports;
  }
  const stateOf = (reports: readonly Report[], request: string): string | undefined =>
    reports.flatMap(({ transactions }) => transactions).find((each) => each.request === request)?.state;

  it("what it says is what docs/custody.md shows", async () => {
    for (const client of CLIENTS) for (const asset of ASSETS) await deposit(client, asset, 60n * UNIT[asset]);
    const late = await arrive("acme-fund", "TEUR-LOCAL", 5n * UNIT["TEUR-LOCAL"]);
    book("acme-fund", "TUSD-LOCAL", 2n * UNIT["TUSD-LOCAL"]);
    book("acme-fund", "TEUR-LOCAL", 5n * UNIT["TEUR-LOCAL"]);
    await node().mine({ blocks: 12 });
    writeBooks();
    const line =
      "reconcile --as watcher.json --node http://127.0.0.1:8545 --books books.csv --client acme-fund --no-record";
    const ran = await run(line.replace("http://127.0.0.1:8545", anvil.url).split(" "), { cwd: folder });
    assert.equal(ran.code, 1, ran.stderr);
    assertTranscript("docs/custody.md", "reconcile", [{ line: line.replace(" --no-record", ""), ran }]);
    await report("acme-fund", late);
    book("acme-fund", "TUSD-LOCAL", -2n * UNIT["TUSD-LOCAL"]);
  });

  it("deposits and withdrawals of a year: the three agree, whenever they are compared", async () => {
    for (let event = 0; event < EVENTS; event++) {
      gateway.advance(Math.floor((0.9 * YEAR_MS) / EVENTS));
      const [client, asset] = [CLIENTS[roll(CLIENTS.length)]!, ASSETS[roll(ASSETS.length)]!];
      const amount = (BigInt(1 + roll(999)) * UNIT[asset]) / 1000n;
      if (roll(2) === 0) await deposit(client, asset, amount);
      else await withdraw(client, asset, amount);
      if (event % (EVENTS / 2) === EVENTS / 4) await assertFound();
    }
    const { ran, reports } = await reconcile();
    assert.deepEqual([ran.code, reports.length, named(reports)], [0, CLIENTS.length, []]);
  });

  it("a replaced transaction and a dropped one are told as what they are, and are no breaks", async () => {
    const nonce = nonces.get("acme-fund")!;
    const first = await signed("acme-fund", body("acme-fund", "ETH-LOCAL", UNIT["ETH-LOCAL"]));
    const faster = await withdraw("acme-fund", "ETH-LOCAL", UNIT["ETH-LOCAL"], {
      nonce,
      tip: 2n * GWEI,
      replaces: first.id,
    });
    const never = await signed("blue-harbor", body("blue-harbor", "TUSD-LOCAL", UNIT["TUSD-LOCAL"]));
    const reports = await assertFound();
    assert.deepEqual(
      [first.id, faster, never.id].map((id) => stateOf(reports, id)),
      ["replaced", "mined", "dropped"],
    );
  });

  it("what has too few confirmations is on its way, with its depth", async () => {
    // Reported, and above the block that is read: neither is a difference.
    await deposit("cedar-trust", "TUSD-LOCAL", 4n * UNIT["TUSD-LOCAL"]);
    const request = await withdraw("cedar-trust", "ETH-LOCAL", 1n);
    const ran = await run([
      ...[
        "reconcile",
        "--as",
        at("watcher.json"),
        "--node",
        anvil.url,
        "--json",
        "--no-record",
        "--confirmations",
        "9",
      ],
      ...["--client", "cedar-trust"],
    ]);
    const { reports } = JSON.parse(ran.stdout) as { reports: Report[] };
    const found = reports[0]!.transactions.find((each) => each.request === request);
    assert.deepEqual([found?.state, found?.depth, named(reports)], ["broadcast", 1, []]);
  });

  it("a deposit that nobody reported, and one that was never booked", async () => {
    const late = await arrive("cedar-trust", "TEUR-LOCAL", 7n * UNIT["TEUR-LOCAL"]);
    book("cedar-trust", "TEUR-LOCAL", 7n * UNIT["TEUR-LOCAL"]);
    await report("delta-dao", await arrive("delta-dao", "ETH-LOCAL", 2n * UNIT["ETH-LOCAL"]));
    const expected = ["cedar-trust TEUR-LOCAL chain-over 7", "delta-dao ETH-LOCAL books-under -2"];
    const [first, second] = [await assertFound(...expected), await assertFound(...expected)];
    const ages = (reports: readonly Report[]) =>
      reports.flatMap(({ breaks }) => breaks.map(({ since, status }) => [since, status]));
    assert.deepEqual(
      ages(first).map(([, status]) => status),
      ["new", "new"],
    );
    // As old as the first report that had them.
    assert.deepEqual(
      ages(second),
      ages(first).map(([since]) => [since, "open"]),
    );
    await report("cedar-trust", late);
    book("delta-dao", "ETH-LOCAL", 2n * UNIT["ETH-LOCAL"]);
    const closed = await assertFound();
    assert.deepEqual(
      closed.flatMap(({ closed }) => closed.map(({ asset }) => asset)),
      ["TEUR-LOCAL", "ETH-LOCAL"],
    );
  });

  it("a wrong entry in the books", async () => {
    book("elm-estate", "TUSD-LOCAL", 1n);
    book("own-funds", "TEUR-LOCAL", -5n);
    await assertFound("elm-estate TUSD-LOCAL books-over 0.000001", "own-funds TEUR-LOCAL books-under -0.000005");
    book("elm-estate", "TUSD-LOCAL", -1n);
    book("own-funds", "TEUR-LOCAL", 5n);
    await assertFound();
  });

  it("an attempt at commingling is denied, and moves nothing", async () => {
    const attempt = body("elm-estate", "ETH-LOCAL", 1n, { to: address("acme-fund") });
    await assert.rejects(signed("elm-estate", attempt), (error: RefusedError) => error.code === "denied-by-policy");
    await assertFound();
  });

  it("what was reconciled can be pledged; what is pledged stays, and is no break", async () => {
    const { hash: policy } = await house().get<{ hash: string }>("/v1/clients/own-funds/policy");
    const { positions } = await house().get<{ positions: { asset: string; free: string }[] }>(
      "/v1/clients/own-funds/positions",
    );
    const free = BigInt(Math.round(Number(positions.find(({ asset }) => asset === "TUSD-LOCAL")!.free) * 1e6));
    assert.ok(free > 10n * UNIT["TUSD-LOCAL"], String(free));
    const lien = { origin: house().caller.gateway, client: "own-funds", lien: "loan-1", asset: "TUSD-LOCAL", policy };
    const [party, officer] = [gateway.callers["own-funds"]!["bank"]!, gateway.callers["house"]!["officer"]!];
    await gateway.as("house", "officer").call("POST", "/v1/clients/own-funds/liens", {
      body: pledgeBody({ ...lien, amount: String(free - 1n), party, officers: [officer] }),
      idempotencyKey: randomUUID(),
    });
    await assert.rejects(signed("own-funds", body("own-funds", "TUSD-LOCAL", 2n)), (error: RefusedError) =>
      /breaks-lien/.test(JSON.stringify(error.problem)),
    );
    await assertFound();
  });

  it("a withdrawal that was signed outside is named, with what it took, and freezes a client whose policy says so, once", async () => {
    const from = address("elm-estate");
    const nonce = nonces.get("elm-estate")!;
    await node().impersonateAccount({ address: from });
    const thief = createWalletClient({ account: from, chain: foundry, transport: http(anvil.url) });
    const hash = await thief.sendTransaction({
      to: TOKENS["TUSD-LOCAL"],
      data: dataFor(TREASURY, 3n * UNIT["TUSD-LOCAL"]),
    });
    const { gasUsed, effectiveGasPrice } = await chain().waitForTransactionReceipt({ hash });
    const fee = Number(gasUsed * effectiveGasPrice) / 1e18;
    const { ran, reports } = await reconcile();
    const found = reports.flatMap(({ signedOutside }) => signedOutside.map(({ what, status }) => [what, status]));
    assert.deepEqual(found, [[`eip155:31337:${from} transaction ${nonce} ${hash}`, "new"]]);
    const shown = named(reports).map((line) => line.replace(/ -?[\d.]+$/, ""));
    assert.deepEqual(shown.slice(0, 4), [
      "elm-estate ETH-LOCAL chain-under",
      "elm-estate ETH-LOCAL books-over",
      "elm-estate TUSD-LOCAL chain-under",
      "elm-estate TUSD-LOCAL books-over",
    ]);
    assert.equal(shown.length, 5);
    const lost = reports.flatMap(({ breaks }) => breaks.map(({ difference }) => Number(difference)));
    assert.deepEqual(lost, [-fee, fee, -3, 3]);
    await assert.rejects(
      signed("elm-estate", body("elm-estate", "ETH-LOCAL", 1n)),
      (error: RefusedError) => error.code === "client-frozen",
    );
    assert.match(ran.stderr, /elm-estate is frozen/);
    // Known by then: it is an alarm still, and no second freeze after the officers have ended the first.
    await run(["unfreeze", "--client", "elm-estate", "--as", at("officer.json")]).then((ended) =>
      assert.equal(ended.code, 0, ended.stdout + ended.stderr),
    );
    const frozen = () => leavesOf(gateway.folder).filter(({ type }) => type === "frozen").length;
    const before = frozen();
    const again = await reconcile();
    assert.deepEqual(
      [again.ran.code, again.reports.flatMap(({ signedOutside }) => signedOutside.map(({ status }) => status))],
      [1, ["open"]],
    );
    assert.equal(frozen(), before);
  });

  it("more of a token is out than its reserves hold", async () => {
    writeFileSync(at("backed.csv"), "token,reserve,client\nTEUR-LOCAL,TUSD-LOCAL,acme-fund\n");
    const { reports } = await reconcile("--backed", at("backed.csv"));
    const short = named(reports).filter((line) => line.includes("backing"));
    const held = await chain().readContract({
      address: TOKENS["TUSD-LOCAL"],
      abi,
      functionName: "balanceOf",
      args: [address("acme-fund")],
    });
    const missing = Number((held as bigint) - 10n ** 15n) / 1e6;
    assert.deepEqual(short, [`acme-fund TEUR-LOCAL backing-short ${missing}`]);
  });

  it("a chain that was rewritten below the block of the report before is told, once", async () => {
    const before = named(await reconcileAgain());
    const id = await node().snapshot();
    await node().mine({ blocks: 5 });
    assert.deepEqual(named(await reconcileAgain()), before);
    const old = (await chain().getBlockNumber()) - 2n;
    const { hash } = await chain().getBlock({ blockNumber: old });
    await node().revert({ id });
    await node().mine({ blocks: 9, interval: 3 });
    const now = await chain().getBlock({ blockNumber: old });
    const told = (await reconcileAgain()).flatMap(({ rewritten }) => rewritten);
    assert.notEqual(hash, now.hash);
    assert.deepEqual(
      told,
      CLIENTS.map(() => `block ${old} of eip155:31337 was ${hash}, is ${now.hash}`),
    );
    assert.deepEqual(named(await reconcileAgain()), before);
    assert.equal(shown, `${CLIENTS.length * ASSETS.length} of ${CLIENTS.length * ASSETS.length} balances`);
  });

  it("runs again and again by itself, also after a run that found no node", async () => {
    let isDown = false;
    const between = createServer((request, response) => {
      if (isDown) return void response.writeHead(502).end();
      void (async () => {
        const body = Buffer.concat((await request.toArray()) as Buffer[]);
        const headers = { "content-type": "application/json" };
        const answer = await fetch(anvil.url, { method: "POST", headers, body });
        response.end(Buffer.from(await answer.arrayBuffer()));
      })();
    });
    await once(between.listen(0, "127.0.0.1"), "listening");
    const url = `http://127.0.0.1:${(between.address() as AddressInfo).port}`;
    const flags = ["--as", at("watcher.json"), "--node", url, "--client", "blue-harbor", "--confirmations", "3"];
    const child = spawn(process.execPath, [PROGRAM, "reconcile", ...flags, "--every", "1s", "--json"]);
    const linesOf = (input: Readable): AsyncIterator<string> => createInterface({ input })[Symbol.asyncIterator]();
    const [reports, faults] = [linesOf(child.stdout), linesOf(child.stderr)];
    const next = async (lines: AsyncIterator<string>): Promise<string> => (await lines.next()).value as string;
    try {
      const times = [await next(reports), await next(reports)];
      isDown = true;
      assert.match(await next(faults), /^not reconciled: /);
      isDown = false;
      times.push(await next(reports));
      const at = times.map((line) => (JSON.parse(line) as { reports: [Report] }).reports[0].at);
      assert.equal(new Set(at).size, 3);
    } finally {
      child.kill();
      await once(child, "exit");
      between.close();
    }
  });

  it("without a node that answers there is an error, and no report", async () => {
    const reported = () => leavesOf(gateway.folder).filter(({ type }) => type === "reported").length;
    const before = reported();
    const ran = await run(["reconcile", "--as", at("watcher.json"), "--json", "--node", "http://127.0.0.1:1"]);
    const { error } = JSON.parse(ran.stdout) as { error: { code: string } };
    assert.deepEqual([error.code, ran.code], ["node-unreachable", 1]);
    assert.equal(reported(), before);
  });

  it("every report has its hash in the log, and the log verifies", async () => {
    const hashes = readdirSync(at("reports")).map((name) =>
      createHash("sha256")
        .update(readFileSync(join(at("reports"), name)))
        .digest("hex"),
    );
    const leaves = leavesOf(gateway.folder).filter(({ type }) => type === "reported");
    assert.ok(hashes.length >= 4 * CLIENTS.length);
    const recorded = new Set(leaves.map((leaf) => leaf["sha256"] as string));
    assert.deepEqual(
      hashes.filter((sha256) => !recorded.has(sha256)),
      [],
    );
    writeCallerFile(at("auditor.json"), gateway.callers["house"]!["auditor"]!);
    const exported = await run(["log", "export", at("log.jsonl"), "--as", at("auditor.json")]);
    assert.equal(exported.code, 0, exported.stderr);
    const verified = await run(["log", "verify", at("log.jsonl")]);
    assert.equal(verified.code, 0, verified.stdout + verified.stderr);
  });
});
