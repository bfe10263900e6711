import { keccak_256 } from "@noble/hashes/sha3.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import type { AbiFunction, AbiParameter } from "../../domain/assets.ts";
import { GatewayError, quoted } from "../../domain/errors.ts";
import { checksumAddress } from "./address.ts";
import { copyOf, toHex, uintOf } from "./bytes.ts";

/*
 * The contract ABI, read strictly: arguments have one encoding, the one that every common encoder writes, and no other
 * is read. Contracts accept more (dirty padding, shared or overlapping tails, bytes behind the end); there two readers
 * can disagree on what a call says, and the one that executes is not this one.
 * Source: Solidity documentation, "Contract ABI Specification", and its "strict encoding mode".
 */

export type AbiType =
  | { readonly kind: "uint" | "int"; readonly bits: number }
  | { readonly kind: "address" | "bool" | "bytes" | "string" }
  | { readonly kind: "fixed-bytes"; readonly size: number }
  | { readonly kind: "array"; readonly item: AbiType; readonly length: number | undefined }
  | { readonly kind: "tuple"; readonly members: readonly AbiMember[] };

/** Size and dynamics are worked out once, when the type is read. */
export type AbiMember = {
  readonly name: string;
  readonly type: AbiType;
  readonly headBytes: number;
  readonly dynamic: boolean;
};

/** Addresses as text with checksum, integers as bigint, bytes of any length as bytes, arrays and tuples as arrays. */
export type AbiValue = string | bigint | boolean | Uint8Array | readonly AbiValue[];

export type CompiledFunction = {
  /** The canonical signature, e.g. `transfer(address,uint256)`. */
  readonly signature: string;
  /** `0x` and 8 digits. */
  readonly selector: string;
  readonly inputs: readonly AbiMember[];
};

const WORD = 32;
export const SELECTOR_BYTES = 4;

// --------------------------------------------------------------------------------------------------------- types

const ARRAY = /^(.*)\[([1-9][0-9]{0,3})?\]$/s;
const INTEGER = /^(u?int)([1-9][0-9]{0,2})$/;
const FIXED_BYTES = /^bytes([1-9]|[12][0-9]|3[012])$/;

/**
 * @param parameter as in a contract's JSON ABI
 * @throws {GatewayError} `invalid-abi` for what the ABI does not have, also `uint`, fixed-point numbers, empty tuples
 */
export function compileMember(parameter: AbiParameter): AbiMember {
  const type = compileType(parameter.type, parameter.components);
  return {
    name: parameter.name,
    type,
    headBytes: isDynamic(type) ? WORD : staticBytes(type),
    dynamic: isDynamic(type),
  };
}

function compileType(text: string, components: readonly AbiParameter[] | undefined): AbiType {
  const array = ARRAY.exec(text);
  if (array) {
    const length = array[2] === undefined ? undefined : Number(array[2]);
    return { kind: "array", item: compileType(array[1]!, components), length };
  }
  if (text !== "tuple") return elementaryType(text) ?? refuseType(text);
  // Items without bytes would let a short call have any number of them.
  if (!components || components.length === 0) return refuseType("tuple without components");
  return { kind: "tuple", members: components.map(compileMember) };
}

export function elementaryType(text: string): AbiType | undefined {
  if (text === "address" || text === "bool" || text === "bytes" || text === "string") return { kind: text };
  const size = FIXED_BYTES.exec(text);
  if (size) return { kind: "fixed-bytes", size: Number(size[1]) };
  const integer = INTEGER.exec(text);
  const bits = Number(integer?.[2]);
  if (!integer || bits % 8 !== 0 || bits > 256) return undefined;
  return { kind: integer[1] as "uint" | "int", bits };
}

function refuseType(text: string): never {
  throw new GatewayError("invalid-abi", `expected a type of the contract ABI, found ${quoted(text)}`);
}

function isDynamic(type: AbiType): boolean {
  switch (type.kind) {
    case "bytes":
    case "string":
      return true;
    case "array":
      return type.length === undefined || isDynamic(type.item);
    case "tuple":
      return type.members.some((member) => member.dynamic);
    default:
      return false;
  }
}

