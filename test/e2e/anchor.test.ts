import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createPublicClient, createWalletClient, hexToString, http, parseEther, stringToHex, type Hex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import type { Report } from "../../src/cli/log/verify.ts";
import type { RefusedError } from "../../src/sdk/client.ts";
import { startGateway, type TestGateway } from "../../src/sdk/testing.ts";
import { FIRST_ACCOUNT_KEY, startAnvil, type Anvil } from "../support/anvil.ts";
import { run } from "../support/program.ts";

// Goal: what stands in a chain is held against the log: a log that was rewritten since, or is shorter, is found, also when
// whoever rewrote it has the log's key. The transaction is decided like any other.
// Method: the commands, the whole gateway and a real node; others write to that chain what they like.

const POLICY = `apiVersion: portcullis/v1
kind: ClientPolicy
client: own-funds
owner: house
version: 1
use: [shared/assets.yaml]
callers:
  anchors: { role: wallet-service, keys: ["ed25519:M6VqVUrtA/kadQU9EtD0ORaImZtOy1kR/HPbKRYegRM="] }
  other: { role: wallet-service, keys: ["ed25519:rE+HDdsI1jl4pUTVAqZMhR+1ashqyyHECzFcmYkssJU="] }
fee: { ETH-LOCAL: { max: "0.01" } }
rules:
  - { id: anchor, allow: [message], format: [anchor], by: [anchors], from: [hot-1], chain: ["eip155:31337"] }
limits:
  anchors: { count: transactions, max: "24", window: { rolling: 24h } }
`;

