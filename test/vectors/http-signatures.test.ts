import assert from "node:assert/strict";
import { createPublicKey, verify } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { parseSignature, requestSignatureBase, splitTarget } from "../../src/domain/http-signature.ts";

// Goal: our words of HTTP Message Signatures are those of RFC 9421's own examples, as far as they are in our profile:
// Ed25519, derived components, plain fields. One is typed in; the others are read where the vectors stand beside this
// repository.

type Case = {
  id: string;
  label: string;
  alg: string;
  keyid: string;
  expect: "valid" | "invalid";
  message?: { start: string; headers: [string, string][] };
  signatureBase?: string;
};
type Vectors = { keys: Record<string, { publicPem?: string }>; cases: Case[] };
const FILE = new URL("../../../shared/vectors/http-sig/rfc9421.json", import.meta.url);

const INPUT = '("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519"';
const TYPED_IN: Vectors = {
  keys: {
    "test-key-ed25519": {
      publicPem:
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n-----END PUBLIC KEY-----\n",
    },
  },
  cases: [
    {
      id: "RFC 9421, appendix B.4, the first, typed in",
      label: "transform",
      alg: "ed25519",
      keyid: "test-key-ed25519",
      expect: "valid",
      message: {
        start: "GET /demo?name1=Value1&Name2=value2 HTTP/1.1",
        headers: [
          ["Signature-Input", `transform=${INPUT}`],
          [
            "Signature",
            "transform=:ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==:",
          ],
        ],
      },
      signatureBase: `"@method": GET\n"@path": /demo\n"@authority": example.org\n"accept": application/json, */*\n"@signature-params": ${INPUT}`,
    },
  ],
};

for (const { keys, cases } of [
  TYPED_IN,
  ...(existsSync(FILE) ? [JSON.parse(readFileSync(FILE, "utf8")) as Vectors] : []),
]) {
  describe("vectors: RFC 9421, Ed25519", () => {
    const ours = cases.filter(({ alg, message, signatureBase }) => alg === "ed25519" && message && signatureBase);
    it("there are some", () => assert.ok(ours.length > 0));
    for (const { id, label, keyid, expect, message, signatureBase } of ours) {
      it(`${id}: ${expect}`, () => {
        const [method, target] = message!.start.split(" ") as [string, string];
        const header = (name: string): string =>
          message!.headers.flatMap(([key, value]) => (key.toLowerCase() === name ? [value] : [])).join(", ");
        const input = header("signature-input").slice(label.length + 1);
        const components = [.../\(([^)]*)\)/.exec(input)![1]!.matchAll(/"([^"]+)"/g)].map((match) => match[1]!);

        // The derived components that we speak, and the line of parameters, are as published.
        const known = components.filter((name) => ["@method", "@path", "@query"].includes(name));
        const { path, query } = splitTarget(target);
        const base = requestSignatureBase(
          { method, path, query, contentDigest: "", idempotencyKey: undefined },
          known,
          input,
        );
        for (const line of base.split("\n")) assert.ok(signatureBase!.split("\n").includes(line), line);

        const signature = parseSignature(header("signature"))!;
        assert.equal(signature.label, label);
        const key = createPublicKey(keys[keyid]!.publicPem!);
        const isValid = verify(null, Buffer.from(signatureBase!), key, Buffer.from(signature.base64, "base64"));
        assert.equal(isValid, expect === "valid");
      });
    }
  });
}
