import { createRequire } from "node:module";
import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  generateKeyPairSync,
  randomBytes,
  sign,
} from "node:crypto";
import { SigningKey } from "ethers";
import { GatewayError } from "../../src/domain/errors.ts";
import { redeemPermit } from "../../src/vault/permit.ts";
import type {
  GatewayToken,
  Hsm,
  KeyRef,
  LogKeyName,
  LogToken,
  SigningPermit,
  Token,
  TokenRef,
} from "../../src/vault/ports.ts";

/** Order of secp256k1 (SEC 2, 2.4.1). */
export const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

const bytesOf = (hex: string): Buffer => Buffer.from(hex.slice(2), "hex");

export const word = (value: bigint): Buffer => Buffer.from(value.toString(16).padStart(64, "0"), "hex");

/** libsecp256k1 with a nonce of its own each time: two signatures over one digest differ, as an HSM's do. */
const { ecdsaSign } = createRequire(import.meta.url)("secp256k1/bindings") as typeof import("secp256k1");

/** What a test may do to signatures as they leave the token. */
export type SignatureFault = (digest32: Uint8Array, signature64: Buffer) => Buffer | Promise<Buffer>;

export type SoftwareHsm = Hsm & {
  /** Signatures made so far, over all tokens: hex of the digests. */
  readonly signed: string[];
  /** What becomes of the next signatures; `undefined` makes it an honest HSM again. */
  fault: SignatureFault | undefined;
};

/**
 * An HSM whose keys are numbers in memory: for what does not depend on the HSM, thousands of times. Like a real one it
 * returns either half of the order and redeems permits before anything else.
 */
export function hsmInSoftware(): SoftwareHsm {
  const tokens = new Map<string, { pin: string; token: Token }>();
  const signed: string[] = [];
  const hsm: SoftwareHsm = {
    module: { path: "software", manufacturer: "test", version: "0" },
    signed,
    fault: undefined,
    createToken: async (label, pin) => {
      if (tokens.has(label)) throw new GatewayError("token-exists", `expected no token \`${label}\`, found one`);
      const ref: TokenRef = { label, serial: randomBytes(8).toString("hex") };
      tokens.set(label, { pin, token: softwareToken(ref, hsm) });
      return ref;
    },
    openToken: async (ref, pin) => {
      const found = tokens.get(ref.label);
      if (!found) throw new GatewayError("token-not-found", `expected a token \`${ref.label}\`, found none`);
      if (found.pin !== pin) throw pinIncorrect(ref);
      return found.token;
    },
    listTokens: async () => [...tokens.values()].map(({ token }) => token.ref),
    refresh: async () => undefined,
    openGatewayToken: async (ref) => gatewayTokenInSoftware(ref),
    changePin: async (ref, pin, newPin) => {
      const token = tokens.get(ref.label)!;
      if (token.pin !== pin) throw pinIncorrect(ref);
      token.pin = newPin;
    },
    openLogToken: async (ref) => logTokenInSoftware(ref),
    health: () => [],
    close: async () => undefined,
  };
  return hsm;
}

const pinIncorrect = (ref: TokenRef) =>
  new GatewayError("pin-incorrect", `expected the PIN of \`${ref.label}\``, { facts: { ckr: "CKR_PIN_INCORRECT" } });

/** AES-GCM by OpenSSL, under a key in memory. */
export function gatewayTokenInSoftware(ref: TokenRef = { label: "gateway", serial: "0" }): GatewayToken {
  const key = randomBytes(32);
  return {
    ref,
    seal: async (secret, context) => {
      const iv = randomBytes(12);
      const cipher = createCipheriv("aes-256-gcm", key, iv).setAAD(Buffer.from(context));
      const text = Buffer.concat([cipher.update(secret), cipher.final()]);
      return Buffer.concat([iv, text, cipher.getAuthTag()]);
    },
    unseal: async (sealed, context) => {
      const [iv, text, tag] = [sealed.subarray(0, 12), sealed.subarray(12, -16), sealed.subarray(-16)];
      const decipher = createDecipheriv("aes-256-gcm", key, iv).setAAD(Buffer.from(context)).setAuthTag(tag);
      try {
        return Buffer.concat([decipher.update(text), decipher.final()]);
      } catch (cause) {
        throw new GatewayError("seal-broken", "the sealed PIN does not open", { cause });
      }
    },
  };
}

function softwareToken(ref: TokenRef, hsm: SoftwareHsm): Token {
  const keys = new Map<string, SigningKey>();
  return {
    ref,
    describe: async () => ({ ...ref, manufacturer: "test", model: "software", firmware: "0.0", hardware: "0.0" }),
    generateKey: async (label, curve) => {
      const key = new SigningKey(randomBytes(32));
      const made: KeyRef = { id: randomBytes(16).toString("hex"), label, curve, publicKey: bytesOf(key.publicKey) };
      keys.set(made.id, key);
      return { key: made, attributes: {} };
    },
    proveKey: async (key) => {
      if (!keys.has(key.id)) throw new GatewayError("key-not-found", `expected a key \`${key.label}\`, found none`);
      return {};
    },
    adoptKeys: async () => [],
    sign: async (key: KeyRef, permit: SigningPermit) => {
      const { keyId, digest32 } = redeemPermit(permit);
      if (keyId !== key.id) throw new GatewayError("permit-invalid", "expected a permit for this key");
      const { signature: low } = ecdsaSign(digest32, bytesOf(keys.get(key.id)!.privateKey), { data: randomBytes(32) });
      hsm.signed.push(Buffer.from(digest32).toString("hex"));
      const s = BigInt(`0x${Buffer.from(low.subarray(32)).toString("hex")}`);
      const signature = Buffer.concat([low.subarray(0, 32), word((low[0]! & 1) === 1 ? ORDER - s : s)]);
      return hsm.fault ? hsm.fault(digest32, signature) : signature;
    },
  };
}

/** The three keys of the log, in memory. */
export function logTokenInSoftware(ref: TokenRef = { label: "log", serial: "0" }): LogToken {
  const keys = new Map<LogKeyName, Buffer>();
  const keyOf = (name: LogKeyName) => {
    if (!keys.has(name)) {
      const { privateKey } = generateKeyPairSync("ed25519");
      keys.set(name, privateKey.export({ format: "der", type: "pkcs8" }));
    }
    return createPrivateKey({ key: keys.get(name)!, format: "der", type: "pkcs8" });
  };
  return {
    ref,
    publicKey: async (name) => {
      const { x } = keyOf(name).export({ format: "jwk" });
      return Buffer.from(x!, "base64url");
    },
    sign: async (name, text) => sign(null, Buffer.from(text), keyOf(name)),
  };
}
