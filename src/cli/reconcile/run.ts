import { createHash, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { backingOf, type Amount } from "../../custody/backing.ts";
import type { ChainReader, Holding } from "../../custody/chain-reader.ts";
import { aged, reconcile, type BookEntry, type ChainBalance, type Finding } from "../../custody/reconcile.ts";
import { Register, type Debit, type Opening } from "../../custody/register.ts";
import { signedIn, type Confirmation } from "../../custody/sent.ts";
import type { Asset, AssetRegistry } from "../../domain/assets.ts";
import { chainOf, type Account, type AssetSymbol, type ChainId } from "../../domain/chain.ts";
import type { SignedOutside } from "../../custody/signed-outside.ts";
import { useId, type ObservationBody, type OutsideUse } from "../../domain/custody.ts";
import type { GatewayClient } from "../../sdk/client.ts";
import { compileClient } from "../../policy/compile.ts";
import { resolvePolicy } from "../policy-check.ts";
import { activePolicy } from "../policy-apply.ts";
import { readBacking, readBooks, type Backing, type Registries } from "./books.ts";
import { accountsIn, isNotYet, readBalances, readSent, type ChainNow, type SentOnChain } from "./chains.ts";
import type { ClientLeaves } from "./leaves.ts";
import { assetsOf, beforeIn, bodyOf, outsideText, signed, type Aged, type Before, type Report } from "./report.ts";

/*
 * One run: the chain is read at one block, the register is computed here from the client's leaves, the books are brought.
 * What the chain shows of signed transactions becomes leaves first, so that register and chain are of one moment.
 */

export type Plan = {
  readonly gateway: GatewayClient;
  readonly clients: readonly ClientLeaves[];
  readonly readers: readonly ChainReader[];
  readonly confirmations: number;
  readonly books?: string;
  readonly backed?: string;
  /** Whether leaves are made of it: what became of transactions, what was signed outside, what accounts hold, the report. */
  readonly record: boolean;
  readonly progress: (text: string) => void;
  /** What a person has to know besides the reports. */
  readonly tell: (text: string) => void;
};

/** @returns a report for each client @throws {GatewayError} whatever was not read whole: then nothing is said of anybody */
export async function runOnce(plan: Plan): Promise<Report[]> {
  const at = Date.now();
  const chains = new Map<ChainId, ChainNow>();
  for (const reader of plan.readers) {
    const { block, head } = await reader.settled(plan.confirmations);
    chains.set(reader.chain, { reader, settled: block, head });
  }
  const registries = await registriesOf(plan);
  const books = plan.books === undefined ? undefined : readBooks(plan.books, registries);
  const backing = plan.backed === undefined ? [] : readBacking(plan.backed, registries);
  const sent = new Map(
    await Promise.all(
      plan.clients.map(async (leaves) => [leaves.client, await followSent(plan, leaves, chains)] as const),
    ),
  );
  const clients = plan.clients.map((leaves) => clientNow(leaves, registries, chains, books, backing));
  const amounts = await readBalances(
    chains,
    clients.flatMap(({ holdings }) => holdings),
    (done, of) => plan.progress(`${done} of ${of} balances`),
  );
  const shortfalls = await backingFindings(backing, registries, chains, clients, amounts);
  const made = [];
  for (const client of clients)
    made.push(await compare(client, { at, amounts, books, shortfalls, plan, sent, chains }));
  // The last word is the chain's: if the block that was read is gone, nothing is reported.
  for (const { reader, settled } of chains.values()) await reader.requireStill(settled);
  await Promise.all(made.map((each) => recordReport(plan, each, amounts)));
  return made.map(({ report }) => report);
}

async function registriesOf({ gateway, clients }: Plan): Promise<Registries> {
  const registries = new Map<string, AssetRegistry>();
  for (const { client } of clients) {
    const stored = await activePolicy(gateway, client);
    registries.set(client, stored ? compileClient(resolvePolicy(stored)).registry : NO_ASSETS);
  }
  return registries;
}

const NO_ASSETS: AssetRegistry = { bySymbol: new Map(), nativeOf: new Map(), byContract: new Map() };

/** Reads what became of what was signed, says it, and reads the leaves on to there. */
async function followSent(
  plan: Plan,
  leaves: ClientLeaves,
  chains: ReadonlyMap<ChainId, ChainNow>,
): Promise<SentOnChain> {
  plan.progress(`${leaves.client}: leaves`);
  await leaves.readOn();
  const register = Register.of(leaves.openings);
  const all: SentOnChain = { confirmations: [], outside: [] };
  for (const now of chains.values()) {
    plan.progress(`${leaves.client}: transactions`);
    const { confirmations, outside } = await readSent(now, leaves.openings);
    all.confirmations.push(...confirmations.filter(({ request }) => isOpen(register.debits.get(request))));
    all.outside.push(...outside);
  }
  if (plan.record) {
    const news = all.confirmations.filter((one) => isNews(one, register.debits.get(one.request)!));
    await observeAll(plan.gateway, leaves.client, news.map(seenBody));
    await leaves.readOn();
  }
  return all;
}

/** What no observer has said yet: the client's policy may freeze it for that, once. */
function outsideNews(outside: readonly SignedOutside[], openings: readonly Opening[]): ObservationBody[] {
  const said = new Set(
    openings.flatMap(({ what, use }) => (what === "signed-outside" ? [useId(use as OutsideUse)] : [])),
  );
  return outside.map(useOfKey).flatMap((use) => (said.has(useId(use)) ? [] : [{ what: "signed-outside", use }]));
}

const isOpen = (debit: Debit | undefined): boolean =>
  debit !== undefined && debit.state !== "mined" && debit.state !== "reverted" && debit.state !== "replaced";

const isNews = ({ state, block }: Confirmation, debit: Debit): boolean =>
  state !== "unexplained" && (state !== debit.state || block !== debit.block);

const useOfKey = (found: SignedOutside): OutsideUse =>
  found.kind === "transaction"
    ? {
        account: found.account,
        first: String(found.nonce),
        last: String(found.nonce),
        transaction: found.transaction,
      }
    : { account: found.account, first: String(found.first), last: String(found.last) };

const seenBody = ({ request, state, block, depth, fee }: Confirmation) =>
  ({
    what: "transaction",
    transaction: {
      request,
      state,
      ...(block === undefined ? {} : { block }),
      ...(depth === undefined ? {} : { depth }),
      ...(fee === undefined ? {} : { fee: String(fee) }),
    },
  }) as ObservationBody;

/** So many at once: the gateway commits them together. */
const AT_ONCE = 16;

async function observeAll(
  gateway: GatewayClient,
  client: string,
  bodies: readonly ObservationBody[],
): Promise<{ readonly isFrozen?: boolean }[]> {
  const path = `/v1/clients/${client}/observations`;
  const answers: { readonly isFrozen?: boolean }[] = [];
  for (let from = 0; from < bodies.length; from += AT_ONCE) {
    const said = bodies
      .slice(from, from + AT_ONCE)
      .map((body) => gateway.call<{ isFrozen?: boolean }>("POST", path, { body, idempotencyKey: randomUUID() }));
    answers.push(...(await Promise.all(said)));
  }
  return answers;
}

/** A client as its leaves show it at the block, and what is to be read of it. */
type ClientNow = {
  readonly client: string;
  readonly openings: readonly Opening[];
  readonly registry: AssetRegistry;
  readonly register: Register;
  readonly holdings: readonly Holding[];
};

function clientNow(
  { client, openings }: ClientLeaves,
  registries: Registries,
  chains: ReadonlyMap<ChainId, ChainNow>,
  books: readonly BookEntry[] = [],
  backing: readonly Backing[],
): ClientNow {
  const registry = registries.get(client)!;
  const chainOfRequest = new Map(signedIn(openings).sent.map(({ request, account }) => [request, chainOf(account)]));
  const register = Register.of(openings.filter((opening) => !isNotYet(opening, chains, chainOfRequest)));
  const named = new Set<AssetSymbol>([
    ...register.positions().flatMap(({ asset, closing, pending }) => (closing !== 0n || pending !== 0n ? [asset] : [])),
    ...books.filter((entry) => entry.client === client).map(({ asset }) => asset),
    ...backing.filter((each) => each.client === client).map(({ reserve }) => reserve),
  ]);
  const accounts = accountsIn(openings);
  const holdings = [...registry.bySymbol.values()]
    .filter((asset) => asset.standard !== "erc1155" && (chains.has(asset.chain) || named.has(asset.symbol)))
    .flatMap((asset) => accountsOn(accounts, asset.chain).map((account) => ({ account, asset })));
  return { client, openings, registry, register, holdings };
}

const accountsOn = (accounts: readonly Account[], chain: ChainId): Account[] =>
  accounts.filter((account) => chainOf(account) === chain);

async function backingFindings(
  backing: readonly Backing[],
  registries: Registries,
  chains: ReadonlyMap<ChainId, ChainNow>,
  clients: readonly ClientNow[],
  amounts: ReadonlyMap<Holding, bigint | undefined>,
): Promise<Finding[]> {
  const found: Finding[] = [];
  for (const [, group] of grouped(backing, ({ client, token }) => `${client}/${token}`)) {
    const [{ client, token }] = group as [Backing];
    const asset = registries.get(client)!.bySymbol.get(token)!;
    const now = chains.get(asset.chain);
    const [supply] = now && asset.contract ? await now.reader.supplies([asset], now.settled) : [];
    const holder = clients.find((each) => each.client === client)!;
    const reserves = group.map(({ reserve }) => reserveOf(holder, reserve, amounts));
    const one = backingOf({ client, token, supply: { amount: supply, decimals: asset.decimals }, reserves });
    if (one) found.push(one);
  }
  return found;
}

function reserveOf(
  { registry, holdings }: ClientNow,
  reserve: AssetSymbol,
  amounts: ReadonlyMap<Holding, bigint | undefined>,
): Amount {
  const own = holdings.filter(({ asset }) => asset.symbol === reserve);
  return { amount: totalOf(own, amounts), decimals: registry.bySymbol.get(reserve)!.decimals };
}

function totalOf(holdings: readonly Holding[], amounts: ReadonlyMap<Holding, bigint | undefined>): bigint | undefined {
  const read = holdings.map((holding) => amounts.get(holding));
  return read.every((amount) => amount !== undefined) ? read.reduce((sum, amount) => sum + amount, 0n) : undefined;
}

function grouped<Item, Key>(items: readonly Item[], keyOf: (item: Item) => Key): Map<Key, Item[]> {
  const groups = new Map<Key, Item[]>();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
}

type Facts = {
  readonly at: number;
  readonly amounts: ReadonlyMap<Holding, bigint | undefined>;
  readonly books: readonly BookEntry[] | undefined;
  readonly shortfalls: readonly Finding[];
  readonly plan: Plan;
  readonly sent: ReadonlyMap<string, SentOnChain>;
  readonly chains: ReadonlyMap<ChainId, ChainNow>;
};

type Made = {
  readonly client: ClientNow;
  readonly report: Report;
  readonly breaks: ReturnType<typeof aged>["breaks"];
  readonly outside: readonly SignedOutside[];
};

async function compare(client: ClientNow, facts: Facts): Promise<Made> {
  const { at, books, shortfalls, plan, sent, chains } = facts;
  const before = beforeIn(client.openings, client.client, plan.gateway.caller.caller);
  const isOwn = (each: { readonly client: string }): boolean => each.client === client.client;
  const sides = {
    chain: balancesOf(client, facts.amounts),
    register: client.register
      .positions()
      .map(({ asset, closing, pending }) => ({ client: client.client, asset, closing, pending })),
    ...(books === undefined ? {} : { books: books.filter(isOwn) }),
  };
  const { lines, breaks: differing } = reconcile(sides, at);
  const { breaks, closed } = aged([...differing, ...shortfalls.filter(isOwn)], at, before.breaks);
  const decimals = (asset: AssetSymbol): number => client.registry.bySymbol.get(asset)?.decimals ?? 0;
  const { confirmations, outside } = sent.get(client.client)!;
  const time = (since: number) => new Date(since).toISOString();
  const report: Report = {
    format: "portcullis/reconciliation/v1",
    gateway: plan.gateway.caller.gateway,
    client: client.client,
    at: time(at),
    chains: [...chains.values()].map(({ settled: { chain, number, hash }, head }) => ({
      chain,
      block: number,
      hash,
      head,
    })),
    ...(plan.books === undefined ? {} : { books: createHash("sha256").update(readFileSync(plan.books)).digest("hex") }),
    assets: assetsOf(
      lines.filter(({ chain, closing, pending, books: booked }) =>
        [chain, closing, pending, booked ?? 0n].some((amount) => amount !== 0n),
      ),
      decimals,
    ),
    breaks: breaks.map(({ asset, cause, difference, since }) => ({
      asset,
      cause,
      difference: signed(difference, decimals(asset)),
      since: time(since),
      status: since === at ? "new" : "open",
    })),
    closed: closed.map(({ asset, cause, since }) => ({ asset, cause, since: time(since) })),
    transactions: confirmations.map(({ request, transaction, state, block, depth }) => ({
      request,
      transaction,
      state,
      ...(block === undefined ? {} : { block }),
      ...(depth === undefined ? {} : { depth }),
    })),
    signedOutside: outside.map((found) => agedOutside(outsideText(found), before, time(at))),
    rewritten: await rewrittenSince(before, chains),
  };
  return { client, report, breaks, outside };
}

/** An asset that no registry names, or that no account is on the chain of, was read nowhere. */
function balancesOf(
  { client, register, registry, holdings }: ClientNow,
  amounts: ReadonlyMap<Holding, bigint | undefined>,
): ChainBalance[] {
  const read = holdings.map((holding) => ({
    client,
    account: holding.account,
    asset: holding.asset.symbol,
    amount: amounts.get(holding),
  }));
  const unknown = register
    .positions()
    .filter(
      ({ asset, closing, pending }) => (closing !== 0n || pending !== 0n) && !isRead(registry.bySymbol.get(asset)),
    )
    .map(({ asset }) => ({ client, account: `unknown:${client}` as Account, asset, amount: undefined }));
  return [...read, ...unknown];
}

const isRead = (asset: Asset | undefined): boolean => asset !== undefined && asset.standard !== "erc1155";

function agedOutside(what: string, { outside }: Before, now: string): { what: string } & Aged {
  const since = outside.get(what);
  return since === undefined ? { what, since: now, status: "new" } : { what, since, status: "open" };
}

async function rewrittenSince(before: Before, chains: ReadonlyMap<ChainId, ChainNow>): Promise<string[]> {
  const found: string[] = [];
  for (const [chain, { block, hash }] of before.chains) {
    const now = await chains.get(chain as ChainId)?.reader.hashAt(block);
    if (now !== hash && chains.has(chain as ChainId))
      found.push(`block ${block} of ${chain} was ${hash}, is ${now ?? "not there"}`);
  }
  return found;
}

async function recordReport(
  plan: Plan,
  { client, report, breaks, outside }: Made,
  amounts: ReadonlyMap<Holding, bigint | undefined>,
) {
  if (!plan.record) return;
  const alarms = await observeAll(plan.gateway, client.client, outsideNews(outside, client.openings));
  if (alarms.some(({ isFrozen }) => isFrozen)) plan.tell(`${client.client} is frozen: its key was used elsewhere`);
  await observeAll(plan.gateway, client.client, readingsOf(plan, client, report, amounts));
  const options = { body: bodyOf(report, breaks), idempotencyKey: randomUUID() };
  await plan.gateway.call("POST", `/v1/clients/${client.client}/reports`, options);
}

function readingsOf(
  plan: Plan,
  client: ClientNow,
  { chains }: Report,
  amounts: ReadonlyMap<Holding, bigint | undefined>,
): ObservationBody[] {
  return [...grouped(client.holdings, (holding) => holding.asset)].flatMap(([asset, holdings]) => {
    const amount = totalOf(holdings, amounts);
    const block = chains.find(({ chain }) => chain === asset.chain)?.block;
    if (amount === undefined || block === undefined || !isWorthSaying(client, asset, amount, plan)) return [];
    return [{ what: "balance", balance: { asset: asset.symbol, amount: String(amount), block } }];
  });
}

/** A reading counts for a day: it is said again well before. */
const SAY_AGAIN_MS = 12 * 3_600_000;
const MOVES: ReadonlySet<string> = new Set(["authorized", "signed", "failed", "observed", "restored"]);

/** Not where nothing has happened since the last time: each is a leaf for ever. */
function isWorthSaying(
  { openings, register }: ClientNow,
  { symbol }: Asset,
  amount: bigint,
  { gateway }: Plan,
): boolean {
  type Said = { asset: string; amount: string };
  const last = openings.findLast(
    (each) =>
      each.type === "observed" &&
      each["by"] === gateway.caller.caller &&
      (each["balance"] as Said | undefined)?.asset === symbol,
  );
  if (!last) return amount > 0n || register.position(symbol).closing !== 0n;
  const since = openings.filter(
    ({ type, index, ...said }) => index > last.index && MOVES.has(type) && said["what"] !== "balance",
  );
  return since.length > 0 || (last["balance"] as Said).amount !== String(amount) || Date.now() - last.at > SAY_AGAIN_MS;
}
