import assert from "node:assert/strict";
import fc from "fast-check";
import { signedOutside } from "../../../src/custody/signed-outside.ts";
import type { Account } from "../../../src/domain/chain.ts";

// Goal: no nonce that a key used outside of the gateway goes unnoticed, and none that it used here alarms anybody.
// Method: random histories of an account, nonce by nonce, against what was done with each.

const account = "eip155:1:0x0000000000000000000000000000000000000A11" as Account;
const hash = (nonce: number) => `0x${nonce.toString(16).padStart(64, "0")}`;

describe("signed outside", () => {
  const use = fc.constantFrom("here", "authorized here", "outside", "unseen");

  it("names exactly the nonces that were used elsewhere", () => {
    fc.assert(
      fc.property(fc.array(use, { maxLength: 30 }), fc.nat(30), (uses, from) => {
        const nonces = (...kinds: string[]) => uses.flatMap((kind, nonce) => (kinds.includes(kind) ? [nonce] : []));
        const outgoing = nonces("here", "outside").map((nonce) => ({ nonce: BigInt(nonce), transaction: hash(nonce) }));
        const here = {
          transactions: new Set(nonces("here").map(hash)),
          authorizations: new Set(nonces("authorized here").map(BigInt)),
        };
        const chain = { account, nonce: BigInt(uses.length), outgoing: outgoing.reverse() };
        const named = signedOutside(chain, here, BigInt(from)).flatMap((found) =>
          found.kind === "transaction"
            ? [Number(found.nonce)]
            : Array.from({ length: Number(found.last - found.first) + 1 }, (_, n) => Number(found.first) + n),
        );
        assert.deepEqual(
          named.sort((a, b) => a - b),
          nonces("outside", "unseen").filter((nonce) => nonce >= from),
        );
      }),
    );
  });

  it("another transaction with a nonce that was signed for here is one from outside", () => {
    const outgoing = [{ nonce: 0n, transaction: hash(2) }];
    const here = { transactions: new Set([hash(1)]), authorizations: new Set([0n]) };
    assert.deepEqual(signedOutside({ account, nonce: 1n, outgoing }, here), [
      { kind: "transaction", account, nonce: 0n, transaction: hash(2) },
    ]);
  });

  it("a nonce without end is told at once", () => {
    const here = { transactions: new Set<string>(), authorizations: new Set<bigint>() };
    const last = (1n << 64n) - 2n;
    assert.deepEqual(signedOutside({ account, nonce: last + 1n, outgoing: [] }, here), [
      { kind: "nonces", account, first: 0n, last },
    ]);
  });

  it("a transaction with a nonce that is not used yet is a node's contradiction", () => {
    const here = { transactions: new Set([hash(1)]), authorizations: new Set<bigint>() };
    const chain = { account, nonce: 1n, outgoing: [{ nonce: 1n, transaction: hash(1) }] };
    assert.throws(() => signedOutside(chain, here), { code: "chain-contradicts-itself" });
  });
});
