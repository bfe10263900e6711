import assert from "node:assert/strict";
import { Signature, Transaction } from "ethers";
import fc from "fast-check";
import { parseTransaction, serializeTransaction } from "viem";
import {
  decodeUnsigned,
  encodeUnsigned,
  type EvmTransaction,
  type SignedAuthorization,
} from "../../src/chains/evm/transaction.ts";
import { GatewayError } from "../../src/domain/errors.ts";
import { cpuMsOf } from "../unit/chains/evm/cpu.ts";
import { bytesOf, hexOf, transaction } from "../unit/chains/evm/arbitraries.ts";
import { RUNS_TIMEOUT_MS, runs } from "../unit/chains/evm/runs.ts";

// Goal: ours, ethers and viem read the same fields out of the same bytes, both ways; nothing but canonical bytes is read.

const TYPE_NUMBER = { legacy: 0, eip2930: 1, eip1559: 2, eip4844: 3, eip7702: 4 } as const;

/** The same transaction as ethers writes its fields. */
function toEthers({ data, type, ...fields }: EvmTransaction): Transaction {
  const like = {
    ...fields,
    type: TYPE_NUMBER[type],
    data: hexOf(data),
    nonce: Number(fields.nonce),
    to: fields.to ?? null,
    chainId: fields.chainId ?? 0n,
    ...("authorizationList" in fields
      ? {
          authorizationList: fields.authorizationList.map(({ r32, s32, yParity, ...rest }) => ({
            ...rest,
            signature: Signature.from({ r: hexOf(r32), s: hexOf(s32), yParity }),
          })),
        }
      : {}),
  };
  return Transaction.from(like as Parameters<typeof Transaction.from>[0]);
}

/** The same transaction as viem writes its fields; it leaves out what is zero or empty when it reads. */
function toViem({ gasLimit, chainId, nonce, data, ...rest }: EvmTransaction): Record<string, unknown> {
  const authorizations =
    "authorizationList" in rest ? { authorizationList: rest.authorizationList.map(toViemAuthorization) } : {};
  const chain = chainId === undefined ? {} : { chainId: Number(chainId) };
  return { ...rest, gas: gasLimit, nonce: Number(nonce), data: hexOf(data), ...chain, ...authorizations };
}
const toViemAuthorization = ({ chainId, nonce, address, r32, s32, yParity }: SignedAuthorization) => ({
  chainId: Number(chainId),
  nonce: Number(nonce),
  address,
  r: hexOf(r32),
  s: hexOf(s32),
  yParity,
});
const written = (fields: Record<string, unknown>) =>
  Object.fromEntries(
    Object.entries(fields).filter(
      ([, value]) =>
        value !== undefined &&
        value !== 0n &&
        value !== 0 &&
        value !== "0x" &&
        !(Array.isArray(value) && value.length === 0),
    ),
  );
const lower = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (key, inner: unknown) =>
      // viem adds v to each authorization beside yParity.
      key === "v"
        ? undefined
        : typeof inner === "bigint"
          ? `${inner}n`
          : typeof inner === "string"
            ? inner.toLowerCase()
            : inner,
    ),
  );

describe("property: EVM transactions", function () {
  this.timeout(RUNS_TIMEOUT_MS);
  it("the bytes are those of ethers and viem, and are read back to the same fields", () => {
    fc.assert(
      fc.property(transaction, (tx) => {
        const bytes = encodeUnsigned(tx);
        assert.equal(hexOf(bytes), toEthers(tx).unsignedSerialized);
        assert.equal(hexOf(bytes), serializeTransaction(toViem(tx) as Parameters<typeof serializeTransaction>[0]));
        assert.deepEqual(decodeUnsigned(bytes), tx);
      }),
      { numRuns: runs(800) },
    );
  });

  it("viem reads the same fields out of our bytes", () => {
    fc.assert(
      fc.property(transaction, (tx) => {
        const parsed = written(parseTransaction(hexOf(encodeUnsigned(tx))));
        assert.deepEqual(lower(parsed), lower(written(toViem(tx))));
      }),
      { numRuns: runs(500) },
    );
  });

  /** What ethers refuses although it is well-formed: nonces beyond 2^53, a priority fee above the maximum. */
  const ethersTakes = (tx: EvmTransaction) =>
    tx.nonce <= BigInt(Number.MAX_SAFE_INTEGER) &&
    (!("maxFeePerGas" in tx) || tx.maxPriorityFeePerGas <= tx.maxFeePerGas);

  const edit = fc.oneof(
    fc.record({ kind: fc.constant("set" as const), at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }) }),
    fc.record({ kind: fc.constant("insert" as const), at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }) }),
    fc.record({ kind: fc.constant("remove" as const), at: fc.nat(), byte: fc.constant(0) }),
  );
  const edited = (
    bytes: Uint8Array,
    { kind, at, byte }: { kind: "set" | "insert" | "remove"; at: number; byte: number },
  ) => {
    const position = at % (bytes.length + (kind === "insert" ? 1 : 0));
    return Uint8Array.from([
      ...bytes.subarray(0, position),
      ...(kind === "remove" ? [] : [byte]),
      ...bytes.subarray(position + (kind === "insert" ? 0 : 1)),
    ]);
  };

  it("changed bytes are refused with a code, or are the canonical bytes of what is read from them", () => {
    fc.assert(
      fc.property(transaction, fc.array(edit, { minLength: 1, maxLength: 3 }), (tx, edits) => {
        const mutated = edits.reduce(edited, encodeUnsigned(tx));
        let read: EvmTransaction;
        try {
          read = decodeUnsigned(mutated);
        } catch (error) {
          assert.ok(error instanceof GatewayError && error.code !== "non-canonical-transaction", String(error));
          return;
        }
        assert.deepEqual(encodeUnsigned(read), mutated);
        if (ethersTakes(read)) assert.equal(Transaction.from(hexOf(mutated)).unsignedSerialized, hexOf(mutated));
      }),
      { numRuns: runs(600) },
    );
  });

  it("no bytes crash the reader", () => {
    fc.assert(
      fc.property(fc.constantFrom([], [1], [2], [0xf8], [0xf9, 1]), fc.uint8Array({ maxLength: 400 }), (head, tail) => {
        try {
          decodeUnsigned(Uint8Array.from([...head, ...tail]));
        } catch (error) {
          assert.ok(error instanceof GatewayError, String(error));
        }
      }),
      { numRuns: runs(600) },
    );
  });

  it("answers within 100 ms of CPU on a megabyte, and on lists nested a thousandfold", () => {
    const nested = Array.from({ length: 1000 }).reduce<Uint8Array>(
      (inner) => bytesOf(`0xf9${inner.length.toString(16).padStart(4, "0")}${hexOf(inner).slice(2)}`),
      new Uint8Array(60),
    );
    for (const input of [
      new Uint8Array(1_000_000).fill(0xc0),
      new Uint8Array(131_072).fill(0xc0),
      nested,
      Uint8Array.from([2, ...nested]),
    ]) {
      const cpuMs = cpuMsOf(() => assert.throws(() => decodeUnsigned(input), GatewayError));
      assert.ok(cpuMs < 100, `${cpuMs} ms`);
    }
  });
});
