import { createHash, generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ApprovalView } from "../../src/domain/api.ts";
import { APPROVAL_NAMESPACE, approvalText, type ApprovalFields } from "../../src/domain/approval.ts";

/* People with keys of their own, who sign what they are asked to approve as their tools would. */

export type Person = {
  readonly name: string;
  /** As policies declare it. */
  readonly key: string;
  readonly sign: (text: string) => unknown;
};

export function edPerson(name: string): Person {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw = publicKey.export({ format: "der", type: "spki" }).subarray(-32);
  return {
    name,
    key: `ed25519:${raw.toString("base64")}`,
    sign: (text) => sign(null, Buffer.from(text), privateKey).toString("base64"),
  };
}

const point65 = (publicKey: KeyObject): Buffer => publicKey.export({ format: "der", type: "spki" }).subarray(-65);

export function p256Person(name: string): Person {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  return {
    name,
    key: `ecdsa-p256:${point65(publicKey).toString("base64")}`,
    sign: (text) =>
      sign("sha256", Buffer.from(text), { key: privateKey, dsaEncoding: "ieee-p1363" }).toString("base64"),
  };
}

/** With the real `ssh-keygen`, which makes the key and every signature. */
export function sshPerson(
  name: string,
  folder: string,
  { type = "ed25519", namespace = APPROVAL_NAMESPACE }: { type?: "ed25519" | "ecdsa"; namespace?: string } = {},
): Person & { readonly file: string } {
  const file = join(folder, `${name}-${type}`);
  execFileSync("ssh-keygen", ["-q", "-t", type, "-N", "", "-C", "", "-f", file]);
  return {
    name,
    file,
    key: readFileSync(`${file}.pub`, "utf8").trim(),
    sign: (text) =>
      execFileSync("ssh-keygen", ["-q", "-Y", "sign", "-n", namespace, "-f", file], {
        input: text,
        stdio: ["pipe", "pipe", "ignore"],
      }).toString(),
  };
}

const lengthPrefixed = (...parts: (string | Uint8Array)[]): Buffer =>
  Buffer.concat(
    parts.flatMap((part) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(Buffer.byteLength(part));
      return [length, Buffer.from(part)];
    }),
  );

const sha256 = (data: string | Uint8Array): Buffer => createHash("sha256").update(data).digest();

/**
 * A security key that is none: it signs what the hardware would sign (PROTOCOL.u2f), with flags of the test's choice.
 * `ssh-keygen -Y verify`, which needs no hardware, says whether that is right.
 */
export function securityKeyPerson(
  name: string,
  { flags = 1, namespace = APPROVAL_NAMESPACE }: { flags?: number; namespace?: string } = {},
): Person {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw = publicKey.export({ format: "der", type: "spki" }).subarray(-32);
  const type = "sk-ssh-ed25519@openssh.com";
  const blob = lengthPrefixed(type, raw, "ssh:");
  const signSshsig = (text: string): string => {
    const hashed = createHash("sha512").update(text).digest();
    const bytes = Buffer.concat([Buffer.from("SSHSIG"), lengthPrefixed(namespace, "", "sha512", hashed)]);
    const seen = Buffer.from([flags, 0, 0, 0, 7]);
    const made = sign(null, Buffer.concat([sha256("ssh:"), seen, sha256(bytes)]), privateKey);
    const signature = Buffer.concat([lengthPrefixed(type, made), seen]);
    const sshsig = Buffer.concat([
      Buffer.from("SSHSIG\0\0\0\x01", "latin1"),
      lengthPrefixed(blob, namespace, "", "sha512", signature),
    ]);
    const lines = sshsig.toString("base64").match(/.{1,70}/g)!;
    return `-----BEGIN SSH SIGNATURE-----\n${lines.join("\n")}\n-----END SSH SIGNATURE-----\n`;
  };
  return { name, key: `${type} ${blob.toString("base64")}`, sign: signSshsig };
}

/** What OpenSSH itself says of a signature. */
export function opensshVerifies(person: Person, text: string, armored: string, folder: string): boolean {
  const [allowed, signature] = [join(folder, "allowed_signers"), join(folder, "signature")];
  writeFileSync(allowed, `${person.name} ${person.key}\n`);
  writeFileSync(signature, armored);
  try {
    const args = ["-Y", "verify", "-f", allowed, "-I", person.name, "-n", APPROVAL_NAMESPACE, "-s", signature];
    execFileSync("ssh-keygen", args, { input: text, stdio: ["pipe", "ignore", "ignore"] });
    return true;
  } catch {
    return false;
  }
}

const ORIGIN = "https://console.example";
const RP_ID = "console.example";

/** An authenticator of WebAuthn, with what it saw and where of the test's choice. */
export function webauthnPerson(
  name: string,
  { rpId = RP_ID, flags = 0x05, from = ORIGIN, type = "webauthn.get" } = {},
): Person {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const b64 = (bytes: Uint8Array | string) => Buffer.from(bytes).toString("base64url");
  return {
    name,
    key: `webauthn:${ORIGIN} ${RP_ID} ${point65(publicKey).toString("base64")}`,
    sign: (text) => {
      const clientData = JSON.stringify({ type, challenge: b64(sha256(text)), origin: from, crossOrigin: false });
      const seen = Buffer.concat([sha256(rpId), Buffer.from([flags, 0, 0, 0, 9])]);
      const signature = sign("sha256", Buffer.concat([seen, sha256(clientData)]), privateKey);
      return { authenticatorData: b64(seen), clientDataJSON: b64(clientData), signature: b64(signature) };
    },
  };
}

/** What somebody would sign who believes the gateway's view. */
export function fieldsOf(
  { request, waiting }: ApprovalView,
  person: string,
  changed: Partial<ApprovalFields> = {},
): ApprovalFields {
  return {
    origin: waiting!.origin,
    client: request.client,
    request: request.id,
    verdict: "approve",
    intent: waiting!.intentHash,
    policy: waiting!.policy,
    person,
    expires: waiting!.expires!,
    ...changed,
  };
}

export function signedBy(
  person: Person,
  view: ApprovalView,
  changed: Partial<ApprovalFields> = {},
): { text: string; signature: unknown } {
  const text = approvalText(fieldsOf(view, person.name, changed));
  return { text, signature: person.sign(text) };
}
