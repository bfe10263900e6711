import { parseSshPublicKey, type SshPublicKey } from "./ssh.ts";

/** A public key as policies declare it, taken apart. */
export type PersonKey =
  | { readonly kind: "ed25519"; readonly raw32: Uint8Array }
  | { readonly kind: "ecdsa-p256"; readonly point65: Uint8Array }
  | { readonly kind: "ssh"; readonly key: SshPublicKey }
  | { readonly kind: "webauthn"; readonly origin: string; readonly rpId: string; readonly point65: Uint8Array };

const BASE64 = "([A-Za-z0-9+/]+={0,2})";
const RAW = new RegExp(`^(ed25519|ecdsa-p256):${BASE64}$`);
/** `webauthn:`, the origin whose pages may ask, the relying party, the credential's P-256 key. */
const WEBAUTHN = new RegExp(
  `^webauthn:((?:https://[a-z0-9.-]{1,253}|http://localhost)(?::[0-9]{1,5})?) ([a-z0-9.-]{1,253}) ${BASE64}$`,
);

/** @returns undefined where it is none, or is written otherwise than an encoder would: a key is known by its text */
export function parsePersonKey(text: string): PersonKey | undefined {
  const [, kind, base64] = RAW.exec(text) ?? [];
  if (base64 !== undefined) {
    const bytes = exactly(base64);
    if (kind === "ed25519") return bytes?.length === 32 ? { kind, raw32: bytes } : undefined;
    return isPoint(bytes) ? { kind: "ecdsa-p256", point65: bytes } : undefined;
  }
  const [, origin, rpId, point] = WEBAUTHN.exec(text) ?? [];
  if (origin !== undefined && rpId !== undefined && point !== undefined) {
    const point65 = exactly(point);
    return isPoint(point65) ? { kind: "webauthn", origin, rpId, point65 } : undefined;
  }
  const key = parseSshPublicKey(text);
  return key && { kind: "ssh", key };
}

function exactly(base64: string): Uint8Array | undefined {
  const bytes = Buffer.from(base64, "base64");
  return bytes.toString("base64") === base64 ? bytes : undefined;
}

const isPoint = (bytes: Uint8Array | undefined): bytes is Uint8Array => bytes?.length === 65 && bytes[0] === 4;
