import assert from "node:assert/strict";
import { createHash, createPublicKey, generateKeyPairSync, sign, verify } from "node:crypto";
import { mock } from "node:test";
import { answerCertificateText } from "../../../src/domain/http-signature.ts";
import { AnswerVerifier, type ReceivedAnswer } from "../../../src/sdk/answers.ts";
import { AnswerSigner } from "../../../src/vault/auth/answers.ts";
import type { LogToken } from "../../../src/vault/ports.ts";
import { logTokenInSoftware } from "../../support/software-hsm.ts";
import { refusal } from "../chains/evm/refusal.ts";

// Goal: an answer that the vault did not give to this very request is not believed: nobody between caller and vault can
// write a status, a body, an older answer or one to another request.

const GATEWAY = "prod";
const REQUEST = { label: "sig1", base64: Buffer.alloc(64, 3).toString("base64") };
const HEADER = `sig1=:${REQUEST.base64}:`;
const BODY = Buffer.from('{"state":"signed"}');

const answersKeyOf = async (token: LogToken): Promise<string> =>
  `ed25519:${Buffer.from(await token.publicKey("answers")).toString("base64")}`;

describe("sdk/answers and vault/auth/answers", () => {
  let token: LogToken;
  let signer: AnswerSigner;
  let verifier: AnswerVerifier;
  let answer: ReceivedAnswer & { headers: Record<string, string> };
  before(async () => {
    token = logTokenInSoftware();
    signer = await AnswerSigner.start(GATEWAY, token);
    verifier = new AnswerVerifier({ gateway: GATEWAY, url: "http://x", answersKey: await answersKeyOf(token) });
    answer = { status: 201, headers: signer.headers(201, BODY, HEADER), body: BODY };
  });

  const believes = (changed: Partial<ReceivedAnswer>, request = REQUEST, by = verifier): void =>
    by.verify({ ...answer, ...changed }, request);
  const refuses = (changed: Partial<ReceivedAnswer>, request = REQUEST, by = verifier): void =>
    assert.equal(
      refusal(() => believes(changed, request, by)),
      "answer-untrusted",
    );
  const withHeader = (name: string, value: string | undefined) => ({ headers: { ...answer.headers, [name]: value } });

  it("the vault's answer to this request is believed, again and again", () => {
    believes({});
    believes({});
  });

  it("the key is renewed by itself, long before its day ends, though nobody asks for an answer", async () => {
    mock.timers.enable({ apis: ["setInterval", "Date"], now: Date.now() });
    try {
      const certified: string[] = [];
      const counting: LogToken = {
        ...token,
        sign: async (name, text) => {
          certified.push(text);
          return token.sign(name, text);
        },
      };
      await AnswerSigner.start(GATEWAY, counting);
      const hours = async (count: number) => {
        for (let minutes = 0; minutes < count * 60; minutes += 10) {
          mock.timers.tick(10 * 60 * 1000);
          await new Promise(setImmediate);
        }
      };
      await hours(11);
      assert.equal(certified.length, 1);
      await hours(2);
      assert.equal(certified.length, 2, "half a day is over");
      await hours(12);
      assert.equal(certified.length, 3);
      assert.equal(new Set(certified).size, 3, "each time another key");
    } finally {
      mock.timers.reset();
    }
  });

  it("its signature is one that OpenSSL verifies over the base that RFC 9421 describes", () => {
    const { headers } = answer;
    const input = headers["signature-input"]!.slice("answer=".length);
    const base = [
      `"@status": 201`,
      `"content-digest": sha-256=:${createHash("sha256").update(BODY).digest("base64")}:`,
      `"signature";req;key="sig1": :${REQUEST.base64}:`,
      `"@signature-params": ${input}`,
    ].join("\n");
    const certificate = Buffer.from(headers["portcullis-answer-key"]!.split(".")[0]!, "base64").toString();
    const x = Buffer.from(/public-key: ed25519:(.*)/.exec(certificate)![1]!, "base64").toString("base64url");
    const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
    const signature = Buffer.from(/:(.*):/.exec(headers["signature"]!)![1]!, "base64");
    assert.ok(verify(null, Buffer.from(base), key, signature));
  });

  it("another status is refused", () => {
    for (const status of [200, 202, 403, 500]) refuses({ status });
  });

  it("every bit of the body counts", () => {
    for (let bit = 0; bit < BODY.length * 8; bit++) {
      const body = Buffer.from(BODY);
      body[bit >> 3]! ^= 1 << (bit & 7);
      refuses({ body });
      const digest = `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
      refuses({ body, ...withHeader("content-digest", digest) });
    }
  });

  it("every bit of signature, input, digest and certificate counts", () => {
    for (const name of ["signature-input", "content-digest", "portcullis-answer-key", "signature"]) {
      const value = answer.headers[name]!;
      for (let bit = 0; bit < value.length * 8; bit++) {
        const bytes = Buffer.from(value, "latin1");
        bytes[bit >> 3]! ^= 1 << (bit & 7);
        refuses(withHeader(name, bytes.toString("latin1")));
      }
      refuses(withHeader(name, undefined));
      refuses(withHeader(name, ""));
    }
  });

  it("an answer to another request is refused, though the vault gave it", () => {
    refuses({}, { label: "sig1", base64: Buffer.alloc(64, 4).toString("base64") });
    refuses({}, { label: "sig2", base64: REQUEST.base64 });
    refuses({ headers: signer.headers(201, BODY, undefined) });
  });

  it("another gateway's answer is refused, also with the same log token", async () => {
    const other = await AnswerSigner.start("staging", token);
    refuses({ headers: other.headers(201, BODY, HEADER) });
  });

  it("a key that another log token certified is refused", async () => {
    const other = await AnswerSigner.start(GATEWAY, logTokenInSoftware());
    refuses({ headers: other.headers(201, BODY, HEADER) });
  });

  describe("certificates", () => {
    /** An answer as the vault would sign it, under a key with a certificate of our own making. */
    async function answered(
      change: Partial<Parameters<typeof answerCertificateText>[0]> & { by?: LogToken },
      createdS?: number,
    ) {
      const { by = token, ...fields } = change;
      const nowS = Math.floor(Date.now() / 1000);
      const created = createdS ?? nowS;
      const { publicKey, privateKey } = generateKeyPairSync("ed25519");
      const x = Buffer.from(publicKey.export({ format: "jwk" }).x!, "base64url").toString("base64");
      const text = answerCertificateText({
        gateway: GATEWAY,
        publicKey: x,
        notBefore: nowS - 60,
        notAfter: nowS + 60,
        ...fields,
      });
      const certificate = `${Buffer.from(text).toString("base64")}.${Buffer.from(await by.sign("answers", text)).toString("base64")}`;
      const digest = answer.headers["content-digest"]!;
      const input = `("@status" "content-digest" "signature";req;key="sig1");created=${created};keyid="0123456789abcdef";alg="ed25519";tag="portcullis:${GATEWAY}"`;
      const base = `"@status": 201\n"content-digest": ${digest}\n"signature";req;key="sig1": :${REQUEST.base64}:\n"@signature-params": ${input}`;
      return {
        headers: {
          "content-digest": digest,
          "signature-input": `answer=${input}`,
          signature: `answer=:${sign(null, Buffer.from(base), privateKey).toString("base64")}:`,
          "portcullis-answer-key": certificate,
        },
      };
    }
    const nowS = () => Math.floor(Date.now() / 1000);

    it("one that holds now is believed", async () => believes(await answered({})));
    it("one that is over is refused", async () =>
      refuses(await answered({ notBefore: nowS() - 9000, notAfter: nowS() - 600 }, nowS() - 700)));
    it("one that is still to come is refused", async () =>
      refuses(await answered({ notBefore: nowS() + 600, notAfter: nowS() + 900 }, nowS() + 700)));
    it("an answer from before or after its time is refused", async () => {
      refuses(await answered({}, nowS() - 61));
      refuses(await answered({}, nowS() + 62));
    });
    it("one for another gateway is refused", async () => refuses(await answered({ gateway: "staging" })));
    it("one that another log token signed is refused", async () =>
      refuses(await answered({ by: logTokenInSoftware() })));
    it("one that says more than it should is refused", async () =>
      refuses(await answered({ gateway: `${GATEWAY}\nnot-after: 9` })));
  });
});
