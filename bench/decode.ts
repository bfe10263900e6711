import { fileURLToPath } from "node:url";
import { encodeFunctionData, erc20Abi, parseGwei, serializeTransaction } from "viem";
import { intentOf } from "../src/chains/evm/intent.ts";
import { intentOfTypedData } from "../src/chains/evm/typed-data-intent.ts";
import { parseTypedData } from "../src/chains/evm/typed-data.ts";
import { decodeUnsigned, signingDigest } from "../src/chains/evm/transaction.ts";
import { readRegistry } from "../src/cli/registry.ts";
import type { Account } from "../src/domain/chain.ts";

/* From the bytes of a payload to what they would do and what would be signed: what step 1 of a request costs. */

export type DecodeReport = { readonly transferUs: number; readonly permitUs: number };

const OWN = "0x00000000000000000000000000000000000000A1";
const USDC = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48";
const ACCOUNT = `eip155:1:${OWN}` as Account;
const RUNS = 20_000;

/** Median of single runs, after as many to warm up. */
function medianUs(run: (n: number) => unknown): number {
  const times = Array.from({ length: 2 * RUNS }, (_, n) => {
    const start = process.hrtime.bigint();
    run(n);
    return Number(process.hrtime.bigint() - start) / 1000;
  });
  return times.slice(RUNS).sort((a, b) => a - b)[RUNS / 2]!;
}

/** Each run has bytes of its own, so that nothing is found in a cache that a gateway would not find there. */
export function decodeReport(): DecodeReport {
  const registry = readRegistry(fileURLToPath(new URL("../policies/shared/assets.yaml", import.meta.url)));
  const transfers = Array.from({ length: 2 * RUNS }, (_, nonce) => {
    const to = `0x${(nonce + 1).toString(16).padStart(40, "0")}` as const;
    const data = encodeFunctionData({ abi: erc20Abi, functionName: "transfer", args: [to, BigInt(nonce)] });
    const fees = { maxFeePerGas: parseGwei("30"), maxPriorityFeePerGas: parseGwei("1"), gas: 65_000n };
    return Buffer.from(serializeTransaction({ chainId: 1, nonce, to: USDC, data, ...fees }).slice(2), "hex");
  });
  const members = ["address owner", "address spender", "uint256 value", "uint256 nonce", "uint256 deadline"];
  const field = (member: string) => ({ type: member.split(" ")[0], name: member.split(" ")[1] });
  const domain = ["string name", "string version", "uint256 chainId", "address verifyingContract"].map(field);
  const permits = Array.from({ length: 2 * RUNS }, (_, nonce) =>
    JSON.stringify({
      types: { EIP712Domain: domain, Permit: members.map(field) },
      domain: { name: "USD Coin", version: "2", chainId: 1, verifyingContract: USDC },
      primaryType: "Permit",
      message: { owner: OWN, spender: USDC, value: "1000000", nonce: String(nonce), deadline: "4000000000" },
    }),
  );
  return {
    transferUs: medianUs((n) => [
      intentOf(decodeUnsigned(transfers[n]!), ACCOUNT, registry),
      signingDigest(transfers[n]!),
    ]),
    permitUs: medianUs((n) => intentOfTypedData(parseTypedData(JSON.parse(permits[n]!)), ACCOUNT, registry)),
  };
}
