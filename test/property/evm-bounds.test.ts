import assert from "node:assert/strict";
import { encodeFunctionData, parseAbi, type Abi, type Hex } from "viem";
import { compileFunction, decodeArguments, parseFunction } from "../../src/chains/evm/abi.ts";
import { parseFields } from "../../src/chains/evm/fields.ts";
import { intentOf } from "../../src/chains/evm/intent.ts";
import { intentOfMessage, messageBytes } from "../../src/chains/evm/message.ts";
import { decodeSigned, decodeUnsigned } from "../../src/chains/evm/transaction.ts";
import { parseTypedData } from "../../src/chains/evm/typed-data.ts";
import { Hex as HexText } from "../../src/domain/api.ts";
import { GatewayError } from "../../src/domain/errors.ts";
import { bytesOf } from "../unit/chains/evm/arbitraries.ts";
import { cpuMsOf } from "../unit/chains/evm/cpu.ts";
import * as at from "../unit/chains/evm/registry.ts";

// Goal: nobody's payload keeps the vault busy: a megabyte, or a thousand levels, is answered in bounded time.
// Method: the worst shapes of each format, all of them answered or refused with a code within a quarter second of CPU.

const MEGABYTE = 1_000_000;
const LEVELS = 1_000;
const CPU_MS = 250;

const call = (to: string, data: Hex) => {
  const bytes = bytesOf(data);
  return () => intentOf({ ...at.CALL, to, value: 0n, data: bytes }, at.account(at.OWN), at.registry);
};

const abi: Abi = parseAbi([
  "function multicall(bytes[])",
  "function aggregate3((address target, bool allowFailure, bytes callData)[] calls)",
  "function multiSend(bytes)",
  "function execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)",
]);
const encode = (functionName: string, ...args: unknown[]): Hex => encodeFunctionData({ abi, functionName, args });
const nest = <T>(levels: number, inner: T, wrap: (inner: T) => T): T => {
  let value = inner;
  for (let level = 0; level < levels; level++) value = wrap(value);
  return value;
};
const exec = (data: Hex) => encode("execTransaction", at.SAFE, 0n, data, 0, 0n, 0n, 0n, at.ZERO, at.ZERO, "0x");

const rlpList = (inner: Uint8Array) => {
  const size = inner.length;
  return Uint8Array.from([0xfa, size >> 16, (size >> 8) & 255, size & 255, ...inner]);
};
const nestedLists = nest(LEVELS, new Uint8Array(70_000).fill(0xc0), rlpList);

const domain = { types: { EIP712Domain: [{ name: "chainId", type: "uint256" }] }, domain: { chainId: "1" } };
const typed = (types: object, message: unknown) => ({
  types: { ...domain.types, ...types },
  domain: domain.domain,
  primaryType: "M",
  message,
});
const ofMember = (type: string, value: unknown) => typed({ M: [{ name: "m", type }] }, { m: value });
const deepArray = JSON.parse("[".repeat(LEVELS) + "]".repeat(LEVELS)) as unknown;
const deepObject = JSON.parse('{"m":'.repeat(LEVELS) + "{}" + "}".repeat(LEVELS)) as unknown;
const chainOfTypes = Object.fromEntries(
  Array.from({ length: LEVELS }, (_, index) => [
    index === 0 ? "M" : `T${index}`,
    [{ name: "m", type: index === LEVELS - 1 ? "uint8" : `T${index + 1}` }],
  ]),
);

const fields = (extra: object) => ({ to: at.OTHER, value: "0", nonce: 0, gas: 21_000, gasPrice: 1, ...extra });
const f = compileFunction(parseFunction(`f(uint8${"[]".repeat(64)})`));
const pointers = (count: number) =>
  Uint8Array.from([1, 2, 3, 4, ...Array.from({ length: count }).flatMap(() => [...new Array<number>(31).fill(0), 32])]);
const manyPointers = pointers(31_000);

