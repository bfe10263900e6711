import type { Asset } from "../../../domain/assets.ts";
import { addressOf } from "../../../domain/chain.ts";
import { GatewayError } from "../../../domain/errors.ts";
import type { Operation } from "../../../domain/intent.ts";
import { allowance, allowanceOnAll, MAX_UINT256, transfer, ZERO_ADDRESS } from "./amounts.ts";
import { meaning, meaningsOf, type Call, type Scene } from "./meaning.ts";

/*
 * ERC-20 and ERC-721 share selectors: `transferFrom` and `approve` mean an amount in one and one item in the other. The
 * registry says which standard a contract follows, and these tables are used at its pinned contracts only.
 */

/** Meanings are looked up by the asset at the call's address: it is there. */
const assetOf = (call: Call, scene: Scene): Asset => scene.registry.byContract.get(call.to)!;

/** EIP-20, EIP-2612, EIP-3009 and what widely held tokens have besides. */
export const ERC20 = meaningsOf(
  meaning<[string, bigint]>("transfer(address to,uint256 value)", (call, [to, value], scene) => [
    transfer(assetOf(call, scene), call.from, scene.account(to), value),
  ]),
  meaning<[string, string, bigint]>(
    "transferFrom(address from,address to,uint256 value)",
    (call, [from, to, value], scene) => [transfer(assetOf(call, scene), scene.account(from), scene.account(to), value)],
  ),
  meaning<[string, bigint]>("approve(address spender,uint256 value)", (call, [spender, value], scene) => [
    allowance(assetOf(call, scene), call.from, scene.account(spender), value),
  ]),
  // The sum that results is known to the chain alone: it may be everything.
  meaning<[string, bigint]>(
    "increaseAllowance(address spender,uint256 addedValue)",
    (call, [spender, added], scene) => [
      allowance(assetOf(call, scene), call.from, scene.account(spender), MAX_UINT256, { change: `${added}` }),
    ],
  ),
  meaning<[string, bigint]>(
    "decreaseAllowance(address spender,uint256 subtractedValue)",
    (call, [spender, taken], scene) => [
      allowance(assetOf(call, scene), call.from, scene.account(spender), 0n, { change: `-${taken}` }),
    ],
  ),
  meaning<[string, string, bigint, bigint]>(
    "permit(address owner,address spender,uint256 value,uint256 deadline,uint8 v,bytes32 r,bytes32 s)",
    (call, [owner, spender, value], scene) => [
      allowance(assetOf(call, scene), scene.account(owner), scene.account(spender), value),
    ],
  ),
  // DAI's, from before EIP-2612: all or nothing.
  meaning<[string, string, bigint, bigint, boolean]>(
    "permit(address holder,address spender,uint256 nonce,uint256 expiry,bool allowed,uint8 v,bytes32 r,bytes32 s)",
    (call, [holder, spender, , , allowed], scene) => [
      allowanceOnAll(assetOf(call, scene), scene.account(holder), scene.account(spender), allowed),
    ],
  ),
  ...["transferWithAuthorization", "receiveWithAuthorization"].map((name) =>
    meaning<[string, string, bigint]>(
      `${name}(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce,uint8 v,bytes32 r,bytes32 s)`,
      (call, [from, to, value], scene) => [
        transfer(assetOf(call, scene), scene.account(from), scene.account(to), value),
      ],
    ),
  ),
);

/** WETH9: a deposit pays ether to the contract, a withdrawal gives its tokens back to it. */
export const WETH = meaningsOf(
  meaning<[]>("deposit()", (call, _values, scene) =>
    call.value === 0n ? [transfer(scene.native, call.from, call.to, 0n)] : [],
  ),
  meaning<[bigint]>("withdraw(uint256 wad)", (call, [wad], scene) => {
    const asset = scene.registry.byContract.get(call.to);
    return asset && [transfer(asset, call.from, call.to, wad)];
  }),
);

const setApprovalForAll = meaning<[string, boolean]>(
  "setApprovalForAll(address operator,bool approved)",
  (call, [operator, approved], scene) => [
    allowanceOnAll(assetOf(call, scene), call.from, scene.account(operator), approved),
  ],
);

/** The same for all three ways to move one item; the receiver is told in two of them. */
const moveItem = (
  call: Call,
  [from, to, tokenId]: readonly [string, string, bigint, ...unknown[]],
  scene: Scene,
): Operation[] => [transfer(assetOf(call, scene), scene.account(from), scene.account(to), 1n, tokenId)];

/** EIP-721. */
export const ERC721 = meaningsOf(
  meaning<[string, string, bigint]>("transferFrom(address from,address to,uint256 tokenId)", moveItem),
  meaning<[string, string, bigint]>("safeTransferFrom(address from,address to,uint256 tokenId)", moveItem),
  meaning<[string, string, bigint, Uint8Array]>(
    "safeTransferFrom(address from,address to,uint256 tokenId,bytes data)",
    moveItem,
  ),
  meaning<[string, bigint]>("approve(address to,uint256 tokenId)", (call, [to, tokenId], scene) => {
    // EIP-721: the zero address takes the approval back.
    const amount = to === ZERO_ADDRESS ? 0n : 1n;
    return [allowance(assetOf(call, scene), call.from, scene.account(to), amount, { tokenId: tokenId.toString() })];
  }),
  setApprovalForAll,
);

/** EIP-1155. */
export const ERC1155 = meaningsOf(
  meaning<[string, string, bigint, bigint]>(
    "safeTransferFrom(address from,address to,uint256 id,uint256 value,bytes data)",
    (call, [from, to, id, value], scene) => [
      transfer(assetOf(call, scene), scene.account(from), scene.account(to), value, id),
    ],
  ),
  meaning<[string, string, bigint[], bigint[]]>(
    "safeBatchTransferFrom(address from,address to,uint256[] ids,uint256[] values,bytes data)",
    (call, [from, to, ids, values], scene) => {
      requireSameLength(ids, values, addressOf(call.to));
      return ids.map((id, index) =>
        transfer(assetOf(call, scene), scene.account(from), scene.account(to), values[index]!, id),
      );
    },
  ),
  setApprovalForAll,
);

/** EIP-1155: such a call reverts; signed, it would say nothing certain. */
function requireSameLength(ids: readonly bigint[], values: readonly bigint[], contract: string): void {
  if (ids.length === values.length) return;
  throw new GatewayError(
    "calldata-value",
    `expected as many values as ids at ${contract}, found ${values.length} and ${ids.length}`,
  );
}
