import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { recoverAddress, TypedDataEncoder, type TypedDataDomain } from "ethers";
import { messageDigest } from "../../src/chains/evm/message.ts";
import { parseTypedData } from "../../src/chains/evm/typed-data.ts";
import { GatewayError } from "../../src/domain/errors.ts";
import { bytesOf, hexOf } from "../unit/chains/evm/arbitraries.ts";

// Goal: typed data and messages that others published have the digests that others published.
// The vectors are not part of this repository: without them there are no cases here.

const VECTORS = new URL("../../../shared/vectors/evm-typed-data/", import.meta.url);
const read = (path: string): unknown => JSON.parse(readFileSync(new URL(path, VECTORS), "utf8"));

if (existsSync(VECTORS)) {
  describe("vectors: typed data by ethers", () => {
    type Case = {
      name: string;
      domain: TypedDataDomain;
      primaryType: string;
      types: Record<string, { name: string; type: string }[]>;
      data: Record<string, unknown>;
      digest: string;
    };
    for (const { name, domain, primaryType, types, data, digest } of read("ethers6-typed-data.json") as Case[]) {
      it(name, () => {
        // These cases leave the type of the domain to be inferred, and one of them has an empty domain.
        const payload = TypedDataEncoder.getPayload(domain, types, data) as {
          types: object;
          domain: object;
          message: object;
        };
        if (Object.keys(payload.domain).length === 0) {
          assert.throws(() => parseTypedData({ ...payload, primaryType }), GatewayError);
          return;
        }
        assert.equal(hexOf(parseTypedData({ ...payload, primaryType }).digest32), digest);
      });
    }
  });

  it("vectors: a domain with a field that EIP-712 does not have is refused", () => {
    const { typedData } = read("eip712-spec-example.json") as { typedData: unknown };
    assert.throws(() => parseTypedData(typedData), { code: "typed-data-type" });
  });

  describe("vectors: personal_sign by MetaMask", () => {
    type Case = { test: string; fn: string; args: { data: unknown; signature?: string }[]; result: string };
    const isRecovery = ({ fn, args, result }: Case) =>
      fn === "recoverPersonalSignature" &&
      typeof args[0]?.data === "string" &&
      args[0].data.startsWith("0x") &&
      typeof result === "string" &&
      result.startsWith("0x");
    for (const { test, args, result } of (read("metamask-personal-sign.json") as Case[]).filter(isRecovery)) {
      it(test, () => {
        const { data, signature } = args[0]!;
        assert.equal(recoverAddress(messageDigest(bytesOf(data as string)), signature!).toLowerCase(), result);
      });
    }
  });
}
