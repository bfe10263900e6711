import assert from "node:assert/strict";
import { hashAuthorization } from "ethers";
import fc from "fast-check";
import {
  decodeAuthorization,
  encodeAuthorization,
  intentOfAuthorization,
} from "../../../../src/chains/evm/authorization.ts";
import { signingDigest } from "../../../../src/chains/evm/transaction.ts";
import { address, bytesOf, hexOf, uint } from "./arbitraries.ts";
import { account, OTHER, OWN, registry } from "./registry.ts";
import { refusal } from "./refusal.ts";

// Goal: who signs an EIP-7702 authorization is told that the account is handed over.

describe("chains/evm/authorization", () => {
  it("the digest is the one that ethers signs, and the bytes are read back", () => {
    fc.assert(
      fc.property(uint(53), address, uint(52), (chainId, to, nonce) => {
        const unsigned = encodeAuthorization({ chainId, address: to, nonce });
        assert.equal(hexOf(signingDigest(unsigned)), hashAuthorization({ chainId, address: to, nonce }));
        assert.deepEqual(decodeAuthorization(unsigned), { chainId, address: to, nonce });
      }),
    );
  });

  it("is a delegation that uses up a nonce of the account", () => {
    const { operations, claims, fee } = intentOfAuthorization(
      { chainId: 1n, address: OTHER, nonce: 4n },
      account(OWN),
      registry,
    );
    assert.deepEqual(operations, [{ kind: "delegate", from: account(OWN), to: account(OTHER) }]);
    assert.deepEqual(claims, [{ kind: "evm-nonce", account: account(OWN), nonce: 4n }]);
    assert.equal(fee.max, 0n);
  });

  const one = encodeAuthorization({ chainId: 1n, address: OTHER, nonce: 4n });
  for (const [name, bytes, code] of [
    ["no bytes", new Uint8Array(0), "not-an-authorization"],
    ["a transaction's type", Uint8Array.of(4, ...one.subarray(1)), "not-an-authorization"],
    ["a byte behind the end", Uint8Array.of(...one, 0), "rlp-trailing-bytes"],
    ["a fourth item", bytesOf(`05d801 94${"11".repeat(20)} 04 80`.replaceAll(" ", "")), "rlp-extra-items"],
  ] as const) {
    it(`refuses ${name}: ${code}`, () =>
      assert.equal(
        refusal(() => decodeAuthorization(bytes)),
        code,
      ));
  }

  it("refuses to hand the account over on every chain, or on another", () => {
    const intent = (chainId: bigint) =>
      intentOfAuthorization({ chainId, address: OTHER, nonce: 4n }, account(OWN), registry);
    assert.equal(
      refusal(() => intent(0n)),
      "authorization-for-every-chain",
    );
    assert.equal(
      refusal(() => intent(10n)),
      "wrong-chain",
    );
  });
});
