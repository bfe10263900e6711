import { spawn } from "node:child_process";
import { createPrivateKey, generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { GatewayError } from "../domain/errors.ts";
import { publicKeyText } from "../sdk/caller-file.ts";
import type { Notice } from "./notices.ts";

/* Where notices go: a webhook that can tell whose they are, a program of the operator's. */

export type Deliver = (notice: Notice) => Promise<void>;

const TIMEOUT_MS = 10_000;

/**
 * Standard Webhooks: `webhook-id`, `webhook-timestamp`, and `webhook-signature: v1a,…`, an Ed25519 signature over id,
 * timestamp and body, joined by points.
 */
export const webhook =
  (url: URL, key: KeyObject): Deliver =>
  async (notice) => {
    const body = JSON.stringify(notice);
    const timestamp = Math.floor(Date.now() / 1000).toString();
    const signature = sign(null, Buffer.from(`${notice.id}.${timestamp}.${body}`), key).toString("base64");
    const answer = await fetch(url, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "webhook-id": notice.id,
        "webhook-timestamp": timestamp,
        "webhook-signature": `v1a,${signature}`,
      },
      body,
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await answer.body?.cancel();
    if (!answer.ok) throw new GatewayError("notice-refused", `the webhook answered ${answer.status}`);
  };

/** Of no use but for notices. @returns whether it was made now */
export function noticeKey(file: string): {
  readonly key: KeyObject;
  readonly publicKey: string;
  readonly isNew: boolean;
} {
  const isNew = !existsSync(file);
  if (isNew) {
    const { privateKey } = generateKeyPairSync("ed25519");
    writeFileSync(file, privateKey.export({ format: "pem", type: "pkcs8" }), { mode: 0o600, flag: "wx" });
  }
  const key = createPrivateKey(readFileSync(file));
  if (key.asymmetricKeyType !== "ed25519")
    throw new GatewayError(
      "usage",
      `expected an Ed25519 private key in \`${file}\`, found \`${key.asymmetricKeyType}\``,
    );
  return { key, publicKey: publicKeyText(key), isNew };
}

/** Who is missing is nobody's business in between: TLS, or this machine. */
export function webhookUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isLocal = url && ["127.0.0.1", "[::1]", "localhost"].includes(url.hostname);
  if (url?.protocol === "https:" || (isLocal && url.protocol === "http:")) return url;
  throw new GatewayError("usage", `expected an \`https:\` address as \`--webhook\`, found \`${text}\``);
}

/** Gets the notice on standard input, as JSON, and nothing of this process but its PATH. */
export const command =
  (program: string): Deliver =>
  (notice) =>
    new Promise((resolve, reject) => {
      const child = spawn(program, [], {
        stdio: ["pipe", "ignore", "inherit"],
        env: { PATH: process.env["PATH"] },
        timeout: TIMEOUT_MS,
      });
      const failed = (why: string) => reject(new GatewayError("notice-refused", `\`${program}\` ${why}`));
      child.on("error", (error) => failed(error.message));
      child.on("close", (code) => (code === 0 ? resolve() : failed(`ended with ${code}`)));
      child.stdin.on("error", () => undefined).end(JSON.stringify(notice));
    });

/** Pauses between tries; then the notice counts as not delivered, and comes again with the next look. */
const RETRY_MS = [500, 2_000, 8_000] as const;

export async function withRetries(deliver: Deliver, notice: Notice): Promise<void> {
  for (const pauseMs of [...RETRY_MS, undefined]) {
    try {
      return await deliver(notice);
    } catch (error) {
      if (pauseMs === undefined) throw error;
      await sleep(pauseMs);
    }
  }
}