const shapes: [string, () => unknown][] = [
  [
    "a megabyte of empty lists",
    (
      (bytes) => () =>
        decodeUnsigned(bytes)
    )(new Uint8Array(MEGABYTE).fill(0xc0)),
  ],
  [
    "a megabyte that says it is signed",
    (
      (bytes) => () =>
        decodeSigned(bytes)
    )(new Uint8Array(MEGABYTE).fill(0xf8)),
  ],
  ["a thousand lists in each other", () => decodeUnsigned(nestedLists)],
  ["a blob transaction of a thousand lists in each other", () => decodeUnsigned(Uint8Array.of(3, ...nestedLists))],
  [
    "a thousand multicalls in each other",
    call(
      at.ROUTER,
      nest<Hex>(LEVELS, "0x", (data) => encode("multicall", [data])),
    ),
  ],
  [
    "a thousand batches of Multicall3 in each other",
    call(
      at.MULTICALL3,
      nest<Hex>(LEVELS, "0x", (callData) =>
        encode("aggregate3", [{ target: at.MULTICALL3, allowFailure: true, callData }]),
      ),
    ),
  ],
  ["a thousand transactions of a Safe in each other", call(at.SAFE, nest<Hex>(LEVELS, "0x", exec))],
  [
    "a megabyte of MultiSend parts without data",
    call(at.SAFE, exec(encode("multiSend", `0x${"00".repeat(MEGABYTE)}`))),
  ],
  ["arrays of 64 dimensions in a megabyte of offsets", () => decodeArguments(f, manyPointers)],
  ["a function with a thousand brackets", () => parseFunction(`f${"(".repeat(LEVELS)}uint8${")".repeat(LEVELS)}`)],
  ["a parameter with a thousand dimensions", () => compileFunction(parseFunction(`f(uint8${"[]".repeat(LEVELS)})`))],
  ["typed data: a text of a megabyte", () => parseTypedData(ofMember("string", "x".repeat(MEGABYTE)))],
  ["typed data: a megabyte of bytes", () => parseTypedData(ofMember("bytes", `0x${"ab".repeat(MEGABYTE / 2)}`))],
  ["typed data: half a million values", () => parseTypedData(ofMember("uint8[]", new Array(MEGABYTE / 2).fill(1)))],
  ["typed data: a thousand arrays", () => parseTypedData(ofMember(`uint8${"[]".repeat(LEVELS)}`, deepArray))],
  ["typed data: a type that holds itself a thousandfold", () => parseTypedData(ofMember("M[]", deepArray))],
  ["typed data: a thousand structs", () => parseTypedData(typed(chainOfTypes, deepObject))],
  ["typed data: a number of a megabyte", () => parseTypedData(ofMember("uint256", "9".repeat(MEGABYTE)))],
  ["typed data: a type of a megabyte", () => parseTypedData(ofMember("uint8".repeat(MEGABYTE / 5), "1"))],
  [
    "typed data: ten thousand types",
    (
      (types) => () =>
        parseTypedData(typed(types, {}))
    )(Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`T${index}`, [{ name: "m", type: "M" }]]))),
  ],
  [
    "a message of a megabyte",
    () => intentOfMessage(messageBytes("x".repeat(MEGABYTE)), at.account(at.OWN), at.registry),
  ],
  [
    "a message of a megabyte of hex digits",
    () => intentOfMessage(messageBytes(`0x${"ab".repeat(MEGABYTE / 2)}`), at.account(at.OWN), at.registry),
  ],
  [
    "a megabyte of hex digits and one that is none",
    () => intentOfMessage(messageBytes(`0x${"ab".repeat(MEGABYTE / 2)}g`), at.account(at.OWN), at.registry),
  ],
  ["fields: a megabyte of data", () => parseFields(fields({ data: `0x${"ab".repeat(MEGABYTE / 2)}` }))],
  ["fields: a number of a megabyte", () => parseFields(fields({ value: "9".repeat(MEGABYTE) }))],
  ["fields: an access list of a thousand levels", () => parseFields(fields({ accessList: deepArray }))],
  ["a body's bytes: a megabyte, and one digit more", () => HexText.safeParse(`0x${"ab".repeat(MEGABYTE / 2)}c`)],
];

describe("property: time is bounded", () => {
  for (const [name, act] of shapes) {
    it(name, () => {
      const cpuMs = cpuMsOf(() => {
        try {
          act();
        } catch (error) {
          assert.ok(error instanceof GatewayError, String(error));
        }
      });
      assert.ok(cpuMs < CPU_MS, `${cpuMs} ms`);
    });
  }
});
