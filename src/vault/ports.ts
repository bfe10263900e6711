import type { ClientId } from "../domain/names.ts";

/*
 * What the vault needs of the world outside it. Adapters implement these contracts and import nothing else of the vault.
 */

// ---------------------------------------------------------------------------------------------------------- the HSM

/** A token is known by both: labels are not unique, slot ids change when a token is made. */
export type TokenRef = { readonly label: string; readonly serial: string };

export type Curve = "secp256k1" | "ed25519";

export type KeyRef = {
  /** CKA_ID, 32 hex digits: random, made with the key. */
  readonly id: string;
  /** CKA_LABEL. */
  readonly label: string;
  readonly curve: Curve;
  /** secp256k1: SEC 1 uncompressed, 65 bytes; ed25519: 32 bytes. From the key's creation, never from the token again. */
  readonly publicKey: Uint8Array;
};

/** The attributes of I1 as the token shows them, by their PKCS#11 names. */
export type KeyAttributes = Readonly<Record<string, boolean>>;

/** Opaque to everybody: made by `permit.ts` only, worth one signature over one digest. */
export type SigningPermit = { readonly __permit: never };

/** What a permit turns out to be worth when it is redeemed. */
export type SigningOrder = { readonly client: ClientId; readonly keyId: string; readonly digest32: Uint8Array };

export interface Hsm {
  /** As the module says of itself, for `status` and reports. */
  readonly module: { readonly path: string; readonly manufacturer: string; readonly version: string };

  /**
   * Makes a token with a user PIN (SoftHSM; on other HSMs their administrators do this). The SO PIN is random and not kept.
   * @throws {GatewayError} `token-exists` if any token has that label; `hsm-unavailable`
   */
  createToken(label: string, pin: string): Promise<TokenRef>;

  /**
   * Logs in and keeps one idle session open as an anchor. Opening an open token again returns the same one.
   * MUST NOT try a PIN twice. Zero or two tokens with that label and serial are refused.
   * @throws {GatewayError} `token-not-found`, `pin-incorrect`, `pin-locked`, `hsm-unavailable`
   */
  openToken(token: TokenRef, pin: string): Promise<Token>;

  /**
   * The same for the gateway's own log token, whose keys sign texts and never digests.
   * @param origin the log's name: the first line of its checkpoints (C2SP tlog-checkpoint), the only one it signs them for
   * @throws {GatewayError} also `token-in-use` if the token is open as a client's; `wrong-domain` for an unusable origin
   */
  openLogToken(token: TokenRef, pin: string, origin: string): Promise<LogToken>;

  /** Waits for signatures under way, closes every session, C_Finalize. The last call. */
  close(): Promise<void>;
}

export interface Token {
  readonly ref: TokenRef;

  /**
   * Makes a key pair inside the token (I1), reads its attributes back and has it sign a fresh challenge.
   * @throws {GatewayError} `key-exists` if the token has an object with that label; `key-refused` naming the attribute
   */
  generateKey(label: string, curve: Curve): Promise<{ readonly key: KeyRef; readonly attributes: KeyAttributes }>;

  /**
   * I1, for a key that exists: exactly one private key with this id and label, every attribute as it must be, and a
   * signature over a fresh challenge that verifies under `key.publicKey`. Public objects in the token are never believed.
   * The challenge is SHA-256 of a fixed text and 32 random bytes: it can never be the digest of a transaction.
   * @throws {GatewayError} `key-refused` (facts: `attribute`), `key-not-found`, `key-ambiguous`, `hsm-unavailable`
   */
  proveKey(key: KeyRef): Promise<KeyAttributes>;

  /**
   * The only way to a signature of a client's key. Redeems the permit, whatever happens afterwards.
   * @returns secp256k1: r ‖ s, 64 bytes, either half of the order, NOT yet verified
   * @throws {GatewayError} `permit-invalid`, `key-not-found`, `hsm-unavailable`, `hsm-busy` (bounded queue; nothing was signed)
   */
  sign(key: KeyRef, permit: SigningPermit): Promise<Uint8Array>;
}

/** Domains of the log token's keys: each key signs texts that begin with its own fixed type, and nothing else (I18). */
export type LogKeyName = "checkpoint" | "answers" | "statement";

export interface LogToken {
  readonly ref: TokenRef;
  /** Makes the key on first use; ed25519. */
  publicKey(name: LogKeyName): Promise<Uint8Array>;
  /**
   * @param text UTF-8; the first line is the key's own type, e.g. `portcullis/answers/v1`; for `checkpoint` three lines:
   *   the log's origin, the tree size, the root hash in base64
   * @returns the Ed25519 signature, 64 bytes
   * @throws {GatewayError} `wrong-domain` if the text does not begin with the key's type
   */
  sign(name: LogKeyName, text: string): Promise<Uint8Array>;
}
