import { getAddress } from "viem";
import { parseAmount } from "../../../src/domain/amount.ts";
import { addressOf, type Account, type AssetSymbol, type ChainId } from "../../../src/domain/chain.ts";
import type { Decision, DecisionFacts } from "../../../src/domain/decision.ts";
import type { Intent, Operation } from "../../../src/domain/intent.ts";
import type { CallerName, ClientId, KeyName } from "../../../src/domain/names.ts";
import { chargesOf } from "../../../src/policy/charges.ts";
import { compileClient, compileHouse, type CompiledHouse, type CompiledPolicy } from "../../../src/policy/compile.ts";
import { evaluate } from "../../../src/policy/evaluate.ts";
import { parsePolicy } from "../../../src/policy/parse.ts";
import type { Policies } from "../../../src/policy/scene.ts";

/** Policies for tests, as objects: JSON is YAML, so they go through the same parser as files do. */

export const account = (address: string): Account => `eip155:1:${getAddress(address)}` as Account;
const nth = (n: number): Account => account(`0x${n.toString(16).padStart(40, "0")}`);

export const ACCOUNTS = {
  hot: nth(0x1001),
  cold: nth(0x1002),
  treasury: nth(0x2001),
  kraken: nth(0x2002),
  kraken2: nth(0x2003),
  safe: nth(0x2004),
  stranger: nth(0x3001),
  /** Of client `other-fund`. */
  other: nth(0x4001),
  /** Of the custodian. */
  house: nth(0x5001),
  usdc: account("0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"),
} as const;

export const checkAccount = (text: string): void => {
  const address = addressOf(text as Account);
  if (getAddress(address) !== address) throw new Error(`expected a checksum address, found \`${address}\``);
};

const publicKey = (n: number): string => `ed25519:${Buffer.alloc(32, n).toString("base64")}`;

export const ASSETS = {
  apiVersion: "portcullis/v1",
  kind: "AssetRegistry",
  chains: { "eip155:1": { name: "Ethereum", native: "ETH" } },
  assets: {
    ETH: { chain: "eip155:1", decimals: "18", standard: "native" },
    USDC: { chain: "eip155:1", decimals: "6", standard: "erc20", contract: ACCOUNTS.usdc },
  },
};

export const CLIENT = {
  apiVersion: "portcullis/v1",
  kind: "ClientPolicy",
  client: "acme-fund",
  version: "7",
  use: ["assets.yaml"],
  callers: {
    payouts: { role: "wallet-service", keys: [publicKey(1)], operatedBy: ["erin"] },
    trading: { role: "wallet-service", keys: [publicKey(2)] },
    alice: { role: "approver", keys: [publicKey(3)] },
    bob: { role: "approver", keys: [publicKey(4)] },
    dave: { role: "approver", keys: [publicKey(5)] },
    erin: { role: "approver", keys: [publicKey(6)] },
  },
  groups: { officers: ["alice", "bob", "erin"], desk: ["dave", "alice"] },
  addressBook: {
    treasury: { address: ACCOUNTS.treasury },
    kraken: { address: [ACCOUNTS.kraken, ACCOUNTS.kraken2], tags: ["exchange"], coolOff: "24h" },
    safe: { address: ACCOUNTS.safe },
  },
  fee: { ETH: { max: "0.02" } },
  rules: [
    { id: "payouts", allow: ["transfer"], to: ["treasury"], amount: { ETH: { max: "10" }, USDC: { max: "20000" } } },
  ] as object[],
  limits: {
    "eth-daily": { sum: "ETH", max: "600", window: { rolling: "24h" } },
    "usdc-daily": { sum: "USDC", max: "100000", window: { rolling: "24h" } },
  } as object,
};

export const HOUSE = {
  apiVersion: "portcullis/v1",
  kind: "HousePolicy",
  version: "3",
  use: ["assets.yaml"],
  callers: { chief: { role: "policy-officer", keys: [publicKey(9)] } },
};

export function filesOf(document: object, others: Readonly<Record<string, object>> = {}): ReadonlyMap<string, string> {
  const all = { "policy.yaml": document, "assets.yaml": ASSETS, ...others };
  return new Map(Object.entries(all).map(([path, value]) => [path, JSON.stringify(value, null, 1)]));
}

export const clientPolicy = (changes: object = {}, others: Readonly<Record<string, object>> = {}): CompiledPolicy =>
  compileClient(parsePolicy("policy.yaml", filesOf({ ...CLIENT, ...changes }, others), checkAccount));

export const housePolicy = (changes: object = {}, others: Readonly<Record<string, object>> = {}): CompiledHouse =>
  compileHouse(parsePolicy("policy.yaml", filesOf({ ...HOUSE, ...changes }, others), checkAccount));

export const policies = (client: object = {}, house: object = {}): Policies => ({
  client: clientPolicy(client),
  house: housePolicy(house),
});

export const eth = (text: string): bigint => parseAmount(text, 18);
export const usdc = (text: string): bigint => parseAmount(text, 6);
export const NOW = Date.parse("2026-11-20T12:00:00Z");
export const HOUR = 3_600_000;

export const transfer = (to: Account, amount: bigint, asset = "ETH", from: Account = ACCOUNTS.hot): Operation => ({
  kind: "transfer",
  asset: asset as AssetSymbol,
  from,
  to,
  amount,
});

export const allowance = (to: Account, amount: bigint | "unlimited", asset = "USDC"): Operation => ({
  kind: "allowance",
  asset: asset as AssetSymbol,
  from: ACCOUNTS.hot,
  to,
  ...(amount === "unlimited" ? { amount: (1n << 256n) - 1n, unlimited: true } : { amount }),
});

export const intentOf = (...operations: Operation[]): Intent => ({
  chain: "eip155:1" as ChainId,
  account: ACCOUNTS.hot,
  operations,
  fee: { asset: "ETH" as AssetSymbol, max: eth("0.001") },
  claims: [],
});

export const withFee = (intent: Intent, max: bigint): Intent => ({ ...intent, fee: { ...intent.fee, max } });

const OWNERS = new Map<Account, ClientId>([
  [ACCOUNTS.hot, "acme-fund" as ClientId],
  [ACCOUNTS.cold, "acme-fund" as ClientId],
  [ACCOUNTS.other, "other-fund" as ClientId],
  [ACCOUNTS.house, "house" as ClientId],
]);

export type FactChanges = Partial<Omit<DecisionFacts, "approvals" | "spent">> & {
  readonly approvals?: readonly { person: string; at: number }[];
  /** By limit name; every other counter holds nothing. */
  readonly spent?: Readonly<Record<string, bigint>>;
};

export function factsFor(
  policy: Policies,
  intent: Intent,
  { spent = {}, approvals = [], ...changes }: FactChanges = {},
): DecisionFacts {
  const facts = {
    now: NOW,
    client: "acme-fund" as ClientId,
    caller: "payouts" as CallerName,
    key: "hot-1" as KeyName,
    keyPurpose: "transactions" as const,
    submittedAt: changes.now ?? NOW,
    approvals: approvals as DecisionFacts["approvals"],
    owners: OWNERS,
    heldSince: new Map([...policy.client.addresses.keys()].map((known) => [known, 0])),
    ...changes,
  };
  return {
    ...facts,
    spent: new Map(chargesOf(policy, intent, facts).map(({ counter, limit }) => [counter, spent[limit] ?? 0n])),
  };
}

export const decide = (policy: Policies, intent: Intent, changes: FactChanges = {}): Decision =>
  evaluate(policy, intent, factsFor(policy, intent, changes));

export const codes = (decision: Decision): string[] => decision.reasons.map(({ code }) => code);
