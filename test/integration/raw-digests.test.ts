import assert from "node:assert/strict";
import { createHash, createPublicKey, randomBytes, verify } from "node:crypto";
import { ed25519 } from "@noble/curves/ed25519.js";
import { computeAddress, recoverAddress } from "ethers";
import type { SigningRequestView } from "../../src/domain/api.ts";
import { verifiesReleased } from "../../src/cli/log/signatures.ts";
import { checkpointsOf, exported, verified } from "../support/exported-log.ts";
import { checkLog, logOf } from "../support/log-check.ts";
import { scratchHsm, type ScratchHsm } from "../support/softhsm.ts";
import { acmePolicy, CHAIN, newKey, REQUESTS, testVault, transferBody, type TestVault } from "../support/vault.ts";

// Goal: keys of all three curves are made, proven, attested and used over the API; a raw digest is signed only by a key
// made for nothing else, under a rule that names raw digests and says that they are unbounded (I3, I17).
// Method: a real SoftHSM; ethers, noble and OpenSSL judge the signatures.

const bytes = (hex: string): Buffer => Buffer.from(hex.slice(2), "hex");
const CURVES = ["secp256k1", "p256", "ed25519"] as const;
const DAILY = { count: "transactions", max: "12", window: { rolling: "24h" } };
const RAW_RULE = { id: "digests", allow: ["raw-digest"], by: ["payouts"], unbounded: "true" };

type KeyView = {
  name: string;
  curve: string;
  purpose: string;
  publicKey: string;
  chains: string[];
  accounts: string[];
};

/** Each by a library that neither the token nor the vault has used for this curve. */
const JUDGES: Readonly<Record<string, (key: KeyView, digest: string, signature: string) => boolean>> = {
  secp256k1: ({ publicKey }, digest, signature) => recoverAddress(digest, signature) === computeAddress(publicKey),
  // OpenSSL hashes what it verifies, so the digest is the hash of a message that the test knows.
  p256: ({ publicKey }, digest, signature) =>
    verify(
      "sha256",
      MESSAGE_OF.get(digest)!,
      { key: spkiOfP256(publicKey), dsaEncoding: "ieee-p1363" },
      bytes(signature),
    ),
  ed25519: ({ publicKey }, digest, signature) => ed25519.verify(bytes(signature), bytes(digest), bytes(publicKey)),
};

function spkiOfP256(publicKey: string) {
  const [x, y] = [1, 33].map((at) =>
    bytes(publicKey)
      .subarray(at, at + 32)
      .toString("base64url"),
  ) as [string, string];
  return createPublicKey({ key: { kty: "EC", crv: "P-256", x, y }, format: "jwk" });
}

type Released = { readonly digest: string; readonly signature: string };

const MESSAGE_OF = new Map<string, Buffer>();
function freshDigest(): string {
  const message = randomBytes(40);
  const digest = `0x${createHash("sha256").update(message).digest("hex")}`;
  MESSAGE_OF.set(digest, message);
  return digest;
}

