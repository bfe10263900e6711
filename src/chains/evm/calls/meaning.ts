import type { Asset, AssetRegistry } from "../../../domain/assets.ts";
import type { Account } from "../../../domain/chain.ts";
import type { Operation } from "../../../domain/intent.ts";
import { compileFunction, parseFunction, SELECTOR_BYTES, type AbiValue, type CompiledFunction } from "../abi.ts";
import { toHex } from "../bytes.ts";

/** A message call as the chain would run it: `from` is who the callee sees as its sender. */
export type Call = { readonly from: Account; readonly to: Account; readonly value: bigint; readonly data: Uint8Array };

/** What a meaning may ask of the payload around its call. */
export interface Scene {
  readonly registry: AssetRegistry;
  readonly native: Asset;
  /** Who sends the transaction and pays for it; undefined where a signature is handed to others to send. */
  readonly origin: Account | undefined;
  /** The account of an address on the chain of this payload. */
  account(address: string): Account;
  /** What an inner call does, by the same rules. */
  unfold(call: Call): readonly Operation[];
}

/** What one function of a kind of contract does. Undefined: what it does cannot be told after all. */
export type Meaning = {
  readonly compiled: CompiledFunction;
  readonly operations: (call: Call, values: readonly AbiValue[], scene: Scene) => readonly Operation[] | undefined;
};
export type Meanings = ReadonlyMap<string, Meaning>;

/**
 * @param signature as Solidity writes it; `Values` are the types of its arguments in that order
 * @param operations what it does with arguments that were decoded strictly
 */
export const meaning = <Values extends readonly AbiValue[]>(
  signature: string,
  operations: (call: Call, values: Values, scene: Scene) => readonly Operation[] | undefined,
): Meaning => ({
  compiled: compileFunction(parseFunction(signature)),
  operations: operations as Meaning["operations"],
});

export const meaningsOf = (...meanings: readonly Meaning[]): Meanings =>
  new Map(meanings.map((value) => [value.compiled.selector, value]));

/** The first four bytes of calldata, or the fewer that there are. */
export const selectorOf = (data: Uint8Array): string => toHex(data.subarray(0, SELECTOR_BYTES));

export const undecodedCall = ({ from, to, data }: Call): Operation => ({
  kind: "call",
  from,
  to,
  selector: selectorOf(data),
});