describe("log anchor", function () {
  const rich = privateKeyToAccount(FIRST_ACCOUNT_KEY);
  let anvil: Anvil;
  let gateway: TestGateway;
  let own: Hex;
  let anchored: Hex;
  const chain = () => createPublicClient({ chain: foundry, transport: http(anvil.url), pollingInterval: 20 });
  const wallet = () => createWalletClient({ account: rich, chain: foundry, transport: http(anvil.url) });
  const at = (name: string): string => join(gateway.folder, name);
  const callerFile = (client: string, caller: string) => at(join("callers", client, `${caller}.json`));
  const anchor = (...more: string[]) =>
    run(["log", "anchor", "--account", own, "--node", anvil.url, "--json", ...more]);
  const verify = async (transaction: string, file = "log.jsonl", ...more: string[]) => {
    const args = ["--anchor", transaction, "--node", anvil.url, "--confirmations", "1", ...more];
    const ran = await run(["log", "verify", at(file), ...args, "--json"]);
    const report = JSON.parse(ran.stdout) as Report & { error?: { code: string } };
    return { code: ran.code, report, found: report.error?.code ?? Object.keys(report.found).join() };
  };
  /** Somebody else's word, in the same chain. */
  const written = async (text: string): Promise<Hex> => {
    const hash = await wallet().sendTransaction({ to: rich.address, data: stringToHex(text) });
    await chain().waitForTransactionReceipt({ hash });
    return hash;
  };
  const coveredLeaves = async (): Promise<number> =>
    Number((await (await fetch(`${gateway.url}/v1/log/checkpoint`)).text()).split("\n")[1]);
  const textOf = async (hash: Hex): Promise<string> => hexToString((await chain().getTransaction({ hash })).input);

  before(async () => {
    [anvil, gateway] = await Promise.all([startAnvil(), startGateway({ policy: POLICY })]);
    own = gateway.addresses["own-funds"]!["hot-1"] as Hex;
    const hash = await wallet().sendTransaction({ to: own, value: parseEther("1") });
    await chain().waitForTransactionReceipt({ hash });
    while ((await coveredLeaves()) < 3) await delay(50); // a log can be shorter than what is anchored
  });
  after(async () => {
    await gateway?.stop();
    await anvil?.stop();
  });

  it("the newest checkpoint stands in a transaction of the house's key to itself, which its policy allows", async () => {
    const ran = await anchor("--as", callerFile("own-funds", "anchors"));
    assert.equal(ran.code, 0, ran.stdout + ran.stderr);
    const said = JSON.parse(ran.stdout) as {
      transaction: Hex;
      state: string;
      size: number;
      root: string;
      origin: string;
    };
    anchored = said.transaction;
    const { from, to, value } = await chain().getTransaction({ hash: anchored });
    assert.deepEqual([from, to, value, said.state], [own.toLowerCase(), own.toLowerCase(), 0n, "mined"]);
    assert.equal(await textOf(anchored), `Portcullis log anchor v1\n${said.origin}\n${said.size}\n${said.root}\n`);
  });

  it("there is no way round the policy: not for another caller, with ether, to another account or with another text", async () => {
    const ran = await anchor("--as", callerFile("own-funds", "other"));
    assert.match(ran.stdout, /denied-by-policy/);
    const data = (await chain().getTransaction({ hash: anchored })).input;
    const transaction = {
      chainId: "31337",
      to: own,
      value: "0",
      data,
      gas: "60000",
      maxFeePerGas: "2000000000",
      maxPriorityFeePerGas: "0",
    };
    const sign = (change: object) =>
      gateway
        .as("own-funds", "anchors")
        .sign(
          "own-funds",
          { key: "hot-1", payload: { type: "evm-transaction", transaction: { ...transaction, ...change } } },
          { idempotencyKey: randomUUID() },
        );
    const changes = [
      { value: "1" },
      { to: rich.address },
      { data: `${data}00` },
      { data: stringToHex("Portcullis log anchor v2\n") },
      { maxFeePerGas: "200000000000000" },
    ];
    for (const change of changes)
      await assert.rejects(
        sign(change),
        ({ code }: RefusedError) => code === "denied-by-policy",
        JSON.stringify(change),
      );
    assert.equal((await sign({})).state, "signed");
  });

  it("the log is held against it", async () => {
    const exported = await run(["log", "export", at("log.jsonl"), "--as", callerFile("house", "auditor")]);
    assert.equal(exported.code, 0, exported.stderr);
    const { code, report } = await verify(anchored);
    assert.deepEqual(
      [code, report.anchors.map(({ transaction, client }) => [transaction, client])],
      [0, [[anchored, "own-funds"]]],
      JSON.stringify(report.findings),
    );
    const shown = await run([
      "log",
      "verify",
      at("log.jsonl"),
      "--anchor",
      anchored,
      "--node",
      anvil.url,
      "--confirmations",
      "1",
    ]);
    assert.match(
      shown.stdout,
      new RegExp(`anchor +\\d+ leaves in block \\d+ of eip155:31337 at .*own-funds: ${anchored}`),
    );
  });

  it("a log of which a leaf is another than then, or that is shorter, is found", async () => {
    const lines = readFileSync(at("log.jsonl"), "utf8").trimEnd().split("\n");
    const leaf = lines.findIndex((line) => line.includes('"salt"'));
    const changed = lines[leaf]!.replace(/(?<="salt":")./, (first) => (first === "A" ? "B" : "A"));
    const other = lines.with(leaf, changed);
    writeFileSync(at("other.jsonl"), `${other.join("\n")}\n`);
    const first = lines.findIndex((line) => "leaf" in (JSON.parse(line) as object));
    writeFileSync(at("shorter.jsonl"), `${lines.slice(0, first + 2).join("\n")}\n`);
    const rewritten = await verify(anchored, "other.jsonl");
    assert.ok(
      rewritten.report.findings.some(({ code, message }) => code === "checkpoint-root" && message.includes(anchored)),
      JSON.stringify(rewritten.report.findings),
    );
    assert.match((await verify(anchored, "shorter.jsonl")).found, /log-shorter/);
  });

  it("what others write to the chain is not taken for it, nor what is not settled", async () => {
    const text = await textOf(anchored);
    assert.equal((await verify(await written(text))).found, "anchor-differs");
    const elsewhere = text.replace(/\n[^\n]+/, "\nanother-log");
    assert.match((await verify(await written(elsewhere))).found, /anchor-differs/);
    assert.equal((await verify(await written("hello"))).found, "anchor-invalid");
    assert.equal((await verify(`0x${"12".repeat(32)}`)).found, "anchor-invalid");
    assert.equal((await verify(anchored, "log.jsonl", "--confirmations", "100")).found, "anchor-invalid");
  });
});
