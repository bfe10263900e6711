import assert from "node:assert/strict";
import { createPublicKey, verify } from "node:crypto";
import {
  parseSignature,
  parseSignatureInput,
  requestComponents,
  requestSignatureBase,
  signatureInput,
  splitTarget,
} from "../../../src/domain/http-signature.ts";

// Goal: the texts that are signed are those of RFC 9421.

describe("domain/http-signature", () => {
  it("the parameters and the last line of the base are those of RFC 9421, appendix B.2.6", () => {
    // Its components are not ours; its Ed25519 key, its form and its signature are.
    const input =
      '("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"';
    const base = `"date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@authority": example.com
"content-type": application/json
"content-length": 18
"@signature-params": ${input}`;
    const key = createPublicKey(
      "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n-----END PUBLIC KEY-----\n",
    );
    const { label, base64 } = parseSignature(
      "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
    )!;
    assert.equal(label, "sig-b26");
    assert.ok(verify(null, Buffer.from(base), key, Buffer.from(base64, "base64")));

    const ours = requestSignatureBase(
      {
        method: "POST",
        path: "/foo",
        query: "?param=Value&Pet=dog",
        contentDigest: "sha-256=:x:",
        idempotencyKey: undefined,
      },
      ["@method", "@path"],
      input,
    );
    assert.equal(ours, `"@method": POST\n"@path": /foo\n"@signature-params": ${input}`);
  });

  it("the base of a request, as written down by hand (RFC 9421, section 2.5)", () => {
    const input = signatureInput(requestComponents(true), {
      created: 1618884473,
      keyid: "payouts",
      alg: "ed25519",
      tag: "portcullis:prod",
    });
    assert.equal(
      input,
      '("@method" "@path" "@query" "content-digest" "idempotency-key");created=1618884473;keyid="payouts";alg="ed25519";tag="portcullis:prod"',
    );
    const { path, query } = splitTarget("/v1/x?param=Value&Pet=dog");
    const request = { method: "POST", path, query, contentDigest: "sha-256=:abc=:", idempotencyKey: "key-1" };
    assert.equal(
      requestSignatureBase(request, requestComponents(true), input),
      [
        '"@method": POST',
        '"@path": /v1/x',
        '"@query": ?param=Value&Pet=dog',
        '"content-digest": sha-256=:abc=:',
        '"idempotency-key": key-1',
        `"@signature-params": ${input}`,
      ].join("\n"),
    );
  });

  it("a request without a query has the query `?` (section 2.2.7)", () => {
    assert.deepEqual(splitTarget("/path"), { path: "/path", query: "?" });
    assert.deepEqual(splitTarget("/path?"), { path: "/path", query: "?" });
    assert.deepEqual(splitTarget("/path?a?b"), { path: "/path", query: "?a?b" });
  });

  const parameters = { created: 1, keyid: "k", alg: "a", tag: "t" };
  it("what is written is read", () => {
    const input = signatureInput(requestComponents(true), parameters);
    assert.deepEqual(parseSignatureInput(`sig1=${input}`), {
      label: "sig1",
      components: requestComponents(true),
      parameters,
      input,
    });
  });

  const good = '("@method");created=1;keyid="k";alg="a";tag="t"';
  for (const [what, header] of [
    ["no label", good],
    ["two", `a=${good}, b=${good}`],
    ["a parameter without a value", `a=${good};expires`],
    ["an unknown parameter", `a=${good};expires=5`],
    ["a parameter twice", `a=${good};created=1`],
    ["no tag", `a=${good.replace(';tag="t"', "")}`],
    ["an empty keyid", `a=${good.replace('"k"', '""')}`],
    ["a quote inside", `a=${good.replace('"k"', '"k\\"x"')}`],
    ["created as text", `a=${good.replace("created=1", 'created="x"')}`],
    ["a negative created", `a=${good.replace("created=1", "created=-1")}`],
    ["created with a fraction", `a=${good.replace("created=1", "created=1.5")}`],
    ["components without quotes", `a=${good.replace('"@method"', "@method")}`],
    ["two blanks between components", `a=${good.replace('"@method"', '"@method"  "@path"')}`],
    ["a blank at the end", `a=${good} `],
    ["a line end", `a=${good}\n`],
    ["1,025 characters", `a=${good.replace('"k"', `"${"k".repeat(1000)}"`)}`],
  ] as const) {
    it(`${what} is no signature input of this profile`, () => assert.equal(parseSignatureInput(header), undefined));
  }

  const signature = Buffer.alloc(64, 255).toString("base64");
  for (const [what, header] of [
    ["63 bytes", `a=:${Buffer.alloc(63, 255).toString("base64")}:`],
    ["65 bytes", `a=:${Buffer.alloc(65, 255).toString("base64")}:`],
    ["stray bits at the end", `a=:${signature.replace("w==", "x==")}:`],
    ["no padding", `a=:${signature.replace("==", "")}:`],
    ["base64url", `a=:${signature.replaceAll("/", "_")}:`],
    ["no colons", `a=${signature}`],
    ["two", `a=:${signature}:, b=:${signature}:`],
  ] as const) {
    it(`${what}: no signature`, () => assert.equal(parseSignature(header), undefined));
  }
  it("64 bytes are a signature", () =>
    assert.deepEqual(parseSignature(`a=:${signature}:`), { label: "a", base64: signature }));
});
