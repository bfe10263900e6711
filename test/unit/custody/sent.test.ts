import assert from "node:assert/strict";
import type { TransactionSeen } from "../../../src/custody/chain-reader.ts";
import type { Opening } from "../../../src/custody/register.ts";
import { confirmationsOf, signedIn, useOf } from "../../../src/custody/sent.ts";
import type { Account, ChainId } from "../../../src/domain/chain.ts";

// Goal: nothing is said to have ended unless the chain shows it at the settled block; what is not known is not guessed.
// Method: one transaction, each thing that a node may say of it.

const CHAIN = "eip155:1" as ChainId;
const account = `${CHAIN}:0x742d35Cc6634C0532925a3b844Bc454e4438f44e` as Account;
const other = `${CHAIN}:0x70997970C51812dc3A010C7d01b50e0d17dc79C8` as Account;
const one = { request: "a", account, nonce: 4n, transaction: "0xaa" };

function stateOf(found: TransactionSeen | undefined, count: bigint, usedBy?: string) {
  const [confirmation] = confirmationsOf([one], {
    settled: { chain: CHAIN, number: 100, hash: "0x" },
    head: 111,
    seen: new Map(found ? [[one.transaction, found]] : []),
    counts: new Map([[account, count]]),
    usedBy: new Map(usedBy === undefined ? [] : [[useOf(one), usedBy]]),
  });
  const { state, block, depth, fee } = confirmation!;
  return [state, block, depth, fee];
}

describe("custody/sent", () => {
  it("mined and reverted are what stands at the settled block or below", () => {
    assert.deepEqual(stateOf({ state: "mined", block: 100, fee: 7n }, 5n), ["mined", 100, 12, 7n]);
    assert.deepEqual(stateOf({ state: "reverted", block: 1, fee: 7n }, 5n), ["reverted", 1, 111, 7n]);
    assert.deepEqual(stateOf({ state: "mined", block: 101, fee: 7n }, 4n), ["broadcast", 101, 11, undefined]);
  });
  it("replaced needs the transaction that took the number", () => {
    assert.equal(stateOf({ state: "unknown" }, 5n, "0xbb")[0], "replaced");
    assert.equal(stateOf({ state: "unknown" }, 5n)[0], "unexplained");
    assert.equal(stateOf({ state: "unknown" }, 5n, "0xaa")[0], "unexplained");
    assert.equal(stateOf({ state: "waiting" }, 5n)[0], "unexplained");
  });
  it("with its number unused it waits or was dropped", () => {
    assert.equal(stateOf({ state: "waiting" }, 4n)[0], "broadcast");
    assert.equal(stateOf({ state: "unknown" }, 4n)[0], "dropped");
    assert.equal(stateOf(undefined, 4n)[0], "dropped");
  });
  it("the leaves tell transactions from authorizations, and what was never signed from both", () => {
    const authorized = (request: string, ...claims: [Account, string][]): Opening => ({
      ...{ type: "authorized", index: 0, at: 0, request },
      intent: { claims: claims.map(([account, nonce]) => ({ kind: "evm-nonce", account, nonce })) },
    });
    const signed = (request: string, transactionHash?: string): Opening => ({
      ...{ type: "signed", index: 0, at: 0, request },
      ...(transactionHash === undefined ? {} : { transactionHash }),
    });
    const found = signedIn([
      authorized("a", [account, "4"], [other, "9"]),
      signed("a", "0xaa"),
      authorized("b", [account, "5"]),
      authorized("c", [account, "6"]),
      signed("c"),
      authorized("message"),
      signed("message"),
    ]);
    assert.deepEqual(found.sent, [one]);
    assert.deepEqual(
      [...found.authorizations].map(([of, nonces]) => [of, ...nonces]),
      [
        [other, 9n],
        [account, 6n],
      ],
    );
  });
});
