import { getAddress } from "viem";
import type { Account, AssetSymbol, ChainId } from "../src/domain/chain.ts";
import type { DecisionFacts } from "../src/domain/decision.ts";
import type { Intent } from "../src/domain/intent.ts";
import type { CallerName, ClientId, KeyName } from "../src/domain/names.ts";

/*
 * One policy of 200 rules over an address book of 10,000 entries, as data from which both engines get their own form.
 * Half of the rules name a part of the book; the other half reaches everybody in it and differs by caller and band, so
 * that every one of them has to be asked.
 */

export const RULES = 200;
export const ENTRIES = 10_000;
const DESKS = 20;
export const CHAIN = "eip155:1" as ChainId;

export type WorkloadRule = {
  readonly id: string;
  readonly caller: string;
  readonly tag: string;
  /** In wei: over, which is excluded, to max, which is included. */
  readonly over: bigint;
  readonly max: bigint;
};

const ETHER = 10n ** 18n;
const hex = (n: number): string => n.toString(16).padStart(40, "0");

export const accountAt = (n: number): Account => `${CHAIN}:${getAddress(`0x${hex(0x1000 + n)}`)}` as Account;
export const OWN = `${CHAIN}:${getAddress(`0x${hex(0xfff)}`)}` as Account;

export const entries = Array.from({ length: ENTRIES }, (_, n) => ({
  name: `e${n}`,
  account: accountAt(n),
  tags: ["known", `part-${n % (RULES / 2)}`],
}));

export const rules: readonly WorkloadRule[] = Array.from({ length: RULES }, (_, n) => {
  const wide = n % 2 === 1;
  const half = Math.floor(n / 2);
  return {
    id: `r${n}`,
    caller: `desk-${half % DESKS}`,
    tag: wide ? "known" : `part-${half}`,
    over: wide ? BigInt(half) * ETHER : 0n,
    max: wide ? BigInt(half + 1) * ETHER : 1000n * ETHER,
  };
});

export const callers = Array.from({ length: DESKS }, (_, n) => `desk-${n}`);
const publicKey = (n: number): string => `ed25519:${Buffer.alloc(32, n + 1).toString("base64")}`;

const ether = (wei: bigint): string => (wei / ETHER).toString();

/** Our own document, as text: its reading is measured too. */
const documentText = (): string =>
  JSON.stringify({
    apiVersion: "portcullis/v1",
    kind: "ClientPolicy",
    client: "bench",
    version: "1",
    use: ["assets.yaml", "book-0.yaml", "book-1.yaml"],
    callers: Object.fromEntries(callers.map((name, n) => [name, { role: "wallet-service", keys: [publicKey(n)] }])),
    fee: { ETH: { max: "1" } },
    rules: rules.map(({ id, caller, tag, over, max }) => ({
      id,
      allow: ["transfer"],
      by: [caller],
      to: [`tag:${tag}`],
      amount: { ETH: { ...(over > 0n ? { over: ether(over) } : {}), max: ether(max) } },
    })),
    limits: {
      daily: { sum: "ETH", max: "100000", window: { rolling: "24h" } },
      monthly: { sum: "ETH", max: "1000000", window: { calendar: "month", tz: "Europe/Zurich" } },
      each: { sum: "ETH", max: "50000", window: { rolling: "24h" }, per: "destination" },
      rate: { count: "transactions", max: "1000", window: { rolling: "1h" }, per: "key" },
    },
  });

/** Two files: one may have a megabyte. */
const bookText = (part: number): string => {
  const half = entries.slice((part * ENTRIES) / 2, ((part + 1) * ENTRIES) / 2);
  return JSON.stringify({
    apiVersion: "portcullis/v1",
    kind: "AddressBook",
    entries: Object.fromEntries(half.map(({ name, account, tags }) => [name, { address: account, tags }])),
  });
};

const ASSETS = JSON.stringify({
  apiVersion: "portcullis/v1",
  kind: "AssetRegistry",
  chains: { [CHAIN]: { name: "Ethereum", native: "ETH" } },
  assets: { ETH: { chain: CHAIN, decimals: "18", standard: "native" } },
});

export const ENTRY = "policy.yaml";
export const files = (): ReadonlyMap<string, string> =>
  new Map([
    [ENTRY, documentText()],
    ["assets.yaml", ASSETS],
    ["book-0.yaml", bookText(0)],
    ["book-1.yaml", bookText(1)],
  ]);

export type Case = {
  readonly name: string;
  readonly expected: "allow" | "deny";
  readonly caller: string;
  readonly to: Account;
  readonly amount: bigint;
};

export const CASES: readonly Case[] = [
  { name: "allowed", expected: "allow", caller: "desk-7", to: accountAt(4242), amount: 47n * ETHER + 1n },
  { name: "denied: no rule's band", expected: "deny", caller: "desk-7", to: accountAt(4242), amount: 2000n * ETHER },
  { name: "denied: not in the book", expected: "deny", caller: "desk-7", to: accountAt(ENTRIES + 1), amount: ETHER },
];

export const intentOf = ({ to, amount }: Case): Intent => ({
  chain: CHAIN,
  account: OWN,
  operations: [{ kind: "transfer", asset: "ETH" as AssetSymbol, from: OWN, to, amount }],
  fee: { asset: "ETH" as AssetSymbol, max: 10n ** 15n },
  claims: [],
});

export const factsOf = ({ caller }: Case): Omit<DecisionFacts, "spent"> => ({
  now: Date.parse("2026-11-20T12:00:00Z"),
  client: "bench" as ClientId,
  caller: caller as CallerName,
  key: "hot-1" as KeyName,
  keyPurpose: "transactions",
  submittedAt: Date.parse("2026-11-20T12:00:00Z"),
  approvals: [],
  owners: new Map([[OWN, "bench" as ClientId]]),
  heldSince: new Map(),
});
