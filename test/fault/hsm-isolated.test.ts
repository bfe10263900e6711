// Goal: a whole gateway runs with its clients' tokens in another process, and that process may die at any time: no
// withdrawal is lost or signed twice.
// Method: the real gateway; clients' tokens behind `p11-kit server`, its own two in its own process; the server is killed
// and started again under load.
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parse } from "yaml";
import { prepareSoftHsm } from "../../src/adapters/pkcs11/softhsm.ts";
import { faultsOf, KeptGateway, Load } from "../support/faulty-gateway.ts";
import type { DevGateway } from "../support/gateway.ts";
import { P11KitServer } from "../support/p11-kit.ts";

const DEATHS = process.env["SOAK"] === undefined ? 4 : 20;

/** SoftHSM's folder of a token ends with its serial number. */
function moveClientsTokens(gatewayFolder: string, to: string): void {
  const config = parse(readFileSync(join(gatewayFolder, "portcullis.yaml"), "utf8")) as {
    hsm: Record<"gatewayToken" | "logToken", { serial: string }>;
  };
  const own = [config.hsm.gatewayToken.serial, config.hsm.logToken.serial];
  const from = join(gatewayFolder, "vault", "softhsm", "tokens");
  for (const name of readdirSync(from)) {
    if (!own.includes(name.replaceAll("-", "").slice(-16))) renameSync(join(from, name), join(to, name));
  }
}

describe("a gateway whose clients' tokens are in another process", function () {
  this.timeout(600_000);
  let kept: KeptGateway;
  let server: P11KitServer;
  let gateway: DevGateway;

  before(async () => {
    kept = new KeptGateway();
    await (await kept.start()).stop();
    const elsewhere = join(kept.folder, "elsewhere");
    mkdirSync(elsewhere);
    const { modulePath, environment } = prepareSoftHsm(elsewhere);
    moveClientsTokens(kept.folder, join(elsewhere, "tokens"));
    server = new P11KitServer({ directory: elsewhere, modulePath, environment, remove: () => undefined });
    await server.start();
    kept.configure((own) => ({
      module: server.modulePath,
      environment: { P11_KIT_SERVER_ADDRESS: process.env["P11_KIT_SERVER_ADDRESS"] },
      own: { module: own.module, environment: own.environment },
    }));
    gateway = await kept.start();
  });
  after(async () => {
    await gateway?.stop();
    await server?.remove();
    kept.remove();
  });

  it(`that process is killed ${DEATHS} times under load: every withdrawal is signed once`, async () => {
    const load = new Load(gateway, 4);
    try {
      for (let death = 0; death < DEATHS; death += 1) {
        await load.more(4);
        await server.kill();
        await sleep(200);
        await server.start();
        await load.more(4);
      }
    } finally {
      await load.stop();
    }
    assert.deepEqual(faultsOf(gateway, load), []);
    assert.ok(load.signed.length > DEATHS);
  });
});