function staticBytes(type: AbiType): number {
  if (type.kind === "array") return type.length! * staticBytes(type.item);
  if (type.kind === "tuple") return type.members.reduce((sum, member) => sum + member.headBytes, 0);
  return WORD;
}

// ----------------------------------------------------------------------------------------------------- functions

export function compileFunction({ name, inputs }: AbiFunction): CompiledFunction {
  const signature = `${name}(${inputs.map(canonicalType).join(",")})`;
  return {
    signature,
    selector: toHex(keccak_256(utf8ToBytes(signature)).subarray(0, SELECTOR_BYTES)),
    inputs: inputs.map(compileMember),
  };
}

const canonicalType = ({ type, components }: AbiParameter): string =>
  type.startsWith("tuple") ? `(${(components ?? []).map(canonicalType).join(",")})${type.slice("tuple".length)}` : type;

/**
 * Reads a function as Solidity writes it, without the word: `send((address to,uint256 amount)[] payments,bytes data)`.
 * @throws {GatewayError} `invalid-abi`
 */
export function parseFunction(text: string): AbiFunction {
  const open = text.indexOf("(");
  const name = text.slice(0, Math.max(open, 0));
  if (!/^[A-Za-z_$][A-Za-z0-9_$]*$/.test(name))
    throw new GatewayError("invalid-abi", `expected \`name(types)\`, found ${quoted(text)}`);
  return { name, inputs: parseParameter(text.slice(open)).components ?? [] };
}

/** A parameter: an elementary type or members in brackets, then array suffixes, then a name. */
function parseParameter(text: string): AbiParameter {
  const close = text.startsWith("(") ? closing(text) : 0;
  const [, suffix = "", name = ""] =
    /^([^ ]*)(?: ([A-Za-z_$][A-Za-z0-9_$]*))?$/.exec(text.slice(close)) ?? refuseType(text);
  if (close === 0) return { name, type: suffix };
  return { name, type: `tuple${suffix}`, components: splitMembers(text.slice(1, close - 1)).map(parseParameter) };
}

/** The position behind the bracket that closes the first one. */
function closing(text: string): number {
  for (let at = 0, depth = 0; at < text.length; at++) {
    if (text[at] === "(") depth++;
    if (text[at] === ")" && --depth === 0) return at + 1;
  }
  return refuseType(text);
}

function splitMembers(text: string): string[] {
  const members: string[] = [];
  let start = 0;
  for (let at = 0, depth = 0; at <= text.length; at++) {
    if (text[at] === "(") depth++;
    else if (text[at] === ")") depth--;
    else if (depth === 0 && (at === text.length || text[at] === ",")) {
      if (at > start) members.push(text.slice(start, at));
      start = at + 1;
    }
  }
  return members;
}

// ------------------------------------------------------------------------------------------------------ decoding

/**
 * @param data calldata, the selector included
 * @throws {GatewayError} `calldata-length`, `calldata-padding`, `calldata-offset`, `calldata-value`
 */
export function decodeArguments(compiled: CompiledFunction, data: Uint8Array): readonly AbiValue[] {
  return decodeValues(compiled.inputs, data, SELECTOR_BYTES);
}

function decodeValues(members: readonly AbiMember[], data: Uint8Array, start: number): readonly AbiValue[] {
  const reader = new AbiReader(data);
  const values = reader.members(members, start);
  if (reader.end !== data.length) throw wrongLength(reader.end, data.length);
  return values;
}

class AbiReader {
  readonly #data: Uint8Array;
  /** Where what was read so far ends: the only place where the next dynamic value may begin. */
  end = 0;

  constructor(data: Uint8Array) {
    this.#data = data;
  }

  members(members: readonly AbiMember[], start: number): AbiValue[] {
    let head = start;
    this.end = start;
    for (const member of members) this.end += member.headBytes;
    this.#require(this.end);
    return members.map((member) => {
      const value = member.dynamic ? this.#behind(member.type, head, start) : this.#static(member.type, head);
      head += member.headBytes;
      return value;
    });
  }

