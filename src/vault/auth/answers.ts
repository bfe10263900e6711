import { createHash, generateKeyPairSync, hash, sign, type KeyObject } from "node:crypto";
import {
  answerCertificateText,
  answerSignatureBase,
  answerSignatureInput,
  gatewayTag,
  parseSignature,
} from "../../domain/http-signature.ts";
import type { LogToken } from "../ports.ts";

const DAY_S = 24 * 60 * 60;
const RENEW_AFTER_S = DAY_S / 2;
const RENEWAL_CHECK_MS = 10 * 60 * 1000;

type AnswerKey = {
  readonly privateKey: KeyObject;
  readonly keyid: string;
  readonly certificate: string;
  readonly madeAt: number;
};

/**
 * Signs every answer of the vault (DESIGN section 2): status, body digest and the request's own signature, under a key
 * that was made in this process and certified for a day by the log token's `answers` key.
 */
export class AnswerSigner {
  readonly #gateway: string;
  readonly #logToken: LogToken;
  #key: AnswerKey;
  #renewal: Promise<void> | undefined;

  static async start(gateway: string, logToken: LogToken): Promise<AnswerSigner> {
    return new AnswerSigner(gateway, logToken, await certifiedKey(gateway, logToken));
  }

  private constructor(gateway: string, logToken: LogToken, key: AnswerKey) {
    this.#gateway = gateway;
    this.#logToken = logToken;
    this.#key = key;
    // A gateway that nobody calls for a day still answers the first caller with a key of that day.
    setInterval(() => this.#renewSometimes(), RENEWAL_CHECK_MS).unref();
  }

  /** @returns the headers that make this body with this status an answer of the vault to that request */
  headers(status: number, body: Uint8Array, requestSignatureHeader: string | undefined): Record<string, string> {
    this.#renewSometimes();
    const contentDigest = `sha-256=:${hash("sha256", body, "base64")}:`;
    const requestSignature = requestSignatureHeader === undefined ? undefined : parseSignature(requestSignatureHeader);
    const input = answerSignatureInput(requestSignature?.label, {
      created: Math.floor(Date.now() / 1000),
      keyid: this.#key.keyid,
      alg: "ed25519",
      tag: gatewayTag(this.#gateway),
    });
    const base = answerSignatureBase({ status, contentDigest }, requestSignature, input);
    return {
      "content-digest": contentDigest,
      "signature-input": `answer=${input}`,
      signature: `answer=:${sign(null, Buffer.from(base), this.#key.privateKey).toString("base64")}:`,
      "portcullis-answer-key": this.#key.certificate,
    };
  }

  /** In the background, long before the old key's day ends; if it fails, the next answer tries again. */
  #renewSometimes(): void {
    const ageS = Date.now() / 1000 - this.#key.madeAt;
    if (this.#renewal || (ageS >= 0 && ageS < RENEW_AFTER_S)) return;
    this.#renewal = certifiedKey(this.#gateway, this.#logToken)
      .then((key) => void (this.#key = key))
      .catch(() => undefined)
      .finally(() => (this.#renewal = undefined));
  }
}

async function certifiedKey(gateway: string, logToken: LogToken): Promise<AnswerKey> {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw32 = publicKey.export({ format: "der", type: "spki" }).subarray(-32);
  const madeAt = Math.floor(Date.now() / 1000);
  const text = answerCertificateText({
    gateway,
    publicKey: raw32.toString("base64"),
    notBefore: madeAt - 60, // callers' clocks differ
    notAfter: madeAt + DAY_S,
  });
  const signature = await logToken.sign("answers", text);
  return {
    privateKey,
    keyid: createHash("sha256").update(raw32).digest("hex").slice(0, 16),
    certificate: `${Buffer.from(text).toString("base64")}.${Buffer.from(signature).toString("base64")}`,
    madeAt,
  };
}
