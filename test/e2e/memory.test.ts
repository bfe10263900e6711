// Goal: in the isolated mode a client's key is never in the vault's memory; in the vault's own process it is, so that this
// proof can fail.
// Method: a known key is imported (which the gateway refuses: that guard is lifted in a bundle of this test's own), the
// vault signs with it, and everything in its memory is searched for the key meanwhile.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SigningKey } from "ethers";
import pkcs11 from "pkcs11js";
import { parse, stringify } from "yaml";
import { prepareSoftHsm } from "../../src/adapters/pkcs11/softhsm.ts";
import { foundingHousePolicy, writeConfig } from "../../src/cli/founding.ts";
import { readStatementText, type Statement } from "../../src/domain/statement.ts";
import { found } from "../../src/main.ts";
import { newCaller, type CallerFile } from "../../src/sdk/caller-file.ts";
import { Connection } from "../support/killable-vault.ts";
import { findInMemory } from "../support/memory.ts";
import { signersOf } from "../support/processes.ts";
import { P11KitServer } from "../support/p11-kit.ts";
import { importedKey, inRawSession, plantedPublicKey } from "../support/pkcs11.ts";
import { SCRATCH_PIN, type ScratchFolder } from "../support/softhsm.ts";
import { startUnguardedVault } from "../support/unguarded-vault.ts";

/** One look in three finds it in the vault's own process: sixteen looks that find nothing say something. */
const LOOKS = { own: 60, isolated: 16 };
const AT_A_TIME = 100;

const GATEWAY = "memory-test";
const ID = "c0ffee";
const SECP256K1 = Buffer.from("06052b8104000a", "hex");

describe("a client's key in the vault's memory", function () {
  const environment = { ...process.env };
  let folder: string;
  let key: SigningKey;
  let operator: CallerFile;
  let answersKey: string;

  const bytesOf = (hex: string) => Buffer.from(hex.slice(2), "hex");
  const at = (...path: string[]) => join(folder, ...path);

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-memory-"));
    key = new SigningKey(randomBytes(32));
    const nobody = {
      gateway: GATEWAY,
      url: "http://127.0.0.1",
      answersKey: `ed25519:${Buffer.alloc(32).toString("base64")}`,
    };
    const people = ["officer", "operator"].map((name) => newCaller(nobody, name));
    operator = people[1]!;
    mkdirSync(at("run"));
    const founded = await found({ gateway: GATEWAY, vaultFolder: at("vault"), ...foundingHousePolicy(people) });
    answersKey = founded.answersKey;
    writeConfig(at("portcullis.yaml"), { name: GATEWAY, listen: "127.0.0.1:0", founded });
  });
  afterEach(() => {
    for (const name of ["SOFTHSM2_CONF", "P11_KIT_SERVER_ADDRESS"]) {
      if (environment[name] === undefined) delete process.env[name];
      else process.env[name] = environment[name];
    }
    rmSync(folder, { recursive: true, force: true });
  });

  /** A token `known` with the known key in it. */
  function importInto(tokens: ScratchFolder): void {
    process.env["SOFTHSM2_CONF"] = tokens.environment.SOFTHSM2_CONF;
    const init = ["--init-token", "--free", "--label", "known", "--pin", SCRATCH_PIN, "--so-pin", "so-pin-1234"];
    execFileSync("softhsm2-util", init, { stdio: "pipe" });
    const point = Buffer.concat([Buffer.from("0441", "hex"), bytesOf(key.publicKey)]);
    inRawSession(tokens, "known", true, (lib, session) => {
      const template = importedKey("hot-1", ID).filter(({ type }) => type !== pkcs11.CKA_VALUE);
      lib.C_CreateObject(session, [...template, { type: pkcs11.CKA_VALUE, value: bytesOf(key.privateKey) }]);
      lib.C_CreateObject(session, plantedPublicKey("hot-1", Buffer.from(ID, "hex"), SECP256K1, point));
    });
  }

  function configure(hsm: object): void {
    const config = parse(readFileSync(at("portcullis.yaml"), "utf8")) as { hsm: object };
    writeFileSync(at("portcullis.yaml"), stringify({ ...config, hsm: { ...config.hsm, ...hsm } }));
  }

  /** Which forms of the key are in the vault's memory while it signs with it; the first look that finds one is the last. */
  async function formsInMemory(looks: number): Promise<string[]> {
    const vault = await startUnguardedVault(at("portcullis.yaml"));
    const gateway = { gateway: GATEWAY, url: "http://127.0.0.1", answersKey };
    const connection = await Connection.to(at("run", "vault.sock"), gateway);
    try {
      const adopt = { label: "known", pin: SCRATCH_PIN, chains: ["eip155:1"] };
      const added = await connection.send(operator, "POST", "/v1/clients", { client: "acme", adopt }, randomUUID());
      assert.equal(added.status, 201, added.body.toString());
      const secret = bytesOf(key.privateKey);
      // OpenSSL keeps numbers by words, the least first: in memory that is the number backwards.
      const forms = new Map([
        ["as bytes", secret],
        ["as a number of OpenSSL's", Buffer.from(secret.toReversed())],
      ]);
      const found = new Set<string>();
      for (let look = 0; look < looks && found.size === 0; look += 1) {
        const signing = Array.from({ length: AT_A_TIME }, () => attest(connection));
        await Promise.race(signing);
        // Modules wipe a key after each use: what is there in the middle of a signature is what counts.
        process.kill(vault.pid, "SIGSTOP");
        for (const pid of [vault.pid, ...signersOf(vault.pid)])
          for (const form of findInMemory(pid, forms)) found.add(form);
        process.kill(vault.pid, "SIGCONT");
        await Promise.all(signing);
      }
      return [...found];
    } finally {
      connection.close();
      await vault.stop();
    }
  }

  /** Has the key sign a challenge. */
  async function attest(connection: Connection): Promise<void> {
    const { json } = await connection.send(operator, "GET", "/v1/clients/acme/attestation");
    const said = readStatementText((json as Statement).text)!.content as { keys: { proven: boolean }[] };
    assert.deepEqual(
      said.keys.map(({ proven }) => proven),
      [true],
    );
  }

  it("in the vault's own process: it is there", async () => {
    const { modulePath, environment: own } = prepareSoftHsm(at("vault", "softhsm"));
    importInto({ directory: folder, modulePath, environment: own, remove: () => undefined });
    assert.ok((await formsInMemory(LOOKS.own)).length > 0);
  });

  it("behind p11-kit's socket: it is not", async () => {
    const { modulePath, environment: elsewhere } = prepareSoftHsm(at("elsewhere"));
    const tokens = { directory: at("elsewhere"), modulePath, environment: elsewhere, remove: () => undefined };
    importInto(tokens);
    const own = prepareSoftHsm(at("vault", "softhsm"));
    const server = new P11KitServer(tokens);
    await server.start();
    try {
      configure({
        module: server.modulePath,
        environment: { P11_KIT_SERVER_ADDRESS: process.env["P11_KIT_SERVER_ADDRESS"] },
        own: { module: own.modulePath, environment: own.environment },
      });
      assert.deepEqual(await formsInMemory(LOOKS.isolated), []);
    } finally {
      await server.remove();
    }
  });
});
