import { GatewayError } from "../../../domain/errors.ts";
import type { AbiMember, AbiType, AbiValue } from "../abi.ts";
import { toHex } from "../bytes.ts";

/** More arguments than a person or a rule can look at. */
const MAX_ARGUMENTS = 256;

/**
 * Arguments as flat facts: `params.amountIn`, `path[0]`, `path.length`; a parameter without a name, or with one that
 * another has, is called by its position. Numbers are decimal, bytes `0x` and hex.
 */
export function namedArguments(
  members: readonly AbiMember[],
  values: readonly AbiValue[],
): Readonly<Record<string, string>> {
  const facts = new Map<string, string>();
  collectMembers(members, values, "", facts);
  return Object.fromEntries(facts);
}

function collectMembers(
  members: readonly AbiMember[],
  values: readonly AbiValue[],
  prefix: string,
  facts: Map<string, string>,
): void {
  const count = (name: string) => members.filter((member) => member.name === name).length;
  members.forEach(({ name, type }, index) => {
    const named = name !== "" && count(name) === 1 && !/^[0-9]+$/.test(name);
    collect(type, values[index]!, `${prefix}${named ? name : index}`, facts);
  });
}

function collect(type: AbiType, value: AbiValue, path: string, facts: Map<string, string>): void {
  if (type.kind === "tuple") return collectMembers(type.members, value as readonly AbiValue[], `${path}.`, facts);
  if (type.kind === "array") {
    const items = value as readonly AbiValue[];
    put(facts, `${path}.length`, `${items.length}`);
    return items.forEach((item, index) => collect(type.item, item, `${path}[${index}]`, facts));
  }
  put(facts, path, value instanceof Uint8Array ? toHex(value) : String(value));
}

function put(facts: Map<string, string>, path: string, text: string): void {
  if (facts.size >= MAX_ARGUMENTS) {
    throw new GatewayError("too-many-arguments", `expected at most ${MAX_ARGUMENTS} arguments of a call, found more`);
  }
  facts.set(path, text);
}
