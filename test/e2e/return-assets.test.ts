import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createPublicClient, createWalletClient, http, parseEther, type Hex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import type { Statement as AccountStatement } from "../../src/custody/statement.ts";
import { readStatementText, type Statement } from "../../src/domain/statement.ts";
import { startGateway, type TestGateway } from "../../src/sdk/testing.ts";
import { FIRST_ACCOUNT_KEY, startAnvil, type Anvil } from "../support/anvil.ts";
import { compileErc20 } from "../support/erc20.ts";
import { pledgeBody } from "../support/liens.ts";
import { run } from "../support/program.ts";

// Goal: when a custodian ends, each client's assets come back to where the client said beforehand, by a rule of its own;
// what is pledged stays (MiCA Art. 75(6)). To be practised at least once a year: this is the practice.
// Method: the command on a real node, a whole gateway, a lien, an approver; the node says where everything is.

const HOME = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
/** The first contract of the node's first account. */
const TOKEN = "0x5FbDB2315678afecb367f032d93F642f64180aa3";
const TUSD = 10n ** 6n;

const POLICY = `apiVersion: portcullis/v1
kind: ClientPolicy
client: acme-fund
version: 1
use: [shared/assets.yaml]
callers:
  payouts: { role: wallet-service, keys: ["ed25519:M6VqVUrtA/kadQU9EtD0ORaImZtOy1kR/HPbKRYegRM="] }
  administrator: { role: wallet-service, keys: ["ed25519:${Buffer.alloc(32, 5).toString("base64")}"] }
  trustee: { role: approver, keys: ["ed25519:rE+HDdsI1jl4pUTVAqZMhR+1ashqyyHECzFcmYkssJU="] }
  bank: { role: secured-party, keys: ["ed25519:${Buffer.alloc(32, 6).toString("base64")}"] }
  watcher: { role: observer, keys: ["ed25519:${Buffer.alloc(32, 7).toString("base64")}"] }
groups: { trustees: [trustee] }
addressBook:
  home: { address: "eip155:31337:${HOME}" }
exit: home
fee: { ETH-LOCAL: { max: "0.02" } }
rules:
  - id: exit
    allow: [transfer]
    by: [administrator]
    from: [hot-1]
    to: [home]
    amount: { ETH-LOCAL: any, TUSD-LOCAL: any }
    approvals: { trustees: 1 }
limits:
  ether: { sum: ETH-LOCAL, max: "100000", window: lifetime }
  dollars: { sum: TUSD-LOCAL, max: "1000000000", window: lifetime }
`;

type Run = { complete: boolean; done: { text: string; state: string; request?: string }[]; left: { text: string }[] };

