import { keccak_256 } from "@noble/hashes/sha3.js";
import { concatBytes, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { GatewayError, quoted } from "../../domain/errors.ts";
import { elementaryType, type AbiType } from "./abi.ts";
import { checksumAddress, parseAddress } from "./address.ts";
import { toHex } from "./bytes.ts";

/*
 * EIP-712 typed data, read and hashed in one pass: what is told of a message is what was hashed, nothing beside it.
 * A document with a field too many, or with two readings of one value, is refused; others hash what they know and drop
 * the rest.
 */

/** Structs are their members' values in the order of the type; integers bigint, bytes of any length as bytes. */
export type TypedValue = string | bigint | boolean | Uint8Array | readonly TypedValue[];

export type TypedData = {
  readonly digest32: Uint8Array;
  readonly primaryType: string;
  /** EIP-712 encodeType: the primary type and all that it refers to. Its Keccak is the type hash. */
  readonly encodedType: string;
  readonly message: readonly TypedValue[];
  /** By field name, as texts; addresses with checksum, the chain id decimal. */
  readonly domain: Readonly<Record<string, string>>;
};

/** What a signer can be shown; a body has its own limit. */
const MAX_TYPES = 64;
/** Of all types together: each type is hashed with the text of all that it refers to. */
const MAX_MEMBERS = 256;
const MAX_DEPTH = 32;
const MAX_VALUES = 10_000;

const DOMAIN = "EIP712Domain";
/** EIP-712, "Definition of domainSeparator": these fields, and these types of them. */
const DOMAIN_TYPES = new Map([
  ["name", "string"],
  ["version", "string"],
  ["chainId", "uint256"],
  ["verifyingContract", "address"],
  ["salt", "bytes32"],
]);

/**
 * @param json the document as wallets take it: exactly `types`, `domain`, `primaryType`, `message`
 * @throws {GatewayError} `typed-data-shape`, `typed-data-type`, `typed-data-fields`, `typed-data-value`,
 * `typed-data-too-large`, `address-checksum`
 */
export function parseTypedData(json: unknown): TypedData {
  const document = objectOf(json, "document");
  requireFields(document, ["types", "domain", "primaryType", "message"], "document", "typed-data-shape");
  const types = parseTypes(document["types"]);
  const { primaryType } = document;
  if (typeof primaryType !== "string" || primaryType === DOMAIN || !types.has(primaryType)) {
    throw new GatewayError(
      "typed-data-shape",
      `expected \`primaryType\` to be one of \`types\`, found ${quoted(primaryType)}`,
    );
  }
  const hasher = new Hasher(types);
  const domain = hasher.struct(domainStruct(hasher), document["domain"], "domain", 0);
  const struct = hasher.structType(primaryType);
  const message = hasher.struct(struct, document["message"], "message", 0);
  return {
    // EIP-191 version 0x01: 0x19 ‖ 0x01 ‖ domain separator ‖ hashStruct(message).
    digest32: keccak_256(concatBytes(Uint8Array.of(0x19, 0x01), domain.word, message.word)),
    primaryType,
    encodedType: struct.encoded,
    message: message.value as readonly TypedValue[],
    domain: factsOf(hasher.structType(DOMAIN), domain.value as readonly TypedValue[]),
  };
}

export const typeHashOf = ({ encodedType }: TypedData): string => toHex(hashOfType(encodedType));

// --------------------------------------------------------------------------------------------------------- types

type Member = { readonly name: string; readonly type: string };
type Types = ReadonlyMap<string, readonly Member[]>;
type FieldType =
  | Exclude<AbiType, { kind: "array" | "tuple" }>
  | { readonly kind: "items"; readonly item: FieldType; readonly length: number | undefined }
  | { readonly kind: "struct"; readonly name: string };
type Fields = readonly { readonly name: string; readonly type: FieldType }[];
/** A struct as it is written: its own text, and the structs that its members name. */
type Definition = { readonly members: Fields; readonly references: readonly string[]; readonly text: string };
type Struct = {
  readonly members: Fields;
  readonly names: readonly string[];
  readonly encoded: string;
  readonly typeHash: Uint8Array;
};

const IDENTIFIER = /^[A-Za-z_$][A-Za-z0-9_$]{0,79}$/;
/** A struct by one of these names would be read as something else by others. */
const RESERVED = /^(?:u?int|u?fixed|bytes)[0-9x]*$|^(?:address|bool|string|function|tuple)$/;

function parseTypes(json: unknown): Types {
  const entries = Object.entries(objectOf(json, "types"));
  if (entries.length > MAX_TYPES) throw tooLarge(`at most ${MAX_TYPES} types`);
  const types = new Map(entries.map(([name, members]) => [name, parseMembers(name, members)]));
  const count = [...types.values()].reduce((sum, members) => sum + members.length, 0);
  if (count > MAX_MEMBERS) throw tooLarge(`at most ${MAX_MEMBERS} members of types`);
  return types;
}

function parseMembers(type: string, json: unknown): readonly Member[] {
  if (!IDENTIFIER.test(type) || RESERVED.test(type))
    throw badType(`expected a name of a struct, found ${quoted(type)}`);
  if (!Array.isArray(json)) throw badType(`expected the members of ${quoted(type)} as a list`);
  const members = json.map((member: unknown) => parseMember(type, member));
  if (new Set(members.map(({ name }) => name)).size === members.length) return members;
  throw badType(`expected each member of ${quoted(type)} once`);
}

function parseMember(struct: string, json: unknown): Member {
  const member = objectOf(json, struct);
  requireFields(member, ["name", "type"], struct, "typed-data-type");
  const { name, type } = member;
  if (typeof name === "string" && IDENTIFIER.test(name) && typeof type === "string") return { name, type };
  throw badType(`expected name and type of each member of ${quoted(struct)}`);
}

const ARRAY = /^(.*)\[([1-9][0-9]{0,3})?\]$/s;

function fieldType(text: string, types: Types, depth = 0): FieldType {
  const array = ARRAY.exec(text);
  if (array && depth < MAX_DEPTH) {
    const length = array[2] === undefined ? undefined : Number(array[2]);
    return { kind: "items", item: fieldType(array[1]!, types, depth + 1), length };
  }
  if (types.has(text) && text !== DOMAIN) return { kind: "struct", name: text };
  const elementary = elementaryType(text);
  if (elementary && elementary.kind !== "array" && elementary.kind !== "tuple") return elementary;
  throw badType(`expected a type that is defined, found ${quoted(text)}`);
}

const structIn = (type: FieldType): string | undefined =>
  type.kind === "items" ? structIn(type.item) : type.kind === "struct" ? type.name : undefined;

function domainStruct(hasher: Hasher): Struct {
  const struct = hasher.structType(DOMAIN);
  const strange = hasher.membersOf(DOMAIN).find(({ name, type }) => DOMAIN_TYPES.get(name) !== type);
  if (strange)
    throw badType(`expected only fields of EIP-712 in the domain, found ${quoted(`${strange.type} ${strange.name}`)}`);
  if (struct.members.length > 0) return struct;
  throw badType("expected a domain with at least one field");
}

// Every payload brings its types along, and nearly all bring the same ones.
const MAX_CACHED = 1024;
const typeHashes = new Map<string, Uint8Array>();

function hashOfType(encoded: string): Uint8Array {
  const known = typeHashes.get(encoded);
  if (known) return known;
  const made = keccak_256(utf8ToBytes(encoded));
  if (typeHashes.size >= MAX_CACHED) typeHashes.delete(typeHashes.keys().next().value!);
  typeHashes.set(encoded, made);
  return made;
}

// ------------------------------------------------------------------------------------------------------- hashing

type Encoded = { readonly word: Uint8Array; readonly value: TypedValue };

/** Reads and hashes the values of one document. */
class Hasher {
  readonly #types: Types;
  readonly #structs = new Map<string, Struct>();
  readonly #definitions = new Map<string, Definition>();
  #values = 0;

  constructor(types: Types) {
    this.#types = types;
  }

  membersOf(name: string): readonly Member[] {
    const members = this.#types.get(name);
    if (members) return members;
    throw badType(`expected a type ${quoted(name)}, found nothing`);
  }

  structType(name: string): Struct {
    const known = this.#structs.get(name);
    if (known) return known;
    const { members } = this.#definition(name);
    const encoded = this.#encodeType(name);
    const struct = { members, names: members.map((member) => member.name), encoded, typeHash: hashOfType(encoded) };
    this.#structs.set(name, struct);
    return struct;
  }

  /** EIP-712 encodeType: the struct, then all structs it refers to, sorted by name. */
  #encodeType(name: string): string {
    const found = new Set<string>([name]);
    // A set is walked in the order of insertion, also over what is inserted meanwhile.
    for (const struct of found) for (const inner of this.#definition(struct).references) found.add(inner);
    found.delete(name);
    return [name, ...[...found].sort()].map((struct) => this.#definition(struct).text).join("");
  }

  #definition(name: string): Definition {
    const known = this.#definitions.get(name);
    if (known) return known;
    const given = this.membersOf(name);
    const members = given.map((member) => ({ name: member.name, type: fieldType(member.type, this.#types) }));
    const references = new Set(members.map(({ type }) => structIn(type)).filter((inner) => inner !== undefined));
    const text = `${name}(${given.map((member) => `${member.type} ${member.name}`).join(",")})`;
    const definition = { members, references: [...references], text };
    this.#definitions.set(name, definition);
    return definition;
  }

  /** EIP-712 hashStruct: the Keccak of the type hash and one word for each member. */
  struct(struct: Struct, json: unknown, path: string, depth: number): Encoded {
    const given = objectOf(json, path, "typed-data-value");
    requireFields(given, struct.names, path, "typed-data-fields");
    const parts = struct.members.map(({ name, type }) => this.#value(type, given[name], `${path}.${name}`, depth + 1));
    const word = keccak_256(concatBytes(struct.typeHash, ...parts.map((part) => part.word)));
    return { word, value: parts.map((part) => part.value) };
  }

  #value(type: FieldType, json: unknown, path: string, depth: number): Encoded {
    if (depth > MAX_DEPTH) throw tooLarge(`values nested at most ${MAX_DEPTH} deep`);
    if (++this.#values > MAX_VALUES) throw tooLarge(`at most ${MAX_VALUES} values`);
    switch (type.kind) {
      case "struct":
        return this.struct(this.structType(type.name), json, path, depth);
      case "items":
        return this.#items(type.item, type.length, json, path, depth);
      default:
        return encodeElementary(type, json, path);
    }
  }

  /** EIP-712 encodeData of arrays: the Keccak of the words of the items. */
  #items(item: FieldType, length: number | undefined, json: unknown, path: string, depth: number): Encoded {
    if (!Array.isArray(json) || (length !== undefined && json.length !== length)) {
      throw badValue(path, `a list${length === undefined ? "" : ` of ${length}`}`, json);
    }
    const parts = json.map((value: unknown, index) => this.#value(item, value, `${path}[${index}]`, depth + 1));
    return { word: keccak_256(concatBytes(...parts.map((part) => part.word))), value: parts.map((part) => part.value) };
  }
}

function encodeElementary(
  type: Exclude<FieldType, { kind: "items" | "struct" }>,
  json: unknown,
  path: string,
): Encoded {
  switch (type.kind) {
    case "address": {
      const value = addressOf(json, path);
      return { word: padLeft(hexToBytes(value.slice(2))), value };
    }
    case "bool":
      if (typeof json !== "boolean") throw badValue(path, "true or false", json);
      return { word: wordOf(json ? 1n : 0n), value: json };
    case "string": {
      const value = textOf(json, path);
      return { word: keccak_256(utf8ToBytes(value)), value };
    }
    case "bytes": {
      const value = bytesOf(json, path);
      return { word: keccak_256(value), value };
    }
    case "fixed-bytes": {
      const value = bytesOf(json, path);
      if (value.length !== type.size) throw badValue(path, `${type.size} bytes`, json);
      const word = new Uint8Array(32);
      word.set(value);
      return { word, value };
    }
    case "uint":
    case "int": {
      const value = integerOf(json, type, path);
      return { word: wordOf(BigInt.asUintN(256, value)), value };
    }
    default:
      return type satisfies never;
  }
}

// -------------------------------------------------------------------------------------------------------- values

/**
 * Unlike elsewhere an address may be all lower case: programs write most typed data, without checksums. One that has a
 * checksum must have the right one.
 */
function addressOf(json: unknown, path: string): string {
  if (typeof json !== "string") throw badValue(path, "an address", json);
  return json === json.toLowerCase() ? checksumAddress(json) : parseAddress(json);
}

/** A lone half of a surrogate pair has no UTF-8: libraries replace it, each in its own way. */
function textOf(json: unknown, path: string): string {
  if (typeof json === "string" && !/\p{Surrogate}/u.test(json)) return json;
  throw badValue(path, "a text", json);
}

function bytesOf(json: unknown, path: string): Uint8Array {
  if (typeof json === "string" && /^0x(?:[0-9a-fA-F]{2})*$/.test(json)) return hexToBytes(json.slice(2));
  throw badValue(path, "`0x` and pairs of hex digits", json);
}

const INTEGER = /^(?:-?(?:0|[1-9][0-9]{0,77})|0x[0-9a-fA-F]{1,64})$/;

function integerOf(json: unknown, { kind, bits }: { kind: "uint" | "int"; bits: number }, path: string): bigint {
  const written =
    typeof json === "number" ? Number.isSafeInteger(json) : typeof json === "string" && INTEGER.test(json);
  if (!written || json === "-0") throw badValue(path, "a whole number", json);
  const value = BigInt(json as string | number);
  const fits = kind === "uint" ? BigInt.asUintN(bits, value) : BigInt.asIntN(bits, value);
  if (fits !== value) throw badValue(path, `a number of type \`${kind}${bits}\``, json);
  return value;
}

const wordOf = (value: bigint): Uint8Array => hexToBytes(value.toString(16).padStart(64, "0"));

function padLeft(bytes: Uint8Array): Uint8Array {
  const word = new Uint8Array(32);
  word.set(bytes, 32 - bytes.length);
  return word;
}

const factsOf = ({ names }: Struct, values: readonly TypedValue[]): Readonly<Record<string, string>> =>
  Object.fromEntries(names.map((name, index) => [name, factOf(values[index]!)]));

const factOf = (value: TypedValue): string => (value instanceof Uint8Array ? toHex(value) : String(value));

function objectOf(json: unknown, path: string, code = "typed-data-shape"): Readonly<Record<string, unknown>> {
  if (typeof json === "object" && json !== null && !Array.isArray(json)) return json as Record<string, unknown>;
  throw new GatewayError(code, `expected an object in ${quoted(path)}, found ${quoted(json)}`, { facts: { path } });
}

/** Exactly these: one that is missing would be hashed as a default, one too many would be shown and not signed. */
function requireFields(
  given: Readonly<Record<string, unknown>>,
  names: readonly string[],
  path: string,
  code: string,
): void {
  const missing = names.find((name) => !Object.hasOwn(given, name));
  const unknown = Object.keys(given).find((name) => !names.includes(name));
  if (missing !== undefined)
    throw new GatewayError(code, `expected \`${missing}\` in ${quoted(path)}`, { facts: { path } });
  if (unknown === undefined) return;
  throw new GatewayError(code, `expected only fields of its type in ${quoted(path)}, found ${quoted(unknown)}`, {
    facts: { path, field: unknown },
  });
}

const badType = (message: string) => new GatewayError("typed-data-type", message);
const badValue = (path: string, expected: string, found: unknown) =>
  new GatewayError("typed-data-value", `expected ${expected} in ${quoted(path)}, found ${quoted(found)}`, {
    facts: { path },
  });
const tooLarge = (expected: string) => new GatewayError("typed-data-too-large", `expected ${expected}, found more`);