  /** Follows an offset, which must lead to where the value before it ended: no gaps, no sharing, no way back. */
  #behind(type: AbiType, head: number, start: number): AbiValue {
    const offset = uintOf(this.#data, head, head + WORD);
    if (offset !== BigInt(this.end - start)) {
      throw new GatewayError("calldata-offset", `expected offset ${this.end - start} in calldata, found ${offset}`);
    }
    if (type.kind === "tuple") return this.members(type.members, this.end);
    if (type.kind === "array") return this.#array(type.item, type.length ?? this.#length(), this.end);
    const bytes = this.#bytes(this.#length());
    return type.kind === "string" ? textOf(bytes) : bytes;
  }

  #array(item: AbiType, length: number, start: number): AbiValue[] {
    const dynamic = isDynamic(item);
    const member = { name: "", type: item, dynamic, headBytes: dynamic ? WORD : staticBytes(item) };
    // Before anything is made of the length: so many items must fit.
    this.#require(start + length * member.headBytes);
    return this.members(new Array<AbiMember>(length).fill(member), start);
  }

  #static(type: AbiType, at: number): AbiValue {
    if (type.kind === "tuple") return this.#staticItems(type.members, at);
    if (type.kind !== "array") return wordValue(type, this.#data, at);
    const headBytes = staticBytes(type.item);
    return Array.from({ length: type.length! }, (_, index) => this.#static(type.item, at + index * headBytes));
  }

  #staticItems(members: readonly AbiMember[], start: number): AbiValue[] {
    let at = start;
    return members.map((member) => {
      const value = this.#static(member.type, at);
      at += member.headBytes;
      return value;
    });
  }

  #length(): number {
    const start = this.end;
    this.end += WORD;
    this.#require(this.end);
    const length = uintOf(this.#data, start, this.end);
    if (length > BigInt(this.#data.length)) throw wrongLength(length, this.#data.length);
    return Number(length);
  }

  #bytes(length: number): Uint8Array {
    const start = this.end;
    this.end += Math.ceil(length / WORD) * WORD;
    this.#require(this.end);
    requireZeros(this.#data, start + length, this.end);
    return copyOf(this.#data, start, start + length);
  }

  #require(end: number): void {
    if (end > this.#data.length) throw wrongLength(end, this.#data.length);
  }
}

function wordValue(type: AbiType, data: Uint8Array, at: number): AbiValue {
  switch (type.kind) {
    case "address":
      requireZeros(data, at, at + 12);
      return checksumAddress(data.subarray(at + 12, at + WORD));
    case "uint":
      requireZeros(data, at, at + WORD - type.bits / 8);
      return uintOf(data, at + WORD - type.bits / 8, at + WORD);
    case "int":
      return signedValue(uintOf(data, at, at + WORD), type.bits);
    case "bool": {
      const value = uintOf(data, at, at + WORD);
      if (value > 1n) throw new GatewayError("calldata-value", "expected 0 or 1 for a bool in calldata");
      return value === 1n;
    }
    case "fixed-bytes":
      requireZeros(data, at + type.size, at + WORD);
      return copyOf(data, at, at + type.size);
    default:
      throw new GatewayError("invalid-abi", `expected a type of one word, found \`${type.kind}\``);
  }
}

/** Two's complement over the whole word: a shorter integer is sign-extended. */
function signedValue(word: bigint, bits: number): bigint {
  const value = BigInt.asIntN(256, word);
  if (BigInt.asIntN(bits, value) === value) return value;
  throw new GatewayError("calldata-padding", `expected a sign-extended integer of ${bits} bits in calldata`);
}

function requireZeros(data: Uint8Array, start: number, end: number): void {
  for (let at = start; at < end; at++) {
    if (data[at] !== 0)
      throw new GatewayError("calldata-padding", `expected zeros as padding, found others at byte ${at} of calldata`);
  }
}

function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new GatewayError("calldata-value", "expected UTF-8 for a string in calldata", { cause });
  }
}

/** Bytes behind the arguments are read by no standard token, but by some contracts: what is not understood is refused. */
const wrongLength = (expected: number | bigint, found: number) =>
  new GatewayError("calldata-length", `expected ${expected} bytes of calldata, found ${found}`, {
    facts: { expected, found },
  });
