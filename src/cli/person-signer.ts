import { spawnSync } from "node:child_process";
import { createPrivateKey, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { Option, type Command } from "commander";
import { GatewayError } from "../domain/errors.ts";
import { privateKeyOf, type CallerFile } from "../sdk/caller-file.ts";

/* How a person signs a text: with the caller file's key, a key file, an SSH key or agent; or it was signed elsewhere. */

export type SignerOptions = {
  readonly sshKey?: string;
  readonly keyFile?: string;
  readonly signature?: string;
};

export type KeyOptions = Pick<SignerOptions, "sshKey" | "keyFile">;

/** For whoever signs on this machine. */
export const withKey = (command: Command): Command =>
  command
    .addOption(
      new Option(
        "--ssh-key <file>",
        "sign with `ssh-keygen -Y sign`: a private key, or the public key of one in the SSH agent or on a security key",
      ),
    )
    .addOption(new Option("--key-file <file>", "sign with this Ed25519 or P-256 private key (PKCS #8, PEM)"));

export const withSigner = (command: Command): Command =>
  withKey(command).addOption(
    new Option("--signature <file>", "a signature that was made elsewhere over the text (`-` for standard input)"),
  );

/**
 * @param namespace of SSH signatures
 * @returns as the gateway takes it: base64, an armored SSH signature, or a WebAuthn assertion
 * @throws {GatewayError} `usage`; `ssh-keygen-failed` with what it said
 */
export function signAsPerson(
  text: string,
  namespace: string,
  { sshKey, keyFile, signature }: SignerOptions,
  caller: CallerFile,
): unknown {
  if ([sshKey, keyFile, signature].filter((option) => option !== undefined).length > 1)
    throw new GatewayError("usage", "expected one of `--ssh-key`, `--key-file` and `--signature`");
  if (signature !== undefined) return readSignature(signature);
  if (sshKey !== undefined) return signWithSsh(text, namespace, sshKey);
  return signWithKey(text, keyFile === undefined ? privateKeyOf(caller) : createPrivateKey(readFileSync(keyFile)));
}

function signWithKey(text: string, key: ReturnType<typeof createPrivateKey>): string {
  const type = key.asymmetricKeyType;
  const isP256 = type === "ec" && key.asymmetricKeyDetails?.namedCurve === "prime256v1";
  if (!isP256 && type !== "ed25519")
    throw new GatewayError("usage", `expected an Ed25519 or P-256 private key, found \`${type}\``);
  return sign(isP256 ? "sha256" : null, Buffer.from(text), { key, dsaEncoding: "ieee-p1363" }).toString("base64");
}

/** It asks the agent, the security key or the person for what it needs: the terminal is its. */
function signWithSsh(text: string, namespace: string, file: string): string {
  const { status, stdout, error } = spawnSync("ssh-keygen", ["-Y", "sign", "-n", namespace, "-f", file], {
    input: text,
    stdio: ["pipe", "pipe", "inherit"],
    encoding: "utf8",
  });
  if (status === 0) return stdout;
  throw new GatewayError("ssh-keygen-failed", `\`ssh-keygen -Y sign\` made no signature with \`${file}\``, {
    ...(error === undefined ? {} : { cause: error }),
  });
}

function readSignature(file: string): unknown {
  const text = readFileSync(file === "-" ? 0 : file, "utf8");
  if (!text.trimStart().startsWith("{")) return text.startsWith("-----") ? text : text.trim();
  return JSON.parse(text) as unknown;
}
