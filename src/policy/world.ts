import { parseAmount } from "../domain/amount.ts";
import { chainOf, rawChain, type Account, type AssetSymbol, type ChainId } from "../domain/chain.ts";
import { GatewayError, quoted } from "../domain/errors.ts";
import type { Intent, Operation } from "../domain/intent.ts";
import { HOUSE, type ClientId } from "../domain/names.ts";
import { intentOfRawDigest } from "../domain/raw.ts";
import type { CompiledHouse, CompiledPolicy } from "./compile.ts";
import type { Act } from "./document.ts";
import { EMPTY_INDEX } from "./rule-index.ts";
import { selectorOf } from "./selector.ts";

/**
 * The world in which a document's tests take place: keys, other clients and the house have made-up accounts, the
 * address book has its own. Nothing of it exists on a chain.
 */
export class World {
  readonly #policy: CompiledPolicy;
  readonly owners = new Map<Account, ClientId>();

  constructor(policy: CompiledPolicy) {
    this.#policy = policy;
  }

  intent(
    request: Act & {
      readonly from: string;
      readonly fee?: string | undefined;
      readonly operations?: readonly Act[] | undefined;
    },
  ): Intent {
    const acts = request.operations ?? [request];
    const raw = acts.find(({ rawDigest }) => rawDigest)?.rawDigest;
    if (raw && acts.length > 1) throw wrong("expected a raw digest alone, found other operations beside it");
    if (raw) return this.#rawDigest(raw.curve, request.from);
    const chains = new Set(acts.map((act) => this.#chainOf(act)));
    const [chain] = chains;
    if (chain === undefined || chains.size > 1) throw wrong("expected all operations on one chain");
    const native = this.#policy.registry.nativeOf.get(chain);
    if (!native) throw wrong(`expected a chain of the registry, found ${quoted(chain)}`);
    const account = this.#madeUp(chain, `key ${request.from}`, this.#policy.client);
    return {
      chain,
      account,
      operations: acts.map((act) => this.#operation(act, chain, account)),
      fee: { asset: native.symbol, max: parseAmount(request.fee ?? "0", native.decimals) },
      claims: [],
    };
  }

  /** As the vault reads one: on no chain, at no fee. */
  #rawDigest(curve: string, key: string): Intent {
    const account = this.#madeUp(rawChain(curve), `key ${key}`, this.#policy.client);
    return intentOfRawDigest(new Uint8Array(32), account);
  }

  #operation(act: Act, chain: ChainId, account: Account): Operation {
    const at = (word: string) => this.#account(word, chain);
    const from = (word: string | undefined) => (word === undefined ? account : at(word));
    if (act.transfer) {
      const { asset, amount, to } = act.transfer;
      return {
        kind: "transfer",
        asset: asset as AssetSymbol,
        from: from(act.transfer.account),
        to: at(to),
        amount: this.#amount(asset, amount),
      };
    }
    if (act.allowance) return this.#allowance(act.allowance, from(act.allowance.account), at(act.allowance.to));
    if (act.call) {
      const { method, to, decoded, arguments: given = {} } = act.call;
      const selector = method.startsWith("0x") ? method : selectorOf(method);
      const content = decoded ? { method: { signature: method, arguments: given } } : {};
      return { kind: "call", from: from(act.call.account), to: at(to), selector, ...content };
    }
    if (act.govern)
      return { kind: "govern", from: from(act.govern.account), to: at(act.govern.to), method: act.govern.method };
    if (act.delegate) return { kind: "delegate", from: account, to: at(act.delegate.to) };
    if (act.message) return { kind: "message", from: account, format: act.message.format };
    if (act.typedData)
      return {
        kind: "typed-data",
        from: account,
        domain: act.typedData.domain,
        primaryType: act.typedData.primaryType,
      };
    return { kind: "deploy", from: account };
  }

  #allowance({ asset, amount }: NonNullable<Act["allowance"]>, from: Account, to: Account): Operation {
    const common = { kind: "allowance", asset: asset as AssetSymbol, from, to } as const;
    return amount === "unlimited"
      ? { ...common, amount: (1n << 256n) - 1n, unlimited: true }
      : { ...common, amount: this.#amount(asset, amount) };
  }

  #amount(symbol: string, text: string): bigint {
    return parseAmount(text, this.#asset(symbol).decimals);
  }

  #asset(symbol: string) {
    const asset = this.#policy.registry.bySymbol.get(symbol as AssetSymbol);
    if (!asset) throw wrong(`expected an asset of the registry, found ${quoted(symbol)}`);
    return asset;
  }

  /** An asset or a chain says it; else the destination has to be on one chain. */
  #chainOf(act: Act): ChainId {
    const moved = act.transfer ?? act.allowance;
    if (moved) return this.#asset(moved.asset).chain;
    const said = Object.values(act).find(
      (part) => typeof part === "object" && "chain" in part && part.chain !== undefined,
    ) as { chain: string } | undefined;
    if (said) return said.chain as ChainId;
    const word = (act.call ?? act.delegate ?? act.govern)?.to ?? "";
    const chains = new Set(this.#named(word).map(chainOf));
    const [only] = chains;
    if (only === undefined || chains.size > 1) throw wrong(`expected a \`chain\` beside \`to: ${word}\``);
    return only;
  }

  #account(word: string, chain: ChainId): Account {
    const [kind, name] = word.split(":");
    if (word === "own") return this.#madeUp(chain, "own", this.#policy.client);
    if (word === "house") return this.#madeUp(chain, "house", HOUSE);
    if (kind === "client") return this.#madeUp(chain, word, name as ClientId);
    const account = this.#named(word).find((known) => chainOf(known) === chain);
    if (!account) throw wrong(`expected an address book name with an address on \`${chain}\`, found ${quoted(word)}`);
    return account;
  }

  #named(word: string): readonly Account[] {
    if (word.startsWith("eip155:")) return [word as Account];
    return this.accountsOf(word);
  }

  accountsOf(name: string): readonly Account[] {
    return [...this.#policy.addresses].filter(([, known]) => known.names.includes(name)).map(([account]) => account);
  }

  #madeUp(chain: ChainId, what: string, owner: ClientId): Account {
    const account = madeUpAccount(chain, what);
    this.owners.set(account, owner);
    return account;
  }
}

/** Lower case, as no account of a checked document is: it can be none of them. */
export const madeUpAccount = (chain: ChainId, what: string): Account =>
  `${chain}:0x${[0, 1, 2, 3, 4].map((part) => selectorOf(`${part} ${what}`).slice(2)).join("")}` as Account;

const wrong = (message: string) => new GatewayError("test-invalid", message);

/** What holds for a document that is tested without the house's. */
export const NO_HOUSE: CompiledHouse = {
  of: "house",
  version: 0,
  hash: "none",
  registry: { bySymbol: new Map(), nativeOf: new Map(), byContract: new Map() },
  callers: new Map(),
  addresses: new Map(),
  allows: [],
  denies: [],
  allowIndex: EMPTY_INDEX,
  denyIndex: EMPTY_INDEX,
  limits: [],
  fees: new Map(),
  policyQuorum: 1,
  policyDelayMs: 0,
};
