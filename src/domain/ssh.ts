/*
 * What OpenSSH writes, read strictly: public keys (RFC 4253, section 6.6; RFC 5656; PROTOCOL.u2f) and detached signatures
 * of `ssh-keygen -Y sign` (PROTOCOL.sshsig). Reading only: whoever verifies hashes and checks.
 */

export const SSH_ALGORITHMS = [
  "ssh-ed25519",
  "sk-ssh-ed25519@openssh.com",
  "ecdsa-sha2-nistp256",
  "sk-ecdsa-sha2-nistp256@openssh.com",
] as const;
export type SshAlgorithm = (typeof SSH_ALGORITHMS)[number];

export type SshPublicKey = {
  readonly algorithm: SshAlgorithm;
  /** As it stands in signatures. */
  readonly blob: Uint8Array;
  /** Ed25519: 32 bytes; P-256: SEC 1 uncompressed, 65 bytes. */
  readonly raw: Uint8Array;
  /** Of security keys: whose key it is (FIDO's relying party), such as `ssh:`. */
  readonly application?: string;
};

export type SshSignature = {
  readonly publicKey: Uint8Array;
  readonly namespace: string;
  readonly hash: "sha256" | "sha512";
  readonly algorithm: SshAlgorithm;
  /** Ed25519: 64 bytes; P-256: r ‖ s, 64 bytes. */
  readonly signature64: Uint8Array;
  /** Of security keys: what the hardware saw, and how often it has signed. */
  readonly flags?: number;
  readonly counter?: number;
};

const MAGIC = "SSHSIG";
const POINT_BYTES = 65;
const SCALAR_BYTES = 32;

/** RFC 4251, section 5; every read fails at the end of the bytes. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  take(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) throw new RangeError("ends too early");
    return this.#bytes.subarray(this.#at, (this.#at += length));
  }

  uint32 = (): number => this.take(4).readUInt32BE();
  bytes = (): Buffer => this.take(this.uint32());
  text = (): string => this.bytes().toString("latin1");

  /** A positive number of at most 32 bytes, in its one spelling. */
  scalar(): Buffer {
    const written = this.bytes();
    const isSigned = written.length > 0 && written[0]! >= 0x80;
    const isPadded = written.length > 1 && written[0] === 0 && written[1]! < 0x80;
    const digits = written[0] === 0 ? written.subarray(1) : written;
    if (written.length === 0 || isSigned || isPadded || digits.length > SCALAR_BYTES) throw new RangeError("no scalar");
    return Buffer.concat([Buffer.alloc(SCALAR_BYTES - digits.length), digits]);
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw new RangeError("goes on");
  }
}

const algorithmOf = (text: string): SshAlgorithm => {
  const found = SSH_ALGORITHMS.find((algorithm) => algorithm === text);
  if (found === undefined) throw new RangeError("another algorithm");
  return found;
};

const isSecurityKey = (algorithm: SshAlgorithm): boolean => algorithm.startsWith("sk-");
const isP256 = (algorithm: SshAlgorithm): boolean => algorithm.includes("nistp256");

/** @returns undefined for anything that is not exactly what the format says */
function readOrNothing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** @param line algorithm and base64, one blank between them, no comment */
export function parseSshPublicKey(line: string): SshPublicKey | undefined {
  const [, name, base64] = /^([a-z0-9@.-]{1,64}) ([A-Za-z0-9+/]+={0,2})$/.exec(line) ?? [];
  if (name === undefined || base64 === undefined) return undefined;
  const blob = Buffer.from(base64, "base64");
  // One key, one text: it is known by it.
  if (blob.toString("base64") !== base64) return undefined;
  return readOrNothing(() => {
    const key = readPublicKey(blob);
    if (key.algorithm !== name) throw new RangeError("another algorithm");
    return key;
  });
}

function readPublicKey(blob: Uint8Array): SshPublicKey {
  const reader = new Reader(blob);
  const algorithm = algorithmOf(reader.text());
  if (isP256(algorithm) && reader.text() !== "nistp256") throw new RangeError("another curve");
  const raw = reader.bytes();
  const isWhole = isP256(algorithm) ? raw.length === POINT_BYTES && raw[0] === 4 : raw.length === 32;
  if (!isWhole) throw new RangeError("no point");
  const application = isSecurityKey(algorithm) ? reader.text() : undefined;
  reader.end();
  return { algorithm, blob, raw, ...(application === undefined ? {} : { application }) };
}

const ARMOR = /^-----BEGIN SSH SIGNATURE-----\n((?:[A-Za-z0-9+/=]{1,76}\n)+)-----END SSH SIGNATURE-----\n?$/;

/** @param armored as `ssh-keygen -Y sign` writes it */
export function parseSshSignature(armored: string): SshSignature | undefined {
  const [, lines] = ARMOR.exec(armored.replaceAll("\r\n", "\n")) ?? [];
  return lines === undefined
    ? undefined
    : readOrNothing(() => readSignature(Buffer.from(lines.replaceAll("\n", ""), "base64")));
}

function readSignature(blob: Uint8Array): SshSignature {
  const reader = new Reader(blob);
  if (reader.take(MAGIC.length).toString("latin1") !== MAGIC) throw new RangeError("another format");
  if (reader.uint32() !== 1) throw new RangeError("another version");
  const publicKey = reader.bytes();
  const namespace = reader.text();
  reader.bytes(); // reserved: ignored, says the format; what is signed has it empty
  const hash = reader.text();
  if (hash !== "sha256" && hash !== "sha512") throw new RangeError("another hash");
  const made = readSignatureBlob(reader.bytes());
  reader.end();
  return { publicKey, namespace, hash, ...made };
}

function readSignatureBlob(blob: Uint8Array): Omit<SshSignature, "publicKey" | "namespace" | "hash"> {
  const reader = new Reader(blob);
  const algorithm = algorithmOf(reader.text());
  const made = reader.bytes();
  const signature64 = isP256(algorithm) ? readScalars(made) : made;
  if (signature64.length !== 2 * SCALAR_BYTES) throw new RangeError("no signature");
  const seen = isSecurityKey(algorithm) ? { flags: reader.take(1)[0]!, counter: reader.uint32() } : {};
  reader.end();
  return { algorithm, signature64, ...seen };
}

function readScalars(bytes: Uint8Array): Buffer {
  const reader = new Reader(bytes);
  const [r32, s32] = [reader.scalar(), reader.scalar()];
  reader.end();
  return Buffer.concat([r32, s32]);
}

const lengthPrefixed = (bytes: Uint8Array): Buffer => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
};

/** What the key signs (PROTOCOL.sshsig, section 3): never the message itself, so that no other protocol's text is signed. */
export const sshSignedBytes = (namespace: string, hash: string, hashed: Uint8Array): Buffer =>
  Buffer.concat([
    Buffer.from(MAGIC),
    ...[namespace, "", hash].map((text) => lengthPrefixed(Buffer.from(text))),
    lengthPrefixed(hashed),
  ]);
