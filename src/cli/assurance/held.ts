import type { LiabilityProof } from "../../custody/liabilities.ts";
import { addressOf, chainOf, type Account } from "../../domain/chain.ts";
import type { ControlClaim } from "../../domain/control.ts";
import { requireBlock } from "../control.ts";
import { askNode } from "../json-rpc.ts";
import { readIdentity, type AssetIdentity } from "./asset-identity.ts";

/* Segregated, a stronger statement holds than a sum: each client's own addresses hold at least that client's position. */

export type Held = {
  readonly asset: string;
  readonly owed: string;
  /** On the addresses whose control is proven, at the block of that proof; null: it cannot be read, which is not enough. */
  readonly held: string | null;
  readonly enough: boolean;
};

/** @param nodes the reader's own, by chain @throws {GatewayError} as the node does; `control-invalid` for another block */
export async function heldAgainst(
  { positions }: LiabilityProof,
  claims: readonly ControlClaim[],
  nodes: ReadonlyMap<string, string>,
): Promise<Held[]> {
  const found: Held[] = [];
  for (const { asset, amount: owed } of positions) {
    const held = await heldOf(readIdentity(asset), claims, nodes);
    found.push({
      asset,
      owed,
      held: held === undefined ? null : String(held),
      enough: held !== undefined && held >= BigInt(owed),
    });
  }
  return found;
}

async function heldOf(
  asset: AssetIdentity | undefined,
  claims: readonly ControlClaim[],
  nodes: ReadonlyMap<string, string>,
): Promise<bigint | undefined> {
  const url = asset && nodes.get(asset.chain);
  if (!asset || url === undefined || asset.standard === "erc1155") return undefined;
  let sum = 0n;
  for (const { account, block } of claims.filter((claim) => chainOf(claim.account as Account) === asset.chain)) {
    await requireBlock(asset.chain, url, block);
    sum += await balanceOf(url, asset, addressOf(account as Account), block.height);
  }
  return sum;
}

/** `balanceOf(address)` is that of ERC-20 and ERC-721. */
async function balanceOf(url: string, { contract }: AssetIdentity, address: string, height: number): Promise<bigint> {
  const at = `0x${height.toString(16)}`;
  if (contract === undefined) return BigInt((await askNode(url, "eth_getBalance", [address, at])) as string);
  const data = `0x70a08231${address.slice(2).toLowerCase().padStart(64, "0")}`;
  const answer = (await askNode(url, "eth_call", [{ to: contract, data }, at])) as string;
  return BigInt(answer === "0x" ? "0x0" : answer);
}
