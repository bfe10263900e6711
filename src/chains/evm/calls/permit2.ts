import type { Account } from "../../../domain/chain.ts";
import type { Operation } from "../../../domain/intent.ts";
import { allowance, MAX_UINT160, transfer } from "./amounts.ts";
import { meaning, meaningsOf, type Scene } from "./meaning.ts";

/*
 * Uniswap's Permit2: allowances inside an allowance. A token that the registry does not pin has no symbol and so no
 * operation: the whole call is then undecoded.
 * Source: Uniswap/permit2, IAllowanceTransfer.sol and ISignatureTransfer.sol.
 */

export type TokenAmount = readonly [token: string, amount: bigint];
export type PermitDetails = readonly [...TokenAmount, expiration: bigint, nonce: bigint];

const DETAILS = "(address token,uint160 amount,uint48 expiration,uint48 nonce)";
const PERMITTED = "(address token,uint256 amount)";
const REQUESTED = "(address to,uint256 requestedAmount)";
type Requested = readonly [to: string, amount: bigint];

/** One operation for each item, or undefined if any of them has none, or nothing is there. */
export function forEach<T>(
  items: readonly T[],
  operationOf: (item: T) => Operation | undefined,
): Operation[] | undefined {
  const operations = items.map(operationOf);
  return items.length > 0 && operations.every((operation) => operation !== undefined) ? operations : undefined;
}

/** An allowance in Permit2's own book, which runs out; 2^160 − 1 is never used up. */
export function permitted(
  scene: Scene,
  owner: Account,
  spender: string,
  [token, amount, expiration]: PermitDetails,
): Operation | undefined {
  const asset = scene.registry.byContract.get(scene.account(token));
  if (asset?.standard !== "erc20") return undefined;
  // Solidity: an expiration of 0 means this block only.
  return allowance(asset, owner, scene.account(spender), amount, {
    unlimitedFrom: MAX_UINT160,
    validUntil: `${expiration}`,
  });
}

function moved(scene: Scene, owner: string, to: string, token: string, amount: bigint): Operation | undefined {
  const asset = scene.registry.byContract.get(scene.account(token));
  return asset?.standard === "erc20" ? transfer(asset, scene.account(owner), scene.account(to), amount) : undefined;
}

/** A witness is what else the owner signed; it changes nothing of what is moved. */
const SIGNED_FORMS = [
  ["permitTransferFrom", ""],
  ["permitWitnessTransferFrom", "bytes32 witness,string witnessTypeString,"],
] as const;

function movedBySignature(scene: Scene, owner: string, tokens: readonly string[], requested: readonly Requested[]) {
  // Permit2: LengthMismatch.
  if (tokens.length !== requested.length) return undefined;
  return forEach(
    requested.map(([to, amount], index) => ({ token: tokens[index]!, to, amount })),
    ({ token, to, amount }) => moved(scene, owner, to, token, amount),
  );
}

export const PERMIT2 = meaningsOf(
  meaning<[string, string, bigint, bigint]>(
    "approve(address token,address spender,uint160 amount,uint48 expiration)",
    (call, [token, spender, amount, expiration], scene) =>
      forEach([token], () => permitted(scene, call.from, spender, [token, amount, expiration, 0n])),
  ),
  meaning<[string, string, bigint, string]>(
    "transferFrom(address from,address to,uint160 amount,address token)",
    (_call, [from, to, amount, token], scene) => forEach([token], () => moved(scene, from, to, token, amount)),
  ),
  meaning<[[string, string, bigint, string][]]>(
    "transferFrom((address from,address to,uint160 amount,address token)[] transferDetails)",
    (_call, [details], scene) => forEach(details, ([from, to, amount, token]) => moved(scene, from, to, token, amount)),
  ),
  meaning<[string, [PermitDetails, string, bigint]]>(
    `permit(address owner,(${DETAILS} details,address spender,uint256 sigDeadline) permitSingle,bytes signature)`,
    (_call, [owner, [details, spender]], scene) =>
      forEach([details], (item) => permitted(scene, scene.account(owner), spender, item)),
  ),
  meaning<[string, [PermitDetails[], string, bigint]]>(
    `permit(address owner,(${DETAILS}[] details,address spender,uint256 sigDeadline) permitBatch,bytes signature)`,
    (_call, [owner, [details, spender]], scene) =>
      forEach(details, (item) => permitted(scene, scene.account(owner), spender, item)),
  ),
  ...SIGNED_FORMS.flatMap(([name, witness]) => [
    meaning<[[TokenAmount, bigint, bigint], Requested, string]>(
      `${name}((${PERMITTED} permitted,uint256 nonce,uint256 deadline) permit,${REQUESTED} transferDetails,address owner,${witness}bytes signature)`,
      (_call, [[[token]], requested, owner], scene) => movedBySignature(scene, owner, [token], [requested]),
    ),
    meaning<[[TokenAmount[], bigint, bigint], Requested[], string]>(
      `${name}((${PERMITTED}[] permitted,uint256 nonce,uint256 deadline) permit,${REQUESTED}[] transferDetails,address owner,${witness}bytes signature)`,
      (_call, [[tokens], requested, owner], scene) =>
        movedBySignature(
          scene,
          owner,
          tokens.map(([token]) => token),
          requested,
        ),
    ),
  ]),
  meaning<[[string, string][]]>("lockdown((address token,address spender)[] approvals)", (call, [approvals], scene) =>
    forEach(approvals, ([token, spender]) => permitted(scene, call.from, spender, [token, 0n, 0n, 0n])),
  ),
);
