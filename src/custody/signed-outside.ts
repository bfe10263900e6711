import type { Account } from "../domain/chain.ts";
import { GatewayError } from "../domain/errors.ts";

/*
 * Was a key used elsewhere? Each nonce that an account has used on its chain must be that of a transaction which the log
 * shows as signed, or of an EIP-7702 authorization which it shows as signed. What is left was signed outside.
 */

export type Outgoing = { readonly nonce: bigint; readonly transaction: string };

export type AccountOnChain = {
  readonly account: Account;
  /** Of the block up to which transactions were looked for: all nonces below are used. */
  readonly nonce: bigint;
  readonly outgoing: readonly Outgoing[];
};

/** What the leaves say. */
export type SignedHere = {
  readonly transactions: ReadonlySet<string>;
  /** Nonces of EIP-7702 authorizations: they use one up without a transaction of this account. */
  readonly authorizations: ReadonlySet<bigint>;
};

export type SignedOutside =
  | { readonly kind: "transaction"; readonly account: Account; readonly nonce: bigint; readonly transaction: string }
  /** Used, and nobody can say by what; both ends are among them. */
  | { readonly kind: "nonces"; readonly account: Account; readonly first: bigint; readonly last: bigint };

/**
 * @param from nonces below were looked at before, or used before the key was made: none of a key that was born here
 * @throws {GatewayError} `chain-contradicts-itself` if a node shows a transaction with a nonce that its account has not used
 */
export function signedOutside(chain: AccountOnChain, here: SignedHere, from = 0n): SignedOutside[] {
  const { account } = chain;
  const outgoing = chain.outgoing.filter(({ nonce }) => nonce >= from);
  for (const { nonce } of outgoing) requireUsed(chain, nonce);
  const strange = outgoing
    .filter(({ transaction }) => !here.transactions.has(transaction))
    .map((sent) => ({ kind: "transaction" as const, account, ...sent }));
  const explained = [...outgoing.map(({ nonce }) => nonce), ...here.authorizations];
  return [
    ...strange,
    ...gaps(explained, from, chain.nonce).map((gap) => ({ kind: "nonces" as const, account, ...gap })),
  ];
}

function requireUsed({ account, nonce: next }: AccountOnChain, nonce: bigint): void {
  if (nonce < next) return;
  throw new GatewayError(
    "chain-contradicts-itself",
    `expected nonces below ${next} of \`${account}\`, found a transaction with ${nonce}`,
    { facts: { account } },
  );
}

/** By the ends, not one by one: a node that lies may name any number as the nonce. */
function gaps(nonces: readonly bigint[], from: bigint, end: bigint): { first: bigint; last: bigint }[] {
  const sorted = nonces.filter((nonce) => nonce >= from && nonce < end).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const found: { first: bigint; last: bigint }[] = [];
  let next = from;
  for (const nonce of [...sorted, end]) {
    if (nonce > next) found.push({ first: next, last: nonce - 1n });
    if (nonce >= next) next = nonce + 1n;
  }
  return found;
}