describe("return-assets, practised", function () {
  let anvil: Anvil;
  let gateway: TestGateway;
  let own: Hex;
  const { abi, bytecode } = compileErc20();
  const chain = () => createPublicClient({ chain: foundry, transport: http(anvil.url), pollingInterval: 50 });
  const tokens = (of: string) =>
    chain().readContract({ address: TOKEN, abi, functionName: "balanceOf", args: [of] }) as Promise<bigint>;
  const file = (client: string, caller: string) => join(gateway.folder, "callers", client, `${caller}.json`);
  const statement = () => join(gateway.folder, "final.json");
  const returning = (...more: string[]) =>
    run([
      ...["return-assets", "acme-fund", "--node", anvil.url, "--as", file("acme-fund", "administrator"), "--json"],
      ...more,
    ]);
  const plan = () => ["--plan", join(gateway.folder, "exit.json")];
  const post = <T>(client: string, caller: string, path: string, body: unknown): Promise<T> =>
    gateway.as(client, caller).call<T>("POST", `/v1/clients/acme-fund/${path}`, { body, idempotencyKey: randomUUID() });

  before(async () => {
    anvil = await startAnvil();
    const rich = createWalletClient({
      account: privateKeyToAccount(FIRST_ACCOUNT_KEY),
      chain: foundry,
      transport: http(anvil.url),
    });
    const mined = async (hash: Hex) => void (await chain().waitForTransactionReceipt({ hash }));
    await mined(await rich.deployContract({ abi, bytecode }));
    gateway = await startGateway({ policy: POLICY });
    own = gateway.addresses["acme-fund"]!["hot-1"] as Hex;
    await mined(await rich.sendTransaction({ to: own, value: parseEther("3") }));
    await mined(
      await rich.writeContract({ address: TOKEN, abi, functionName: "transfer", args: [own, 1_000n * TUSD] }),
    );
    const amount = String(1_000n * TUSD);
    const deposit = { transaction: `0x${"1".repeat(64)}`, position: "0", asset: "TUSD-LOCAL", amount, block: 3 };
    await post("acme-fund", "watcher", "observations", {
      what: "deposit",
      deposit: { ...deposit, to: `eip155:31337:${own}` },
    });
    const balance = { asset: "TUSD-LOCAL", amount, block: 3 };
    await post("acme-fund", "watcher", "observations", { what: "balance", balance });
    const { hash: policy } = await gateway.as("house", "officer").get<{ hash: string }>("/v1/clients/acme-fund/policy");
    const { officer } = gateway.callers["house"]!;
    const { bank } = gateway.callers["acme-fund"]!;
    const fields = { origin: officer!.gateway, client: "acme-fund", lien: "loan", asset: "TUSD-LOCAL", policy };
    const lien = { ...fields, amount: String(400n * TUSD), party: bank!, officers: [officer!] };
    await post("house", "officer", "liens", pledgeBody(lien));
  });
  after(async () => {
    await gateway?.stop();
    await anvil?.stop();
  });

  it("the plan says what goes where and what stays, and does nothing", async () => {
    const planned = await returning("--dry-run");
    assert.equal(planned.code, 0, planned.stderr);
    const { transfers, left } = JSON.parse(planned.stdout) as {
      transfers: { text: string }[];
      left: { text: string }[];
    };
    assert.match(transfers[0]!.text, new RegExp(`^600 TUSD-LOCAL from ${own} to ${HOME}$`));
    assert.match(transfers[1]!.text, /^2\.99\d* ETH-LOCAL from/);
    assert.deepEqual([transfers.length, left.map(({ text }) => text)], [2, [`400 TUSD-LOCAL at ${own}: pledged`]]);
  });

  it("the rule's people approve, the same command goes on, and the client's account is empty but for what is pledged", async () => {
    const before = await chain().getBalance({ address: HOME });
    const first = await returning(...plan());
    const waiting = JSON.parse(first.stdout) as Run;
    assert.deepEqual([first.code, waiting.done.map(({ state }) => state)], [1, ["waits", "waits"]], first.stderr);
    for (const { request } of waiting.done) {
      const approved = await run(["approval", "approve", request!, "--as", file("acme-fund", "trustee"), "--yes"]);
      assert.equal(approved.code, 0, approved.stderr);
    }
    const auditor = ["--statement-as", file("house", "auditor"), "--out", statement()];
    const second = await returning(...plan(), ...auditor);
    const ran = JSON.parse(second.stdout) as Run;
    assert.deepEqual([second.code, ran.complete], [0, true], second.stdout + second.stderr);
    assert.deepEqual([await tokens(HOME), await tokens(own)], [600n * TUSD, 400n * TUSD]);
    const [got, rest] = [
      (await chain().getBalance({ address: HOME })) - before,
      await chain().getBalance({ address: own }),
    ];
    assert.ok(got > parseEther("2.99") && rest < parseEther("0.01"), `${got} came, ${rest} stays`);
    const third = await returning(...plan());
    assert.equal((JSON.parse(third.stdout) as Run).complete, true, "a run that was done does nothing again");
    assert.equal(await tokens(HOME), 600n * TUSD);
  });

  it("the final statement verifies, and shows the lien", async () => {
    assert.ok(existsSync(statement()));
    const key = gateway.callers["house"]!["auditor"]!.statementKey!;
    const verified = await run(["statement", "verify", statement(), "--key", key]);
    assert.equal(verified.code, 0, verified.stderr);
    const signed = JSON.parse(readFileSync(statement(), "utf8")) as Statement;
    const { positions, liens } = readStatementText(signed.text)!.content as AccountStatement;
    assert.deepEqual(
      [positions.find(({ asset }) => asset === "TUSD-LOCAL")!.closing, liens.map(({ amount }) => amount)],
      ["400", ["400"]],
    );
  });
});
