import type { Asset, AssetRegistry, ContractKind, PinnedContract } from "../../../domain/assets.ts";
import { evmChainId, chainOf, type Account } from "../../../domain/chain.ts";
import { GatewayError } from "../../../domain/errors.ts";
import type { Operation } from "../../../domain/intent.ts";
import { compileFunction, decodeArguments, type CompiledFunction } from "../abi.ts";
import { evmAccount } from "../address.ts";
import { transfer } from "./amounts.ts";
import { namedArguments } from "./arguments.ts";
import { MULTICALL, MULTICALL3 } from "./batches.ts";
import { GOVERN } from "./govern.ts";
import { selectorOf, undecodedCall, type Call, type Meanings, type Scene } from "./meaning.ts";
import { PERMIT2 } from "./permit2.ts";
import { SAFE } from "./safe.ts";
import { ERC1155, ERC20, ERC721, WETH } from "./tokens.ts";

const NOTHING: Meanings = new Map();

const BY_STANDARD: Readonly<Record<Asset["standard"], Meanings>> = {
  native: NOTHING,
  erc20: ERC20,
  erc721: ERC721,
  erc1155: ERC1155,
};

/** A MultiSend has a meaning where a Safe delegates to it, and none where it is called. */
const BY_KIND: Readonly<Record<ContractKind, Meanings>> = {
  weth: WETH,
  permit2: PERMIT2,
  multicall: MULTICALL,
  multicall3: MULTICALL3,
  safe: SAFE,
  multisend: NOTHING,
  "multisend-call-only": NOTHING,
  other: NOTHING,
};

/** A Safe that runs a MultiSend that runs another Safe has six; more than a person can follow is more than is signed. */
const MAX_DEPTH = 8;
const MAX_OPERATIONS = 256;

/** Unfolds the calls of one payload: what each does, at pinned contracts, in the order in which they run. */
export class Unfolding implements Scene {
  readonly registry: AssetRegistry;
  readonly native: Asset;
  readonly origin: Account | undefined;
  readonly #chainId: bigint;
  #depth = 0;

  /** @throws {GatewayError} `unknown-chain` if the registry does not know the account's chain */
  constructor(registry: AssetRegistry, account: Account, sends: boolean) {
    const chain = chainOf(account);
    const native = registry.nativeOf.get(chain);
    if (!native) {
      throw new GatewayError("unknown-chain", `expected \`${chain}\` in the asset registry, found nothing`, {
        hint: "name the chain's native asset in the asset registry",
      });
    }
    this.registry = registry;
    this.native = native;
    this.origin = sends ? account : undefined;
    this.#chainId = evmChainId(chain)!;
  }

  account(address: string): Account {
    return evmAccount(this.#chainId, address);
  }

  /** @throws {GatewayError} `call-too-deep`, `too-many-operations`, and what the strict decoding of arguments refuses */
  unfold(call: Call): readonly Operation[] {
    if (this.#depth >= MAX_DEPTH) {
      throw new GatewayError("call-too-deep", `expected calls nested at most ${MAX_DEPTH} deep, found more`);
    }
    this.#depth++;
    const operations = this.#operations(call);
    this.#depth--;
    if (operations.length > MAX_OPERATIONS) {
      throw new GatewayError(
        "too-many-operations",
        `expected at most ${MAX_OPERATIONS} operations, found ${operations.length}`,
      );
    }
    return operations;
  }

  /** Nothing sent and nothing said is a transfer of zero: how a stuck nonce is freed. */
  #operations(call: Call): readonly Operation[] {
    const ether = transfer(this.native, call.from, call.to, call.value);
    if (call.data.length === 0) return [ether];
    const inner = this.#meaning(call) ?? [undecodedCall(call)];
    if (call.value !== 0n) return [...inner, ether];
    return inner.length > 0 ? inner : [undecodedCall(call)];
  }

  /** A selector is four bytes of a hash: it means something at a pinned contract, by its kind, and nothing elsewhere. */
  #meaning(call: Call): readonly Operation[] | undefined {
    const asset = this.registry.byContract.get(call.to);
    const contract = this.registry.contracts?.get(call.to);
    if (!asset && !contract) return undefined;
    const selector = selectorOf(call.data);
    const meaning =
      (asset && BY_STANDARD[asset.standard].get(selector)) ??
      (contract && BY_KIND[contract.kind].get(selector)) ??
      GOVERN.get(selector);
    if (meaning) return meaning.operations(call, decodeArguments(meaning.compiled, call.data), this);
    return contract && pinnedCall(call, contract, selector);
  }
}

/** A call of a function that the registry's ABI names: its arguments are facts, what it does is what the policy trusts. */
function pinnedCall(call: Call, contract: PinnedContract, selector: string): readonly Operation[] | undefined {
  const compiled = abiOf(contract).get(selector);
  if (!compiled) return undefined;
  const values = namedArguments(compiled.inputs, decodeArguments(compiled, call.data));
  const method = { signature: compiled.signature, arguments: values };
  return [{ kind: "call", from: call.from, to: call.to, selector, method }];
}

const compiledAbis = new WeakMap<PinnedContract, ReadonlyMap<string, CompiledFunction>>();

function abiOf(contract: PinnedContract): ReadonlyMap<string, CompiledFunction> {
  const known = compiledAbis.get(contract);
  if (known) return known;
  const made = new Map((contract.abi ?? []).map(compileFunction).map((compiled) => [compiled.selector, compiled]));
  compiledAbis.set(contract, made);
  return made;
}