describe("raw digests, on keys of every curve", function () {
  let scratch: ScratchHsm;
  let vault: TestVault;
  const keys = new Map<string, KeyView>();
  let version = 1;

  const make = (body: object) => vault.call("operator", "POST", "/v1/clients/acme/keys", body, newKey());
  const ask = (key: string, digest: string, idempotencyKey = newKey(), caller = "payouts") =>
    vault.call(caller, "POST", REQUESTS, { key, payload: { type: "raw-digest", digest } }, idempotencyKey);
  const apply = (rules: object[]) => {
    version += 1;
    const document = { ...acmePolicy, version: String(version), callers: vault.clientCallers, rules };
    return vault.apply("acme", { ...document, limits: { ...acmePolicy.limits, daily2: DAILY } });
  };
  const code = (answer: { body: unknown }) => (answer.body as { code: string }).code;

  before(async () => {
    scratch = await scratchHsm();
    vault = await testVault({ hsm: scratch.hsm });
    await apply([...acmePolicy.rules, RAW_RULE]);
  });
  after(async () => {
    await vault?.close();
    await scratch?.close();
  });

  for (const curve of CURVES) {
    it(`${curve}: a key is made over the API, lives on no chain and has no address`, async () => {
      const { status, body } = await make({ name: `raw-${curve}`, curve, purpose: "raw" });
      const made = body as KeyView;
      assert.deepEqual([status, made.curve, made.purpose, made.chains], [201, curve, "raw", []]);
      assert.equal(made.accounts.length, 1);
      assert.match(made.accounts[0]!, new RegExp(`^raw:${curve}:[0-9a-f]{64,66}$`));
      const opening = checkLog(await logOf(vault.store)).find(({ opening: { key } }) => key === made.name)!.opening;
      assert.deepEqual([opening.type, opening["purpose"], opening["curve"]], ["key-created", "raw", curve]);
      keys.set(curve, made);
    });

    it(`${curve}: what it signs verifies elsewhere, is counted, and is the same for every retry`, async () => {
      const [key, digest, idempotencyKey] = [keys.get(curve)!, freshDigest(), newKey()];
      const { status, body } = await ask(key.name, digest, idempotencyKey);
      const { state, result, intent } = body as SigningRequestView;
      assert.deepEqual([status, state], [201, "signed"], JSON.stringify(body));
      assert.deepEqual((intent as { operations: object[] }).operations, [
        { kind: "raw-digest", from: key.accounts[0], digest },
      ]);
      assert.equal(result!.digest, digest);
      assert.ok(JUDGES[curve]!(key, digest, result!.signature), "it verifies");
      assert.ok(!JUDGES[curve]!(key, freshDigest(), result!.signature), "over this digest alone");
      assert.equal(result!.transactionHash, undefined);
      const again = await ask(key.name, digest, idempotencyKey);
      assert.equal((again.body as SigningRequestView).result!.signature, result!.signature);
    });
  }

  it("every key is attested with its curve and mechanism, proven by a fresh challenge", async () => {
    const { body } = await vault.call("operator", "GET", "/v1/clients/acme/attestation");
    const text = (body as { text: string }).text;
    const { keys: shown } = JSON.parse(text.slice(text.indexOf("{"))) as { keys: Record<string, unknown>[] };
    assert.deepEqual(shown.map(({ curve, purpose, signsBy, proven }) => [curve, purpose, signsBy, proven]).sort(), [
      ["ed25519", "raw", "CKM_EDDSA", true],
      ["p256", "raw", "CKM_ECDSA", true],
      ["secp256k1", "raw", "CKM_ECDSA", true],
      ["secp256k1", "transactions", "CKM_ECDSA", true],
    ]);
  });

  it("all of it proves itself again at a new start", async () => {
    const { directory } = await vault.restarted();
    const client = directory.get("acme" as never);
    assert.deepEqual([client.keys.size, client.refusedKeys.size], [4, 0]);
  });

  it("an auditor verifies them from the exported log, each on its curve", async () => {
    await (await checkpointsOf(vault)).round();
    const lines = await exported(vault);
    assert.deepEqual(verified(lines).found, {});
    const openings = checkLog(await logOf(vault.store)).map(({ opening }) => opening);
    const released = openings.filter(({ type }) => type === "signed") as unknown as Released[];
    assert.equal(released.length, CURVES.length);
    for (const [index, curve] of CURVES.entries()) {
      const { digest, signature } = released[index]!;
      const key = { curve, publicKey: keys.get(curve)!.publicKey.slice(2) };
      const other = signature.replace(/^0x../, (head) => (head === "0x11" ? "0x12" : "0x11"));
      assert.deepEqual(
        [verifiesReleased(key, digest, signature), verifiesReleased(key, digest, other)],
        [true, false],
        curve,
      );
      assert.equal(verifiesReleased({ ...key, curve: "none" }, digest, signature), false);
    }
  });

  it("the two purposes never meet", async () => {
    const raw = { ...transferBody(1), key: "raw-secp256k1" };
    for (const refused of [
      await ask("hot-1", freshDigest()),
      await vault.call("payouts", "POST", REQUESTS, raw, newKey()),
      await vault.call(
        "payouts",
        "POST",
        REQUESTS,
        { key: "raw-secp256k1", payload: { type: "evm-message", message: `0x${"11".repeat(32)}`, chain: CHAIN } },
        newKey(),
      ),
    ])
      assert.deepEqual([refused.status, code(refused)], [422, "wrong-purpose"]);
  });

  const BAD_KEYS: readonly [string, object][] = [
    ["a raw key with a chain", { purpose: "raw", chains: [CHAIN] }],
    ["a key for transactions without a chain", { purpose: "transactions" }],
    ["a P-256 key for transactions", { chains: [CHAIN], curve: "p256" }],
    ["an Ed25519 key for transactions", { chains: [CHAIN], curve: "ed25519" }],
    ["a curve that nobody knows", { purpose: "raw", curve: "p384" }],
  ];
  for (const [what, fields] of BAD_KEYS) {
    it(`${what} is not made`, async () => {
      assert.equal((await make({ name: "never", ...fields })).status, 400);
    });
  }

  for (const digest of ["0x", `0x${"11".repeat(31)}`, `0x${"11".repeat(33)}`, `0x${"1".repeat(63)}`, "11".repeat(32)]) {
    it(`${digest.length} characters are no digest`, async () => {
      assert.equal((await ask("raw-ed25519", digest)).status, 400);
    });
  }

  it("without a rule that names raw digests nothing is signed, and one that is not unbounded is no policy", async () => {
    const { unbounded: _, ...bounded } = RAW_RULE;
    await assert.rejects(apply([...acmePolicy.rules, bounded]), /unbounded/);
    await apply([...acmePolicy.rules]);
    for (const curve of CURVES) {
      const refused = await ask(`raw-${curve}`, freshDigest());
      assert.deepEqual([refused.status, code(refused)], [403, "denied-by-policy"]);
    }
    await apply([...acmePolicy.rules, { ...RAW_RULE, from: ["raw-p256"] }]);
    assert.equal((await ask("raw-p256", freshDigest())).status, 201);
    assert.equal((await ask("raw-ed25519", freshDigest())).status, 403);
    assert.equal((await ask("raw-p256", freshDigest(), newKey(), "trading")).status, 403);
  });

  it("limits of numbers count them", async () => {
    await apply([...acmePolicy.rules, RAW_RULE]);
    const statuses = [];
    for (let n = 0; n < 10; n += 1) statuses.push((await ask("raw-ed25519", freshDigest())).status);
    // Four were signed before.
    assert.deepEqual(statuses, [...Array<number>(8).fill(201), 403, 403]);
  });

  it("of a token that is adopted, keys live on the chains that are named, and those of other curves are for raw digests", async () => {
    const [label, pin] = ["partition-7", "their-pin-1234"];
    const token = await scratch.hsm.openToken(await scratch.hsm.createToken(label, pin), pin);
    for (const curve of CURVES) await token.generateKey(`old-${curve}`, curve);
    const adopt = { label, pin, chains: [CHAIN] };
    const { status, body } = await vault.call(
      "operator",
      "POST",
      "/v1/clients",
      { client: "partition", adopt },
      newKey(),
    );
    assert.equal(status, 201, JSON.stringify(body));
    const { body: listed } = await vault.call("operator", "GET", "/v1/clients/partition/keys");
    const shown = (listed as { keys: KeyView[] }).keys.map(({ curve, purpose, chains }) => [curve, purpose, chains]);
    assert.deepEqual(shown.sort(), [
      ["ed25519", "raw", []],
      ["p256", "raw", []],
      ["secp256k1", "transactions", [CHAIN]],
    ]);
  });
});
