import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readBootSecret } from "../../src/adapters/files/boot-secret.ts";
import { openHsm } from "../../src/adapters/pkcs11/hsm.ts";
import { openSqliteStore } from "../../src/adapters/sqlite/store.ts";
import { readConfig } from "../../src/config.ts";
import { redeemPermit } from "../../src/vault/permit.ts";
import { Following } from "../../src/vault/following.ts";
import { openRowKey, Seals } from "../../src/vault/seals.ts";
import { sealedStore } from "../../src/vault/sealed-store.ts";
import { Pins } from "../../src/vault/pins.ts";
import type { ClientId } from "../../src/domain/names.ts";
import { copyStore } from "./store-copy.ts";

/**
 * A client's PIN, as whoever has the boot secret, the store and the gateway's token can read it. From a copy of the store,
 * which a running vault keeps for itself. Opens and closes SoftHSM in this process.
 */
export async function pinOf(gatewayFolder: string, client: string): Promise<string> {
  const { hsm: options, vault } = readConfig(join(gatewayFolder, "portcullis.yaml"));
  const before = process.env["SOFTHSM2_CONF"];
  Object.assign(process.env, options.environment);
  const folder = mkdtempSync(join(tmpdir(), "portcullis-pin-"));
  const copy = join(folder, "copy.db");
  copyStore(join(gatewayFolder, "vault", "portcullis.db"), copy);
  const rows = openSqliteStore(copy);
  const hsm = await openHsm({ modulePath: options.module, sessionsPerToken: 1, queueLimit: 4, redeem: redeemPermit });
  try {
    const sealer = await hsm.openGatewayToken(options.gatewayToken, readBootSecret(vault.bootSecret));
    const store = sealedStore(rows, new Following(new Seals(await openRowKey(rows, sealer)), () => undefined));
    const row = await store.read((reader) => reader.client(client as ClientId));
    return await new Pins({ store, sealer }).login(client, row!.token, async (pin) => pin);
  } finally {
    await hsm.close();
    await rows.close();
    rmSync(folder, { recursive: true, force: true });
    if (before === undefined) delete process.env["SOFTHSM2_CONF"];
    else process.env["SOFTHSM2_CONF"] = before;
  }
}
