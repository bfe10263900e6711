import { GatewayError } from "../domain/errors.ts";
import type { ClientId } from "../domain/names.ts";
import { statementText, type Statement } from "../domain/statement.ts";
import { attestationOf } from "./ceremony.ts";
import type { Gateway } from "./gateway.ts";
import type { Curve, KeyRow, LogToken, Token } from "./ports.ts";

/** How keys of a curve are made and sign, by PKCS#11's names. */
const MECHANISMS = {
  secp256k1: ["CKM_EC_KEY_PAIR_GEN", "CKM_ECDSA"],
  p256: ["CKM_EC_KEY_PAIR_GEN", "CKM_ECDSA"],
  ed25519: ["CKM_EC_EDWARDS_KEY_PAIR_GEN", "CKM_EDDSA"],
} as const satisfies Record<Curve, readonly [string, string]>;

/**
 * What a client's token and keys show at this moment: every key is held against I1 again and signs a fresh challenge.
 * @returns signed by the log token's `statement` key
 * @throws {GatewayError} why the token is away
 */
export async function attestKeys(
  { name, hsm, store, directory, isolation, logToken }: Gateway,
  client: ClientId,
): Promise<Statement> {
  const { row, token, tokenError } = directory.get(client);
  if (!token) throw tokenError!;
  const facts = await token.describe();
  const rows = await store.read((reader) => reader.keys(client));
  const keys = [];
  for (const key of rows) keys.push(await attestKey(token, key));
  const report = {
    gateway: name,
    client,
    owner: row.owner,
    at: new Date().toISOString(),
    attestation: attestationOf(facts),
    isolation,
    module: hsm.module,
    token: facts,
    keys,
  };
  return stated(logToken, statementText("key-attestation", report));
}

async function attestKey(token: Token, key: KeyRow) {
  const { name, id, curve, purpose, state, chains, accounts, leaf } = key;
  const publicKey = `0x${Buffer.from(key.publicKey).toString("hex")}`;
  const [generatedBy, signsBy] = MECHANISMS[curve];
  const known = { key: name, id, curve, purpose, state, generatedBy, signsBy, publicKey, chains, accounts };
  try {
    const attributes = await token.proveKey({ id, label: name, curve, publicKey: key.publicKey });
    return { ...known, createdInLeaf: leaf, proven: true, attributes };
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    const { code, message: detail, facts } = error;
    const { attribute } = facts as { attribute?: string };
    return {
      ...known,
      createdInLeaf: leaf,
      proven: false,
      refused: { code, detail, ...(attribute === undefined ? {} : { attribute }) },
    };
  }
}

export async function stated(logToken: LogToken, text: string): Promise<Statement> {
  const [signature, key] = [await logToken.sign("statement", text), await logToken.publicKey("statement")];
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
  return { text, signature: base64(signature), key: `ed25519:${base64(key)}` };
}
