import assert from "node:assert/strict";
import { AbiCoder, FunctionFragment, ParamType } from "ethers";
import fc from "fast-check";
import {
  encodeAbiParameters,
  encodeFunctionData,
  parseAbi,
  toFunctionSelector,
  type AbiParameter as ViemParameter,
} from "viem";
import { compileFunction, decodeArguments, parseFunction } from "../../../../src/chains/evm/abi.ts";
import { GatewayError } from "../../../../src/domain/errors.ts";
import { asHex, typed } from "./abi-arbitraries.ts";
import { hexOf } from "./arbitraries.ts";
import { cpuMsOf } from "./cpu.ts";
import { refusal } from "./refusal.ts";
import { RUNS_TIMEOUT_MS, runs } from "./runs.ts";

// Goal: calldata has one reading, the one that ethers and viem have, and nothing else is read.

const bytesOf = (text: string) => Uint8Array.from(Buffer.from(text.replace(/^0x/, ""), "hex"));
const SELECTOR = [1, 2, 3, 4];
/** Types with values of them. */
const call = fc.array(typed, { minLength: 1, maxLength: 4 }).chain((parts) =>
  fc.record({
    inputs: fc.constant(parts.map((part) => part.parameter)),
    values: fc.tuple(...parts.map((part) => part.value)),
  }),
);

describe("chains/evm/abi", function () {
  this.timeout(RUNS_TIMEOUT_MS);
  it("reads the values that ethers and viem wrote", () => {
    fc.assert(
      fc.property(call, ({ inputs, values }) => {
        const byEthers = AbiCoder.defaultAbiCoder().encode(
          inputs.map((input) => ParamType.from(input as never)),
          values.map(asHex),
        );
        // Tuples with names are objects to viem; without, they are lists.
        assert.equal(encodeAbiParameters(nameless(inputs) as ViemParameter[], values.map(asHex)), byEthers);
        const compiled = compileFunction({ name: "f", inputs });
        assert.deepEqual(decodeArguments(compiled, Uint8Array.from([...SELECTOR, ...bytesOf(byEthers)])), values);
      }),
      { numRuns: runs(500) },
    );
  });

  it("changed calldata is refused, or is what ethers makes of the values that are read", () => {
    const change = fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }) });
    fc.assert(
      fc.property(
        call,
        fc.array(change, { minLength: 1, maxLength: 3 }),
        fc.integer({ min: -40, max: 40 }),
        ({ inputs, values }, changes, more) => {
          const coder = AbiCoder.defaultAbiCoder();
          const types = inputs.map((input) => ParamType.from(input as never));
          const encoded = bytesOf(coder.encode(types, values.map(asHex)));
          for (const { at, byte } of changes) encoded[at % encoded.length] = byte;
          const data = new Uint8Array(Math.max(0, encoded.length + (Math.abs(more) > 32 ? more : 0)));
          data.set(encoded.subarray(0, data.length));
          try {
            const read = decodeArguments(
              compileFunction({ name: "f", inputs }),
              Uint8Array.from([...SELECTOR, ...data]),
            );
            assert.equal(coder.encode(types, read.map(asHex)), hexOf(data));
          } catch (error) {
            assert.ok(error instanceof GatewayError, String(error));
          }
        },
      ),
      { numRuns: runs(800) },
    );
  });

  it("knows a function by the selector that ethers and viem give it", () => {
    for (const text of [
      "transfer(address to,uint256 amount)",
      "deposit()",
      "multicall(bytes[])",
      "exec((address to,(uint8 a,bytes b)[2][] parts)[] calls,bytes32[3] x)",
    ]) {
      const compiled = compileFunction(parseFunction(text));
      const fragment = FunctionFragment.from(
        text.replaceAll(/\(\(/g, "(tuple(").replaceAll(",(", ",tuple(").replaceAll("to,(", "to,tuple("),
      );
      assert.equal(compiled.selector, fragment.selector);
      assert.equal(compiled.selector, toFunctionSelector(compiled.signature));
    }
  });

  const words = (...values: string[]) => bytesOf("01020304" + values.map((value) => value.padStart(64, "0")).join(""));
  const refused: [string, string, Uint8Array, string][] = [
    ["an argument that is missing", "f(uint256)", words(), "calldata-length"],
    ["half an argument", "f(uint256)", bytesOf("0102030400"), "calldata-length"],
    ["a word too many", "f(uint256)", words("1", "2"), "calldata-length"],
    ["dirty bytes before an address", "f(address)", words("1".padEnd(64, "0")), "calldata-padding"],
    ["an integer beyond its type", "f(uint8)", words("100"), "calldata-padding"],
    ["a negative integer that is not sign-extended", "f(int8)", words("ff"), "calldata-padding"],
    ["a bool of two", "f(bool)", words("2"), "calldata-value"],
    ["dirty bytes behind bytes4", "f(bytes4)", words("1"), "calldata-padding"],
    ["an offset with a gap", "f(bytes)", words("40", "0", "0"), "calldata-offset"],
    ["an offset into the heads", "f(bytes)", words("0"), "calldata-offset"],
    ["an offset of 256 bits", "f(bytes)", words("f".repeat(64), "0"), "calldata-offset"],
    ["two arguments that share a tail", "f(bytes,bytes)", words("40", "40", "0"), "calldata-offset"],
    ["dirty bytes behind a string", "f(string)", words("20", "1", `41${"0".repeat(61)}1`), "calldata-padding"],
    ["a string that is not UTF-8", "f(string)", words("20", "1", "ff".padEnd(64, "0")), "calldata-value"],
    ["a length of 256 bits", "f(uint256[])", words("20", "f".repeat(64)), "calldata-length"],
    ["a length that would need memory first", "f(uint256[][])", words("20", "ff"), "calldata-length"],
    ["an array with an item missing", "f(uint256[])", words("20", "2", "1"), "calldata-length"],
  ];
  for (const [name, signature, data, code] of refused) {
    it(`refuses ${name}: ${code}`, () =>
      assert.equal(
        refusal(() => decodeArguments(compileFunction(parseFunction(signature)), data)),
        code,
      ));
  }

  for (const text of [
    "",
    "f",
    "f(",
    "f(uint)",
    "f(uint7)",
    "f(bytes33)",
    "f(tuple)",
    "f(())",
    "f(uint256 a b)",
    "f(function)",
    "f(uint256[0])",
    "1(uint8)",
    "f(fixed128x18)",
  ]) {
    it(`refuses the function ${JSON.stringify(text)}`, () =>
      assert.equal(
        refusal(() => compileFunction(parseFunction(text))),
        "invalid-abi",
      ));
  }

  it("answers within 250 ms of CPU on a megabyte of nested lengths", () => {
    const abi = parseAbi(["function f(bytes[] x)"]);
    const huge = bytesOf(encodeFunctionData({ abi, args: [Array.from({ length: 16_000 }, () => "0x" as const)] }));
    const compiled = compileFunction(parseFunction("f(bytes[])"));
    const cpuMs = cpuMsOf(() => {
      decodeArguments(compiled, huge);
      assert.equal(
        refusal(() => decodeArguments(compiled, huge.subarray(0, -1))),
        "calldata-length",
      );
    });
    assert.ok(cpuMs < 250, `${cpuMs} ms`);
  });
});

const nameless = (inputs: readonly { type: string; components?: readonly object[] }[]): object[] =>
  inputs.map(({ type, components }) => ({
    type,
    ...(components ? { components: nameless(components as never) } : {}),
  }));
