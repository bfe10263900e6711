import assert from "node:assert/strict";
import { Interface } from "ethers";
import fc from "fast-check";
import { createContract } from "micro-eth-signer/abi.js";
import { concatHex, encodeFunctionData, numberToHex, parseAbi, size, type Abi, type Hex } from "viem";
import { intentOf } from "../../src/chains/evm/intent.ts";
import { GatewayError } from "../../src/domain/errors.ts";
import type { Operation } from "../../src/domain/intent.ts";
import { address, bytesOf, hexOf, uint } from "../unit/chains/evm/arbitraries.ts";
import { cpuMsOf } from "../unit/chains/evm/cpu.ts";
import { allows, calls, MAX, moves } from "../unit/chains/evm/operations.ts";
import * as at from "../unit/chains/evm/registry.ts";
import { RUNS_TIMEOUT_MS, runs } from "../unit/chains/evm/runs.ts";

// Goal: whatever is nested in whatever, the operations are those that the calls were made of, each with its own sender.
// Method: generated trees of calls, written by viem, ethers and micro-eth-signer, with the operations known from how they were made.

const FUNCTIONS = [
  "function transfer(address to, uint256 value)",
  "function transferFrom(address from, address to, uint256 value)",
  "function approve(address spender, uint256 value)",
  "function increaseAllowance(address spender, uint256 value)",
  "function setApprovalForAll(address operator, bool approved)",
  "function safeBatchTransferFrom(address from, address to, uint256[] ids, uint256[] values, bytes data)",
  "function aggregate3Value((address target, bool allowFailure, uint256 value, bytes callData)[] calls)",
  "function multiSend(bytes transactions)",
  "function execTransaction(address to, uint256 value, bytes data, uint8 operation, uint256 safeTxGas, uint256 baseGas, uint256 gasPrice, address gasToken, address refundReceiver, bytes signatures)",
] as const;
const abi: Abi = parseAbi(FUNCTIONS);
const byEthers = new Interface(FUNCTIONS);

type Coder = { encodeInput: (values: unknown) => Uint8Array };
/** micro-eth-signer wants members by name where they have one, and one argument by itself. */
const byMicro = createContract(nameless(abi) as never) as Record<string, Coder>;
function nameless(parameters: readonly unknown[]): unknown[] {
  return (parameters as { type: string; inputs?: unknown[]; components?: unknown[] }[]).map((one) => ({
    ...one,
    ...(one.type === "function" ? { inputs: nameless(one.inputs!) } : { name: "" }),
    ...(one.components ? { components: nameless(one.components) } : {}),
  }));
}
const forMicro = (value: unknown): unknown =>
  typeof value === "string" && value.length !== 42
    ? bytesOf(value)
    : Array.isArray(value)
      ? value.map(forMicro)
      : typeof value === "object" && value !== null
        ? Object.values(value).map(forMicro)
        : typeof value === "number"
          ? BigInt(value)
          : value;

function encode(functionName: string, ...args: unknown[]): Hex {
  const data = encodeFunctionData({ abi, functionName, args });
  assert.equal(byEthers.encodeFunctionData(functionName, args), data.toLowerCase());
  const values = args.map(forMicro);
  assert.equal(hexOf(byMicro[functionName]!.encodeInput(values.length === 1 ? values[0] : values)), data.toLowerCase());
  return data;
}

/** A call, and what it does when `sender` makes it. */
type Sample = { to: string; value: bigint; data: Hex; operations: (sender: string) => Operation[] };

const ether = (sender: string, { to, value }: { to: string; value: bigint }) =>
  value === 0n ? [] : [moves("ETH", sender, to, value)];
const call = (to: string, data: Hex, operations: (sender: string) => Operation[], value = 0n): Sample => ({
  to,
  value,
  data,
  operations: (sender) => [...operations(sender), ...ether(sender, { to, value })],
});

const fungible = fc.constantFrom(["USDC", at.USDC] as const, ["DAI", at.DAI] as const, ["WETH", at.WETH] as const);
const limit = (amount: bigint) => (amount === MAX ? { unlimited: true as const } : {});
const small = uint(90);
const amount = fc.oneof(uint(256), fc.constant(MAX));

