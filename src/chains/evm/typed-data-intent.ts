import type { AssetRegistry } from "../../domain/assets.ts";
import { chainOf, evmChain, type Account } from "../../domain/chain.ts";
import { GatewayError } from "../../domain/errors.ts";
import type { Intent, Operation } from "../../domain/intent.ts";
import { toHex } from "./bytes.ts";
import { allowance, allowanceOnAll, transfer } from "./calls/amounts.ts";
import { forEach, permitted, type PermitDetails, type TokenAmount } from "./calls/permit2.ts";
import { safeOperations } from "./calls/safe.ts";
import type { Scene } from "./calls/meaning.ts";
import { Unfolding } from "./calls/unfold.ts";
import { typeHashOf, type TypedData, type TypedValue } from "./typed-data.ts";

/**
 * What others can do with a signature over typed data. It has a meaning where two things hold: its type hash is one that
 * a standard defines, and its domain names a contract that the registry pins as one of that standard. All else is
 * `typed-data`, whose effect nobody here knows.
 * @throws {GatewayError} `wrong-chain` if the domain names another chain; `unknown-chain`; for a Safe's transaction all
 * that its call can be refused for
 */
export function intentOfTypedData(data: TypedData, account: Account, registry: AssetRegistry): Intent {
  requireChain(data, account);
  const scene = new Unfolding(registry, account, false);
  return {
    chain: chainOf(account),
    account,
    operations: meaningOf(data, account, scene) ?? [unknown(data, account)],
    fee: { asset: scene.native.symbol, max: 0n },
    claims: [],
  };
}

function requireChain({ domain }: TypedData, account: Account): void {
  const { chainId } = domain;
  if (chainId === undefined || evmChain(BigInt(chainId)) === chainOf(account)) return;
  throw new GatewayError("wrong-chain", `expected typed data for \`${chainOf(account)}\`, found chain id ${chainId}`, {
    facts: { expected: chainOf(account), found: evmChain(BigInt(chainId)) },
  });
}

const unknown = (data: TypedData, account: Account): Operation => ({
  kind: "typed-data",
  from: account,
  domain: data.domain,
  primaryType: data.primaryType,
  typeHash: typeHashOf(data),
});

type TypedMeaning = (
  values: never,
  contract: Account,
  scene: Scene,
  signer: Account,
) => readonly Operation[] | undefined;

function meaningOf(data: TypedData, signer: Account, scene: Unfolding): readonly Operation[] | undefined {
  const { chainId, verifyingContract } = data.domain;
  // Without a chain in its domain one signature holds on every chain: nothing here says what it does there.
  if (chainId === undefined || verifyingContract === undefined) return undefined;
  const contract = scene.account(verifyingContract);
  const meaning = meaningAt(contract, data.encodedType, scene.registry);
  return meaning?.(data.message as never, contract, scene, signer);
}

function meaningAt(contract: Account, encodedType: string, registry: AssetRegistry): TypedMeaning | undefined {
  const standard = registry.byContract.get(contract)?.standard;
  const kind = registry.contracts?.get(contract)?.kind;
  if (standard === "erc20") return ERC20.get(encodedType);
  if (standard === "erc721") return ERC721.get(encodedType);
  if (kind === "safe") return SAFE.get(encodedType);
  if (kind === "permit2") return PERMIT2.get(encodedType) ?? witnessMeaning(encodedType);
  return undefined;
}

const meanings = (table: Readonly<Record<string, TypedMeaning>>): ReadonlyMap<string, TypedMeaning> =>
  new Map(Object.entries(table));

/** Meanings are looked up by the asset at the contract: it is there. */
const assetAt = (contract: Account, scene: Scene) => scene.registry.byContract.get(contract)!;

/** EIP-3009: the two differ in who may send it. */
function authorizedTransfer(
  [from, to, value]: [string, string, bigint, ...TypedValue[]],
  contract: Account,
  scene: Scene,
): Operation[] {
  return [transfer(assetAt(contract, scene), scene.account(from), scene.account(to), value)];
}
const AUTHORIZATION = "(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)";

const ERC20 = meanings({
  // EIP-2612.
  "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)": (
    [owner, spender, value]: [string, string, bigint],
    contract,
    scene,
  ) => [allowance(assetAt(contract, scene), scene.account(owner), scene.account(spender), value)],
  // DAI's, from before EIP-2612.
  "Permit(address holder,address spender,uint256 nonce,uint256 expiry,bool allowed)": (
    [holder, spender, , , allowed]: [string, string, bigint, bigint, boolean],
    contract,
    scene,
  ) => [allowanceOnAll(assetAt(contract, scene), scene.account(holder), scene.account(spender), allowed)],
  [`TransferWithAuthorization${AUTHORIZATION}`]: authorizedTransfer,
  [`ReceiveWithAuthorization${AUTHORIZATION}`]: authorizedTransfer,
});

