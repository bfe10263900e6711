import { createHash, createPublicKey, verify, type KeyObject } from "node:crypto";
import { GatewayError, quoted } from "../domain/errors.ts";
import {
  answerSignatureBase,
  answerSignatureInput,
  gatewayTag,
  parseAnswerCertificate,
  parseSignature,
} from "../domain/http-signature.ts";
import type { GatewayFile } from "./caller-file.ts";

/** An answer as it came over the wire; header names in lower case. */
export type ReceivedAnswer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Uint8Array;
};

const ED25519_SPKI = Buffer.from("302a300506032b6570032100", "hex"); // RFC 8410, section 4
const keyFrom = (raw: string): KeyObject =>
  createPublicKey({
    key: Buffer.concat([ED25519_SPKI, Buffer.from(raw.replace(/^ed25519:/, ""), "base64")]),
    format: "der",
    type: "spki",
  });

const HINT =
  "nothing in this answer can be believed, also not a refusal: repeat the request with the same idempotency key";

const untrusted = (message: string) => new GatewayError("answer-untrusted", message, { hint: HINT });

/** The edge's own words (too large, too busy) carry no signature: shown to people, believed by nobody. */
function unsigned({ status, body }: ReceivedAnswer): GatewayError {
  const said = quoted(Buffer.from(body).toString("utf8"));
  return new GatewayError(
    "answer-untrusted",
    `expected an answer signed by the gateway, found ${status} without a signature: ${said}`,
    {
      facts: { status },
      hint: HINT,
    },
  );
}

/** Also what the gateway says to a caller that it could not verify: wrong key, wrong clock, unknown name. */
function notToThisRequest({ status, body }: ReceivedAnswer): GatewayError {
  const said = quoted(Buffer.from(body).toString("utf8"));
  return new GatewayError("answer-untrusted", `expected an answer bound to this request, found ${status}: ${said}`, {
    facts: { status },
    hint: `${HINT}; if it says 401, look at this caller's key, name and clock`,
  });
}

/**
 * Decides whether an answer is the vault's own, to this very request (DESIGN section 2). Everything between caller and
 * vault could have written it otherwise: the deposit address, the denial, the state.
 */
export class AnswerVerifier {
  readonly #gateway: GatewayFile;
  readonly #answersKey: KeyObject;
  readonly #certified = new Map<string, { key: KeyObject; notBefore: number; notAfter: number }>();

  constructor(gateway: GatewayFile) {
    this.#gateway = gateway;
    this.#answersKey = keyFrom(gateway.answersKey);
  }

  /**
   * @param requestSignature of the request that this is said to answer
   * @throws {GatewayError} `answer-untrusted`
   */
  verify(answer: ReceivedAnswer, requestSignature: { label: string; base64: string }): void {
    const { headers } = answer;
    const signature = parseSignature(headers["signature"] ?? "");
    const certificate = headers["portcullis-answer-key"];
    if (signature?.label !== "answer" || !certificate) throw unsigned(answer);
    const digest = `sha-256=:${createHash("sha256").update(answer.body).digest("base64")}:`;
    if (headers["content-digest"] !== digest)
      throw untrusted("the answer's body is not the one that the gateway signed");

    const labelled = headers["signature-input"] ?? "";
    const input = labelled.slice("answer=".length);
    const created = Number(/;created=([0-9]{1,12});/.exec(input)?.[1]);
    const keyid = /;keyid="([0-9a-f]{16})"/.exec(input)?.[1] ?? "";
    const expected = answerSignatureInput(requestSignature.label, {
      created,
      keyid,
      alg: "ed25519",
      tag: gatewayTag(this.#gateway.gateway),
    });
    if (labelled !== `answer=${expected}`) throw notToThisRequest(answer);
    const base = answerSignatureBase({ status: answer.status, contentDigest: digest }, requestSignature, input);
    if (
      !verify(null, Buffer.from(base), this.#keyFrom(certificate, created), Buffer.from(signature.base64, "base64"))
    ) {
      throw untrusted("the answer's signature is not the gateway's over this status and body for this request");
    }
  }

  /** The vault's key of the day, if the log token's `answers` key vouches for it at that time. */
  #keyFrom(certificate: string, created: number): KeyObject {
    let certified = this.#certified.get(certificate);
    if (!certified) {
      certified = this.#readCertificate(certificate);
      this.#certified.clear(); // a vault has one at a time
      this.#certified.set(certificate, certified);
    }
    const now = Date.now() / 1000;
    if (
      created < certified.notBefore ||
      created > certified.notAfter ||
      now < certified.notBefore - 300 ||
      now > certified.notAfter + 300
    ) {
      throw untrusted("the gateway's key for answers is not valid at this time");
    }
    return certified.key;
  }

  #readCertificate(header: string): { key: KeyObject; notBefore: number; notAfter: number } {
    const [text, signature] = header.split(".").map((part) => Buffer.from(part, "base64"));
    const isWhole = text && signature && header === `${text.toString("base64")}.${signature.toString("base64")}`;
    if (!isWhole || !verify(null, text, this.#answersKey, signature)) {
      throw untrusted("the key that signed the answer is not certified by this gateway's log token");
    }
    const fields = parseAnswerCertificate(text.toString("utf8"));
    if (!fields || fields.gateway !== this.#gateway.gateway)
      throw untrusted("the key that signed the answer is certified for another gateway");
    return { key: keyFrom(fields.publicKey), notBefore: fields.notBefore, notAfter: fields.notAfter };
  }
}