const leaf: fc.Arbitrary<Sample> = fc.oneof(
  fc.tuple(address, small).map(([to, value]): Sample => ({
    to,
    value,
    data: "0x",
    operations: (sender) => [moves("ETH", sender, to, value)],
  })),
  fc
    .tuple(fungible, address, amount, small)
    .map(([[symbol, token], to, value, sent]) =>
      call(token, encode("transfer", to, value), (sender) => [moves(symbol, sender, to, value)], sent),
    ),
  fc
    .tuple(fungible, address, address, amount)
    .map(([[symbol, token], from, to, value]) =>
      call(token, encode("transferFrom", from, to, value), () => [moves(symbol, from, to, value)]),
    ),
  fc
    .tuple(fungible, address, amount)
    .map(([[symbol, token], to, value]) =>
      call(token, encode("approve", to, value), (sender) => [allows(symbol, sender, to, value, limit(value))]),
    ),
  fc
    .tuple(fungible, address, amount)
    .map(([[symbol, token], to, value]) =>
      call(token, encode("increaseAllowance", to, value), (sender) => [
        allows(symbol, sender, to, MAX, { unlimited: true, change: `${value}` }),
      ]),
    ),
  fc
    .tuple(address, fc.boolean())
    .map(([to, allowed]) =>
      call(at.APE, encode("setApprovalForAll", to, allowed), (sender) => [
        allows("BAYC", sender, to, allowed ? MAX : 0n, allowed ? { unlimited: true } : {}),
      ]),
    ),
  fc
    .tuple(address, address, fc.array(fc.tuple(uint(256), uint(256)), { minLength: 1, maxLength: 4 }))
    .map(([from, to, items]) =>
      call(
        at.ITEMS,
        encode(
          "safeBatchTransferFrom",
          from,
          to,
          items.map(([id]) => id),
          items.map(([, value]) => value),
          "0x",
        ),
        () => items.map(([id, value]) => moves("ITEMS", from, to, value, `${id}`)),
      ),
    ),
  fc
    .tuple(address, amount, small)
    .map(([to, value, sent]) =>
      call(at.UNPINNED, encode("transfer", to, value), (sender) => [calls(sender, at.UNPINNED, "0xa9059cbb")], sent),
    ),
);

const exec = (to: string, value: bigint, data: Hex, operation: number) =>
  encode("execTransaction", to, value, data, operation, 0n, 0n, 0n, at.ZERO, at.ZERO, "0x");
const partOf = ({ to, value, data }: Sample): Hex =>
  concatHex(["0x00", to as Hex, numberToHex(value, { size: 32 }), numberToHex(size(data), { size: 32 }), data]);

const { tree } = fc.letrec<{ tree: Sample }>((tie) => {
  const many = fc.array(tie("tree"), { minLength: 1, maxLength: 4 });
  return {
    tree: fc.oneof(
      { maxDepth: 4, depthSize: "small", withCrossShrink: true },
      leaf,
      tie("tree").map((inner) =>
        call(at.SAFE, exec(inner.to, inner.value, inner.data, 0), () => inner.operations(at.SAFE)),
      ),
      fc
        .tuple(many, fc.constantFrom(at.MULTISEND, at.MULTISEND_CALL_ONLY))
        .map(([inner, library]) =>
          call(at.SAFE, exec(library, 0n, encode("multiSend", concatHex(inner.map(partOf))), 1), () =>
            inner.flatMap((one) => one.operations(at.SAFE)),
          ),
        ),
      fc.tuple(many, small).map(([inner, sent]) => {
        const parts = inner.map(({ to, value, data }) => ({ target: to, allowFailure: true, value, callData: data }));
        return call(
          at.MULTICALL3,
          encode("aggregate3Value", parts),
          () => inner.flatMap((one) => one.operations(at.MULTICALL3)),
          sent,
        );
      }),
    ),
  };
});

const operationsOf = (to: string, value: bigint, data: Uint8Array) =>
  intentOf({ ...at.CALL, to, value, data }, at.account(at.OWN), at.registry).operations;

describe("property: EVM calls", function () {
  this.timeout(RUNS_TIMEOUT_MS);
  it("operations are those that the calls were made of", () => {
    fc.assert(
      fc.property(
        tree.filter((sample) => sample.operations(at.OWN).length <= 256),
        ({ to, value, data, operations }) =>
          assert.deepEqual(operationsOf(to, value, bytesOf(data)), operations(at.OWN)),
      ),
      { numRuns: runs(600) },
    );
  });

  it("changed calldata is refused with a code or told; nothing else happens", () => {
    const change = fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }) });
    fc.assert(
      fc.property(
        tree,
        fc.array(change, { maxLength: 4 }),
        fc.integer({ min: -70, max: 40 }),
        (sample, changes, more) => {
          const original = bytesOf(sample.data);
          const data = new Uint8Array(Math.max(0, original.length + more));
          data.set(original.subarray(0, data.length));
          for (const one of changes) if (data.length > 0) data[one.at % data.length] = one.byte;
          try {
            assert.ok(operationsOf(sample.to, sample.value, data).length > 0);
          } catch (error) {
            assert.ok(error instanceof GatewayError, String(error));
          }
        },
      ),
      { numRuns: runs(600) },
    );
  });

  it("answers within 250 ms of CPU on the largest batches that a transaction can hold", () => {
    const many = Array.from({ length: 600 }, () => ({
      target: at.USDC,
      allowFailure: true,
      value: 0n,
      callData: "0x",
    }));
    const parts = concatHex(
      Array.from({ length: 1500 }, () => partOf({ to: at.USDC, value: 0n, data: "0x", operations: () => [] })),
    );
    const data = [
      bytesOf(encode("aggregate3Value", many)),
      bytesOf(exec(at.MULTISEND, 0n, encode("multiSend", parts), 1)),
    ];
    for (const [index, to] of [at.MULTICALL3, at.SAFE].entries()) {
      const cpuMs = cpuMsOf(() =>
        assert.throws(() => operationsOf(to, 0n, data[index]!), { code: "too-many-operations" }),
      );
      assert.ok(cpuMs < 250, `${cpuMs} ms`);
    }
  });
});
