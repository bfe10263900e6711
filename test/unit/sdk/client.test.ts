import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { startProxy } from "../../../src/cli/proxy.ts";
import { newCaller } from "../../../src/sdk/caller-file.ts";
import { GatewayClient } from "../../../src/sdk/client.ts";
import { send } from "../../support/wire.ts";

// Goal: a signed request goes to the configured gateway or nowhere, whatever path somebody puts into it.
// Method: a second server stands where those paths lead; it must never be asked.

describe("sdk/client and proxy: targets", () => {
  const asked: string[] = [];
  const elsewhere = createServer((request, response) => {
    asked.push(request.url!);
    response.end();
  });
  let host: string;
  let client: GatewayClient;
  before(async () => {
    await once(elsewhere.listen(0, "127.0.0.1"), "listening");
    host = `127.0.0.1:${(elsewhere.address() as AddressInfo).port}`;
    const gateway = { gateway: "prod", url: "http://127.0.0.1:1", answersKey: `ed25519:${"A".repeat(43)}=` };
    client = new GatewayClient(newCaller(gateway, "payouts"));
  });
  after(() => elsewhere.close());

  const targets = () => [
    `//${host}/v1/clients`,
    `///${host}/v1/clients`,
    `/\\${host}/v1/clients`,
    `\\\\${host}/v1/clients`,
    `http://${host}/v1/clients`,
    `@${host}/v1`,
    `${host}/v1`,
    ` /v1`,
    "",
    "v1/clients",
  ];

  it("the SDK refuses what is no path of its gateway", async () => {
    for (const target of targets()) {
      await assert.rejects(client.send("GET", target, Buffer.alloc(0), undefined), { code: "invalid-target" }, target);
      await assert.rejects(client.call("GET", target), { code: "invalid-target" }, target);
    }
    assert.deepEqual(asked, []);
  });

  it("the proxy answers 400 and forwards nothing", async () => {
    const proxy = await startProxy(client, 0);
    try {
      for (const target of [`//${host}/v1/clients`, `/\\${host}/v1/clients`, `http://${host}/v1/clients`]) {
        const { port } = new URL(proxy.url);
        const headers = { host: `127.0.0.1:${port}` };
        const answer = await send(proxy.url, { method: "GET", target, headers, body: Buffer.alloc(0) });
        const { code } = JSON.parse(answer.body.toString()) as { code: string };
        assert.deepEqual([answer.status, code], [400, "invalid-target"], target);
      }
      assert.deepEqual(asked, []);
    } finally {
      await proxy.stop();
    }
  });
});