const ERC721 = meanings({
  // EIP-4494. It does not say whose item it is: it counts if the signer may approve it.
  "Permit(address spender,uint256 tokenId,uint256 nonce,uint256 deadline)": (
    [spender, tokenId]: [string, bigint],
    contract,
    scene,
    signer,
  ) => [allowance(assetAt(contract, scene), signer, scene.account(spender), 1n, { tokenId: `${tokenId}` })],
});

const DETAILS = "PermitDetails(address token,uint160 amount,uint48 expiration,uint48 nonce)";
const TOKEN = "TokenPermissions(address token,uint256 amount)";

/** A signature transfer is an allowance that can be used once: any part of the amount, to whomever the spender likes. */
const once = (scene: Scene, signer: Account, spender: string, deadline: bigint, tokens: readonly TokenAmount[]) =>
  forEach(tokens, ([token, amount]) => {
    const asset = scene.registry.byContract.get(scene.account(token));
    if (asset?.standard !== "erc20") return undefined;
    return allowance(asset, signer, scene.account(spender), amount, { validUntil: `${deadline}` });
  });

type Once<Tokens> = [permitted: Tokens, spender: string, nonce: bigint, deadline: bigint, ...rest: TypedValue[]];
const single: TypedMeaning = ([token, spender, , deadline]: Once<TokenAmount>, _contract, scene, signer) =>
  once(scene, signer, spender, deadline, [token]);
const batch: TypedMeaning = ([tokens, spender, , deadline]: Once<TokenAmount[]>, _contract, scene, signer) =>
  once(scene, signer, spender, deadline, tokens);

/** Source: Uniswap/permit2, PermitHash.sol. */
const PERMIT2 = meanings({
  [`PermitSingle(PermitDetails details,address spender,uint256 sigDeadline)${DETAILS}`]: (
    [details, spender]: [PermitDetails, string],
    _contract,
    scene,
    signer,
  ) => forEach([details], (item) => permitted(scene, signer, spender, item)),
  [`PermitBatch(PermitDetails[] details,address spender,uint256 sigDeadline)${DETAILS}`]: (
    [details, spender]: [PermitDetails[], string],
    _contract,
    scene,
    signer,
  ) => forEach(details, (item) => permitted(scene, signer, spender, item)),
  [`PermitTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline)${TOKEN}`]: single,
  [`PermitBatchTransferFrom(TokenPermissions[] permitted,address spender,uint256 nonce,uint256 deadline)${TOKEN}`]:
    batch,
});

/**
 * The same with a witness: one more member of any type, which binds the spender and not what it may take.
 * `)TokenPermissions(…)` can only be a definition: members of a struct have no brackets.
 */
function witnessMeaning(encodedType: string): TypedMeaning | undefined {
  const [primary = ""] = encodedType.split(")", 1);
  const members = primary.split(",").length;
  if (members !== 5 || !encodedType.includes(`)${TOKEN}`)) return undefined;
  const stub = "address spender,uint256 nonce,uint256 deadline,";
  if (primary.startsWith(`PermitWitnessTransferFrom(TokenPermissions permitted,${stub}`)) return single;
  if (primary.startsWith(`PermitBatchWitnessTransferFrom(TokenPermissions[] permitted,${stub}`)) return batch;
  return undefined;
}

/** Source: safe-smart-account, Safe.sol SAFE_TX_TYPEHASH, CompatibilityFallbackHandler.sol SAFE_MSG_TYPEHASH. */
const SAFE = meanings({
  "SafeTx(address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 baseGas,uint256 gasPrice,address gasToken,address refundReceiver,uint256 nonce)":
    (
      [to, value, data, operation, safeTxGas, baseGas, gasPrice, gasToken, refundReceiver]: [
        string,
        bigint,
        Uint8Array,
        bigint,
        bigint,
        bigint,
        bigint,
        string,
        string,
      ],
      contract,
      scene,
    ) =>
      safeOperations(
        contract,
        { to, value, data, operation, safeTxGas, baseGas, gasPrice, gasToken, refundReceiver },
        scene,
      ),
  // A Safe's own signature (EIP-1271) over what may be any hash: an order, a permit, another Safe's transaction.
  "SafeMessage(bytes message)": ([message]: [Uint8Array], contract) => [
    { kind: "raw-digest", from: contract, ...(message.length === 32 ? { digest: toHex(message) } : {}) },
  ],
});
