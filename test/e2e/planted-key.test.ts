import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { computeAddress, Transaction } from "ethers";
import { findSoftHsm } from "../../src/adapters/pkcs11/softhsm.ts";
import { startDevGateway, type DevGateway } from "../support/gateway.ts";
import { tokenOf } from "../support/ledger.ts";
import { pinOf } from "../support/pins.ts";
import { eventually, findVault, processesOf } from "../support/processes.ts";

// Goal: nobody can give a client another deposit address. Without any PIN, whoever loads the PKCS#11 module can put a
// public key into a token; the gateway believes none that it finds there.
// Method: OpenSC's tool on the tokens of a running gateway, without a PIN; then the vault is killed and comes back.

type KeysAnswer = { keys: { name: string; publicKey: string; accounts: string[]; usable: boolean }[] };

describe("a public key planted in a client's token", function () {
  let gateway: DevGateway;
  let atFirst: KeysAnswer;
  let token: { label: string; id: string };
  let folder: string;
  const point = generateKeyPairSync("ec", { namedCurve: "secp256k1" }).publicKey.export({
    format: "der",
    type: "spki",
  });
  const plantedPublicKey = `0x${point.subarray(-65).toString("hex")}`;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-planted-"));
    gateway = await startDevGateway();
    atFirst = await keys();
    token = tokenOf(gateway.folder, "acme-fund", "hot-1");
    writeFileSync(join(folder, "planted.der"), point);
  });
  after(async () => {
    await gateway?.stop();
    rmSync(folder, { recursive: true });
  });

  const keys = () => gateway.as("acme-fund", "payouts").get<KeysAnswer>("/v1/clients/acme-fund/keys");

  const tool = (...args: string[]): string =>
    execFileSync("pkcs11-tool", ["--module", findSoftHsm(), "--token-label", token.label, ...args], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, SOFTHSM2_CONF: join(gateway.folder, "vault", "softhsm", "softhsm2.conf") },
    });

  /** Without `login`, as anybody who may load the module. */
  const publicKeysInToken = (...login: string[]): string[] =>
    tool(...login, "--list-objects", "--type", "pubkey")
      .split("Public Key Object")
      .slice(1);

  async function assertSignsWithItsOwnKey(): Promise<void> {
    const view = await gateway.as("acme-fund", "payouts").sign(
      "acme-fund",
      {
        key: "hot-1",
        payload: {
          type: "evm-transaction",
          transaction: {
            to: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
            value: "1",
            gas: "21000",
            maxFeePerGas: "30000000000",
            maxPriorityFeePerGas: "1000000000",
          },
        },
      },
      { idempotencyKey: randomUUID() },
    );
    const signer = Transaction.from(view.result!.signedTransaction).from;
    assert.equal(signer, computeAddress(atFirst.keys[0]!.publicKey));
    assert.equal(`eip155:31337:${signer}`, atFirst.keys[0]!.accounts[0]);
    assert.notEqual(signer, computeAddress(plantedPublicKey));
  }

  async function killVault(): Promise<void> {
    const { vault } = processesOf(gateway.process.pid!);
    process.kill(vault, "SIGKILL");
    await eventually("another vault", () => {
      const found = findVault(gateway.process.pid!);
      return found !== undefined && found !== vault;
    });
  }

  it("is in the token, with the name and id of the client's key", () => {
    assert.deepEqual(publicKeysInToken(), [], "the client's own is shown to nobody without its PIN");
    tool("--write-object", join(folder, "planted.der"), "--type", "pubkey", "--label", "hot-1", "--id", token.id);
    const [planted, ...others] = publicKeysInToken();
    assert.match(planted!, new RegExp(`${plantedPublicKey.slice(4)}[^]*label: +hot-1[^]*ID: +${token.id}`));
    assert.deepEqual(others, []);
  });

  it("changes nothing for the vault that runs", async () => {
    assert.deepEqual(await keys(), atFirst);
    await assertSignsWithItsOwnKey();
  });

  it("changes nothing for a vault that starts: the same keys and addresses, and they sign", async () => {
    await killVault();
    assert.deepEqual(await keys(), atFirst);
    assert.ok(atFirst.keys.every(({ usable }) => usable));
    await assertSignsWithItsOwnKey();
  });

  it("can be destroyed by anybody as well; the client's own cannot, not even with the PIN", async () => {
    const destroy = ["--delete-object", "--type", "pubkey", "--id", token.id];
    tool(...destroy);
    assert.deepEqual(publicKeysInToken(), []);
    const pin = await pinOf(gateway.folder, "acme-fund");
    assert.throws(() => tool("--login", "--pin", pin, ...destroy), /C_DestroyObject\(\) failed/);
    assert.equal(publicKeysInToken("--login", "--pin", pin).length, 1);
  });
});
