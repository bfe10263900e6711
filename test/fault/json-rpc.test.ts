import assert from "node:assert/strict";
import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createPublicClient, createTestClient, http, type Hex } from "viem";
import { foundry } from "viem/chains";
import { createApp, createEdgeServer } from "../../src/edge/app.ts";
import { Nodes } from "../../src/edge/chain-node.ts";
import { edgeLog } from "../../src/edge/log.ts";
import { VaultLink } from "../../src/edge/vault-link.ts";
import { readCallerFile } from "../../src/sdk/caller-file.ts";
import { connect, type GatewayClient } from "../../src/sdk/client.ts";
import { startAnvil, type Anvil } from "../support/anvil.ts";
import { KillableVault, type Connection, type RunningProcess } from "../support/killable-vault.ts";
import type { Place } from "../support/places.ts";
import { ADDRESSES, CHAIN } from "../support/vault.ts";
import { applyTo, FOUNDING, furnish, GATEWAY, people, policy } from "../support/withdrawals.ts";

// Goal: a wallet that speaks to a node and knows of no idempotency key pays once, whatever dies between.
// Method: `eth_sendTransaction` without a nonce; the vault is killed where it hurts most; the same call again, and once more
// through a second edge; then the node is asked what it has.

const RICH = {
  ...policy,
  version: "2",
  fee: { ETH: { max: "1000000000000000000" } },
  limits: { daily: { sum: "ETH", max: "10000000000000000000", window: { rolling: "24h" } } },
};
const [TREASURY] = ADDRESSES as [Hex];

describe("Ethereum JSON-RPC, killed", function () {
  let anvil: Anvil;
  let vault: KillableVault;
  let running: RunningProcess;
  let connection: Connection;
  let from: Hex;
  const edges: { server: Server; link: VaultLink; client: GatewayClient }[] = [];
  const chain = () => createPublicClient({ chain: foundry, transport: http(anvil.url) });

  before(async () => {
    anvil = await startAnvil();
    vault = await KillableVault.founded(GATEWAY, FOUNDING);
    running = await vault.start();
    connection = await vault.connect();
    await furnish(connection);
    await applyTo(connection, RICH);
    const answer = await connection.send(people.payouts, "GET", "/v1/clients/acme/keys");
    from = (answer.json as { keys: { accounts: string[] }[] }).keys[0]!.accounts[0]!.split(":")[2] as Hex;
    const node = createTestClient({ chain: foundry, mode: "anvil", transport: http(anvil.url) });
    await node.setBalance({ address: from, value: 10n ** 19n });
    edges.push(await anEdge(), await anEdge());
  });
  after(async () => {
    connection?.close();
    for (const { server, link } of edges) {
      link.close();
      server.close();
      server.closeAllConnections();
    }
    await running?.kill();
    vault?.remove();
    await anvil?.stop();
  });

  async function anEdge() {
    const link = new VaultLink(vault.socketOf());
    const limits = { bodyBytes: 262_144, inFlight: 64 };
    const app = createApp(link, limits, edgeLog("silent"), new Nodes({ [CHAIN]: anvil.url }));
    const server = createEdgeServer(app, undefined).listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return { server, link, client: connect({ ...readCallerFile(vault.callerFile(people.payouts)), url }) };
  }

  async function send(edge: number, value: number): Promise<Hex> {
    const params = [{ from, to: TREASURY, value: `0x${value.toString(16)}` }];
    const body = { jsonrpc: "2.0", id: 1, method: "eth_sendTransaction", params };
    const { status, body: answer } = await edges[edge]!.client.send(
      "POST",
      "/rpc/acme",
      Buffer.from(JSON.stringify(body)),
      undefined,
    );
    assert.equal(status, 200, answer.toString());
    const { result } = JSON.parse(answer.toString()) as { result?: Hex };
    assert.ok(result, answer.toString());
    return result;
  }

  const PLACES_THAT_HURT: readonly Place[] = ["Reserve", "Sign", "before COMMIT of Record", "Record"];
  for (const place of PLACES_THAT_HURT)
    it(`killed at ${place}: the same call, also through a second edge, is one transaction on the node`, async () => {
      const value = 1000 + PLACES_THAT_HURT.indexOf(place);
      const [sentBefore, hadBefore] = await Promise.all([
        chain().getTransactionCount({ address: from }),
        chain().getBalance({ address: TREASURY }),
      ]);
      await running.arm(place);
      const interrupted = send(0, value);
      interrupted.catch(() => undefined);
      await running.ended;
      running = await vault.start();
      // The edge has asked again by itself; whoever lost that answer asks once more, here or there.
      const hashes = [await interrupted, await send(0, value), await send(1, value)];
      assert.deepEqual(new Set(hashes).size, 1, hashes.join(" "));
      const receipt = await chain().waitForTransactionReceipt({ hash: hashes[0]! });
      assert.equal(receipt.status, "success");
      assert.equal(await chain().getTransactionCount({ address: from }), sentBefore + 1);
      assert.equal(await chain().getBalance({ address: TREASURY }), hadBefore + BigInt(value));
    });
});
