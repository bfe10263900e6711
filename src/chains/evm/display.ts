import type { CallDisplay } from "../../domain/assets.ts";
import { chainOf, evmChainId } from "../../domain/chain.ts";
import type { Operation } from "../../domain/intent.ts";
import { evmAccount } from "./address.ts";
import { amountText, dateText, othersText, party, type Names } from "./words.ts";

type Call = Extract<Operation, { kind: "call" }>;
type Field = CallDisplay["fields"][number];
type Facts = Readonly<Record<string, string>>;

/**
 * The arguments of a call with the labels and units of the contract's ERC-7730 descriptor; what the descriptor does not
 * name stands behind, as it is: a descriptor can explain, and hide nothing.
 * @returns undefined where the registry has no descriptor for this function
 */
export function displayLines(call: Call, names: Names): readonly string[] | undefined {
  const display = call.method && names.registry.contracts?.get(call.to)?.display?.[call.method.signature];
  if (!display) return undefined;
  const facts = call.method.arguments;
  const labelled = new Set(display.fields.map((field) => factName(field.path)));
  return [
    `meant as: ${othersText(display.intent)}`,
    ...display.fields
      .filter((field) => Object.hasOwn(facts, factName(field.path)))
      .map((field) => labelledLine(field, call, facts, names)),
    ...Object.entries(facts)
      .filter(([name]) => !labelled.has(name))
      .map(([name, value]) => `${othersText(name)} = ${othersText(value)}`),
  ];
}

/** ERC-7730 writes `#.path.[0]` for what is `path[0]` here. */
const factName = (path: string): string => path.replace(/^#\./, "").replaceAll(".[", "[");

function labelledLine(field: Field, call: Call, facts: Facts, names: Names): string {
  const value = facts[factName(field.path)]!;
  const formatted = formattedValue(field, value, call, facts, names);
  const raw = `${othersText(factName(field.path))} = ${othersText(value)}`;
  return `${othersText(field.label)}: ${formatted === undefined ? raw : `${formatted} (${raw})`}`;
}

function formattedValue(field: Field, value: string, call: Call, facts: Facts, names: Names): string | undefined {
  switch (field.format) {
    case "amount": {
      const native = names.registry.nativeOf.get(chainOf(call.to));
      return native && numberIn(value, (amount) => amountText(amount, native.symbol, names.registry));
    }
    case "tokenAmount": {
      const asset = tokenOf(field, call, facts, names);
      return asset && numberIn(value, (amount) => amountText(amount, asset.symbol, names.registry));
    }
    case "addressName":
      return isAddress(value) ? party(accountOf(value, call), names) : undefined;
    case "date":
      return numberIn(value, dateText);
    case "raw":
    case undefined:
      return undefined;
    default:
      return field.format satisfies never;
  }
}

function tokenOf(field: Field, call: Call, facts: Facts, { registry }: Names) {
  const path = field.params?.tokenPath;
  const token = path === undefined ? undefined : facts[factName(path)];
  return token !== undefined && isAddress(token) ? registry.byContract.get(accountOf(token, call)) : undefined;
}

const isAddress = (value: string): boolean => /^0x[0-9a-fA-F]{40}$/.test(value);
const accountOf = (address: string, call: Call) => evmAccount(evmChainId(chainOf(call.to))!, address);
const numberIn = (value: string, show: (number: bigint) => string | undefined): string | undefined =>
  /^[0-9]+$/.test(value) ? show(BigInt(value)) : undefined;
