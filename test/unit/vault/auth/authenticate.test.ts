import assert from "node:assert/strict";
import { createHash, createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { GatewayError } from "../../../../src/domain/errors.ts";
import type { CallerName, ClientId } from "../../../../src/domain/names.ts";
import { newCaller, privateKeyOf } from "../../../../src/sdk/caller-file.ts";
import { GatewayClient } from "../../../../src/sdk/client.ts";
import {
  authenticate,
  evidenceOf,
  type DeclaredCaller,
  type ReceivedRequest,
} from "../../../../src/vault/auth/authenticate.ts";

// Goal: a request is a caller's own only if that caller's key signed exactly its method, path, query, body and
// idempotency key, for this gateway, now. Every refusal has its code; every change of a signed request is refused.

const GATEWAY = "prod";
const NOW = 1_800_000_000_000;
const file = newCaller(
  { gateway: GATEWAY, url: "http://127.0.0.1", answersKey: `ed25519:${"A".repeat(43)}=` },
  "payouts",
);
const client = new GatewayClient(file);
const BODY = Buffer.from('{"key":"hot-1"}');
const TARGET = "/v1/clients/acme/signing-requests?a=b&c";

const known =
  (...keys: string[]) =>
  (name: string): DeclaredCaller | undefined =>
    name === "payouts" ? { role: "wallet-service", keys, of: "acme" as ClientId } : undefined;
const declared = known(file.publicKey);

const POST: ReceivedRequest = {
  method: "POST",
  target: TARGET,
  headers: client.signRequest("POST", TARGET, BODY, "withdrawal-1", NOW).headers,
  body: BODY,
};
const GET: ReceivedRequest = {
  method: "GET",
  target: TARGET,
  headers: client.signRequest("GET", TARGET, Buffer.alloc(0), undefined, NOW).headers,
  body: Buffer.alloc(0),
};
const check = (request: ReceivedRequest, now = NOW, callers = declared) => authenticate(request, GATEWAY, callers, now);
const withHeaders = (request: ReceivedRequest, headers: Record<string, string | undefined>): ReceivedRequest => {
  const merged = Object.entries({ ...request.headers, ...headers }).filter(([, value]) => value !== undefined);
  return { ...request, headers: Object.fromEntries(merged) as Record<string, string> };
};

/** A signature made by hand, as RFC 9421 says and with none of our code: components and parameters are free. */
function signedByHand(components: readonly string[], parameters: string, body = BODY): ReceivedRequest {
  const digest = `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
  const mark = TARGET.indexOf("?");
  const values: Record<string, string> = {
    "@method": "POST",
    "@path": TARGET.slice(0, mark),
    "@query": TARGET.slice(mark),
    "content-digest": digest,
    "idempotency-key": "withdrawal-1",
    "content-type": "application/json",
  };
  const input = `(${components.map((name) => `"${name}"`).join(" ")})${parameters}`;
  const base = [...components.map((name) => `"${name}": ${values[name]}`), `"@signature-params": ${input}`].join("\n");
  const signature = sign(null, Buffer.from(base), privateKeyOf(file)).toString("base64");
  return {
    method: "POST",
    target: TARGET,
    body,
    headers: {
      "content-digest": digest,
      "content-type": "application/json",
      "idempotency-key": "withdrawal-1",
      "signature-input": `own=${input}`,
      signature: `own=:${signature}:`,
    },
  };
}
const ALL = ["@method", "@path", "@query", "content-digest", "idempotency-key"];
const parametersWith = ({ created = NOW / 1000, keyid = "payouts", alg = "ed25519", tag = `portcullis:${GATEWAY}` }) =>
  `;created=${created};keyid="${keyid}";alg="${alg}";tag="${tag}"`;

/** @returns the code of the refusal; whatever else comes out of it fails the test */
async function refusal(attempt: () => Promise<unknown>): Promise<string> {
  try {
    await attempt();
  } catch (error) {
    assert.ok(error instanceof GatewayError, String(error));
    return error.code;
  }
  assert.fail("expected a refusal, found none");
}

describe("vault/auth/authenticate", () => {
  it("a signed request is its caller's, with the role that the document gives", async () => {
    const expected = { name: "payouts" as CallerName, role: "wallet-service", of: "acme" };
    assert.deepEqual(await check(POST), expected);
    assert.deepEqual(await check(GET), expected);
    assert.deepEqual(await check({ ...POST, headers: signedByHand(ALL, parametersWith({})).headers }), expected);
  });

  it("evidence keeps what the signature covers and the signature, and no other header", () => {
    const evidence = evidenceOf(withHeaders(POST, { cookie: "secret", "x-forwarded-for": "1.2.3.4", body: "other" }));
    const { method, target, body, ...headers } = evidence;
    assert.deepEqual([method, target, body], ["POST", TARGET, BODY.toString()]);
    const kept = ["content-digest", "idempotency-key", "signature", "signature-input"];
    assert.deepEqual(Object.keys(headers).toSorted(), kept);
    for (const name of kept) assert.equal(headers[name], POST.headers[name]);
    assert.ok(!("idempotency-key" in evidenceOf(GET)));
  });

  it("a header called as the request is does not stand in its place", () => {
    const evidence = evidenceOf(withHeaders(POST, { method: "GET", target: "/", body: "" }));
    assert.deepEqual([evidence["method"], evidence["target"], evidence["body"]], ["POST", TARGET, BODY.toString()]);
  });

  it("the order of components and of parameters is the caller's", async () => {
    for (const components of [ALL.toReversed(), [...ALL.slice(2), ...ALL.slice(0, 2)]])
      assert.equal((await check(signedByHand(components, parametersWith({})))).name, "payouts");
    const reordered = `;tag="portcullis:${GATEWAY}";alg="ed25519";created=${NOW / 1000};keyid="payouts"`;
    assert.equal((await check(signedByHand(ALL, reordered))).name, "payouts");
  });

  it("of two declared keys either is the caller's, for the time of a rotation", async () => {
    const next = newCaller(file, "payouts");
    for (const keys of [
      [file.publicKey, next.publicKey],
      [next.publicKey, file.publicKey],
    ])
      assert.equal((await check(POST, NOW, known(...keys))).name, "payouts");
    assert.equal(await refusal(() => check(POST, NOW, known(next.publicKey))), "signature-invalid");
  });

  it("a P-256 key signs as ecdsa-p256-sha256, and neither algorithm's key verifies the other's", async () => {
    const p256 = newCaller(file, "payouts", undefined, "ecdsa-p256");
    const { headers } = new GatewayClient(p256).signRequest("POST", TARGET, BODY, "withdrawal-1", NOW);
    assert.match(headers["signature-input"]!, /;alg="ecdsa-p256-sha256";/);
    const request = { ...POST, headers };
    assert.equal((await check(request, NOW, known(p256.publicKey))).name, "payouts");
    assert.equal((await check(request, NOW, known(file.publicKey, p256.publicKey))).name, "payouts", "a rotation");
    assert.equal(await refusal(() => check(request, NOW, known(file.publicKey))), "signature-invalid");
    assert.equal(await refusal(() => check(POST, NOW, known(p256.publicKey))), "signature-invalid");
    const renamed = { "signature-input": headers["signature-input"]!.replace("ecdsa-p256-sha256", "ed25519") };
    assert.equal(
      await refusal(() => check(withHeaders(request, renamed), NOW, known(p256.publicKey))),
      "signature-invalid",
    );
    const other = { ...request, body: Buffer.from("{}") };
    assert.equal(await refusal(() => check(other, NOW, known(p256.publicKey))), "digest-mismatch");
    const swapped = withHeaders(request, { "idempotency-key": "withdrawal-2" });
    assert.equal(await refusal(() => check(swapped, NOW, known(p256.publicKey))), "signature-invalid");
  });

  it("a key that signs approvals signs no requests", async () => {
    assert.equal(
      await refusal(() => check(POST, NOW, known(`ssh-ed25519 ${file.publicKey.slice(8)}`))),
      "signature-invalid",
    );
  });

  describe("each refusal has its code", () => {
    const digestOf = (body: Buffer) => `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
    for (const [what, request, code] of [
      ["no signature", withHeaders(POST, { signature: undefined }), "signature-missing"],
      ["no signature input", withHeaders(POST, { "signature-input": undefined }), "signature-missing"],
      [
        "a signature under another label",
        withHeaders(POST, { signature: POST.headers["signature"]!.replace("sig1", "sig2") }),
        "signature-malformed",
      ],
      [
        "two signatures",
        withHeaders(POST, {
          signature: `${POST.headers["signature"]}, ${POST.headers["signature"]!.replace("sig1", "sig2")}`,
        }),
        "signature-malformed",
      ],
      [
        "a signature of 63 bytes",
        withHeaders(POST, { signature: `sig1=:${Buffer.alloc(63).toString("base64")}:` }),
        "signature-malformed",
      ],
      ["a parameter twice", signedByHand(ALL, `${parametersWith({})};keyid="payouts"`), "signature-malformed"],
      ["a parameter too many", signedByHand(ALL, `${parametersWith({})};nonce="1"`), "signature-malformed"],
      [
        "a parameter too few",
        signedByHand(ALL, parametersWith({}).replace(/;alg="ed25519"/, "")),
        "signature-malformed",
      ],
      ["another algorithm", signedByHand(ALL, parametersWith({ alg: "hmac-sha256" })), "signature-algorithm"],
      ["another gateway's tag", signedByHand(ALL, parametersWith({ tag: "portcullis:staging" })), "wrong-gateway"],
      [
        "a tag that begins alike",
        signedByHand(ALL, parametersWith({ tag: `portcullis:${GATEWAY}2` })),
        "wrong-gateway",
      ],
      ["created 61 s ago", signedByHand(ALL, parametersWith({ created: NOW / 1000 - 61 })), "signature-stale"],
      ["created in 61 s", signedByHand(ALL, parametersWith({ created: NOW / 1000 + 61 })), "signature-stale"],
      ["created 0", signedByHand(ALL, parametersWith({ created: 0 })), "signature-stale"],
      ...ALL.map(
        (left) =>
          [
            `no ${left}`,
            signedByHand(
              ALL.filter((name) => name !== left),
              parametersWith({}),
            ),
            "signature-components",
          ] as const,
      ),
      ["a component too many", signedByHand([...ALL, "content-type"], parametersWith({})), "signature-components"],
      [
        "a component twice, another not",
        signedByHand(["@method", "@method", "@query", "content-digest", "idempotency-key"], parametersWith({})),
        "signature-components",
      ],
      ["a component twice", signedByHand([...ALL, "@method"], parametersWith({})), "signature-components"],
      ["no component", signedByHand([], parametersWith({})), "signature-malformed"],
      ["another body", { ...POST, body: Buffer.from('{"key":"hot-2"}') }, "digest-mismatch"],
      ["no digest", withHeaders(POST, { "content-digest": undefined }), "digest-mismatch"],
      [
        "another kind of digest",
        withHeaders(POST, { "content-digest": `sha-512=:${createHash("sha512").update(BODY).digest("base64")}:` }),
        "digest-mismatch",
      ],
      [
        "two digests",
        withHeaders(POST, { "content-digest": `${digestOf(BODY)}, ${digestOf(BODY)}` }),
        "digest-mismatch",
      ],
      [
        "another body with its digest",
        withHeaders({ ...POST, body: Buffer.from("{}") }, { "content-digest": digestOf(Buffer.from("{}")) }),
        "signature-invalid",
      ],
      ["an unknown caller", signedByHand(ALL, parametersWith({ keyid: "somebody" })), "unknown-caller"],
      [
        "a signature of zeros",
        withHeaders(POST, { signature: `sig1=:${Buffer.alloc(64).toString("base64")}:` }),
        "signature-invalid",
      ],
    ] as readonly (readonly [string, ReceivedRequest, string])[]) {
      it(what, async () => assert.equal(await refusal(() => check(request)), code));
    }
  });

  it("created may differ by a minute either way, and no more", async () => {
    for (const [seconds, expected] of [
      [-60, undefined],
      [60, undefined],
      [-61, "signature-stale"],
      [61, "signature-stale"],
    ] as const) {
      const attempt = () => check(POST, NOW + seconds * 1000);
      if (expected === undefined) assert.equal((await attempt()).name, "payouts");
      else assert.equal(await refusal(attempt), expected);
    }
  });

  for (const request of [POST, GET]) {
    describe(`every change of a signed ${request.method} is refused`, () => {
      const COVERED = ["content-digest", "idempotency-key", "signature", "signature-input"];

      it("one bit of method, target, body or a signed header", async () => {
        const flipped = (text: string, bit: number): string => {
          const bytes = Buffer.from(text, "latin1");
          bytes[bit >> 3]! ^= 1 << (bit & 7);
          return bytes.toString("latin1");
        };
        const changes: [string, ReceivedRequest][] = [];
        for (let bit = 0; bit < request.method.length * 8; bit++)
          changes.push([`method, bit ${bit}`, { ...request, method: flipped(request.method, bit) }]);
        for (let bit = 0; bit < request.target.length * 8; bit++)
          changes.push([`target, bit ${bit}`, { ...request, target: flipped(request.target, bit) }]);
        for (let bit = 0; bit < request.body.length * 8; bit++) {
          const body = Buffer.from(request.body);
          body[bit >> 3]! ^= 1 << (bit & 7);
          changes.push([`body, bit ${bit}`, { ...request, body }]);
        }
        for (const name of COVERED.filter((each) => request.headers[each] !== undefined)) {
          for (let bit = 0; bit < request.headers[name]!.length * 8; bit++)
            changes.push([
              `${name}, bit ${bit}`,
              withHeaders(request, { [name]: flipped(request.headers[name]!, bit) }),
            ]);
        }
        for (const [what, changed] of changes) assert.match(await refusal(() => check(changed)), /./, what);
        assert.ok(changes.length > 1000);
      });

      it("a character more or less", async () => {
        const longer = (text: string) => [`${text} `, ` ${text}`, `${text}0`, text.slice(1), text.slice(0, -1)];
        for (const target of longer(request.target)) assert.ok(await refusal(() => check({ ...request, target })));
        for (const name of COVERED.filter((each) => request.headers[each] !== undefined))
          for (const value of longer(request.headers[name]!))
            assert.ok(await refusal(() => check(withHeaders(request, { [name]: value }))), `${name}: ${value}`);
        assert.ok(await refusal(() => check({ ...request, body: Buffer.concat([request.body, Buffer.from(" ")]) })));
      });
    });
  }

  it("an idempotency key that is dropped or added on the way is seen", async () => {
    assert.equal(
      await refusal(() => check(withHeaders(POST, { "idempotency-key": undefined }))),
      "signature-components",
    );
    const dryRun = { ...POST, headers: client.signRequest("POST", TARGET, BODY, undefined, NOW).headers };
    assert.equal((await check(dryRun)).name, "payouts");
    assert.equal(
      await refusal(() => check(withHeaders(dryRun, { "idempotency-key": "added" }))),
      "signature-components",
    );
  });

  it("what the SDK signs, OpenSSL verifies over the base that RFC 9421 describes", () => {
    const { headers } = POST;
    const [input] = /\(.*$/.exec(headers["signature-input"]!)!;
    const base = [
      '"@method": POST',
      '"@path": /v1/clients/acme/signing-requests',
      '"@query": ?a=b&c',
      `"content-digest": ${headers["content-digest"]}`,
      '"idempotency-key": withdrawal-1',
      `"@signature-params": ${input}`,
    ].join("\n");
    const signature = Buffer.from(/:(.*):/.exec(headers["signature"]!)![1]!, "base64");
    const key = createPublicKey(
      createPrivateKey({ key: Buffer.from(file.privateKey, "base64"), format: "der", type: "pkcs8" }),
    );
    assert.ok(verify(null, Buffer.from(base), key, signature));
  });
});
