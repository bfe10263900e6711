import assert from "node:assert/strict";
import fc from "fast-check";
import { intentOf } from "../../../src/chains/evm/intent.ts";
import type { EvmTransaction } from "../../../src/chains/evm/transaction.ts";
import { anchorText, readAnchor } from "../../../src/domain/anchor.ts";
import type { AssetRegistry } from "../../../src/domain/assets.ts";
import type { Account } from "../../../src/domain/chain.ts";
import { formatCheckpoint } from "../../../src/tlog/checkpoint.ts";

// Goal: a transaction that anchors the log does exactly that, and whatever differs in one byte is a call that nobody can read.

const OWN = "0x742d35Cc6634C0532925a3b844Bc454e4438f44e";
const OTHER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const account = `eip155:1:${OWN}` as Account;
const root = new Uint8Array(32).fill(7);
const checkpoint = { origin: "acme-custody", size: 4711, root: Buffer.from(root).toString("base64") };
const data = new TextEncoder().encode(anchorText(checkpoint));
const ETH = { symbol: "ETH", chain: "eip155:1", decimals: 18, standard: "native" };
const registry = {
  bySymbol: new Map(),
  nativeOf: new Map([["eip155:1", ETH]]),
  byContract: new Map(),
} as unknown as AssetRegistry;
const transaction = {
  type: "eip1559",
  chainId: 1n,
  nonce: 0n,
  maxPriorityFeePerGas: 1n,
  maxFeePerGas: 2n,
  gasLimit: 30_000n,
  to: OWN,
  value: 0n,
  data,
  accessList: [],
} as unknown as EvmTransaction;
const kinds = (change: object, of: AssetRegistry = registry): string[] =>
  intentOf({ ...transaction, ...change }, account, of).operations.map((operation) =>
    operation.kind === "message" ? operation.format : operation.kind,
  );

describe("an anchor of the log", () => {
  it("is a C2SP checkpoint behind a line of its own, and is read back", () => {
    assert.equal(anchorText(checkpoint), `Portcullis log anchor v1\n${formatCheckpoint({ ...checkpoint, root })}`);
    assert.deepEqual(readAnchor(anchorText(checkpoint)), checkpoint);
  });

  it("to the decoder it is a message, which costs its fee", () => {
    const { operations, fee, claims } = intentOf(transaction, account, registry);
    assert.deepEqual(operations, [
      {
        kind: "message",
        from: account,
        format: "anchor",
        text: anchorText(checkpoint),
        anchor: { ...checkpoint, size: "4711" },
      },
    ]);
    assert.deepEqual([fee.max, claims.length], [60_000n, 1]);
  });

  it("to another account, with ether, or at an account that is a contract's it is none", () => {
    assert.deepEqual(kinds({ to: OTHER }), ["call"]);
    assert.deepEqual(kinds({ value: 1n }), ["call", "transfer"]);
    const pinned = { ...registry, contracts: new Map([[account, { kind: "other" }]]) } as unknown as AssetRegistry;
    assert.deepEqual(kinds({}, pinned), ["call"]);
  });

  it("with any byte changed, added or left out, it is none or says what it says", () => {
    const bytes = fc.integer({ min: 0, max: data.length - 1 });
    fc.assert(
      fc.property(bytes, fc.integer({ min: 0, max: 255 }), fc.constantFrom(0, 1, 2), (at, byte, cut) => {
        const changed = Uint8Array.from([
          ...data.slice(0, at),
          ...(cut === 1 ? [] : [byte]),
          ...data.slice(at + Math.min(cut, 1)),
        ]);
        const text = Buffer.from(changed).toString("latin1");
        const expected = readAnchor(text) === undefined ? "call" : "anchor";
        assert.deepEqual(kinds({ data: changed }), [expected]);
        if (expected === "anchor") assert.equal(anchorText(readAnchor(text)!), text);
      }),
      { numRuns: 500 },
    );
  });
});
