import type { Account, AssetSymbol, ChainId } from "./chain.ts";

/**
 * What a payload would do, decoded from its bytes and from nothing else.
 * An intent without operations is never allowed.
 */
export type Intent = {
  readonly chain: ChainId;
  /** The address of the key that signs. */
  readonly account: Account;
  readonly operations: readonly Operation[];
  /** The most that the bytes permit to be paid for execution, in the chain's native asset. */
  readonly fee: { readonly asset: AssetSymbol; readonly max: bigint };
  /** What the chain lets be used once only: authorized once (I12). */
  readonly claims: readonly Claim[];
};

export const OPERATION_KINDS = [
  "transfer",
  "allowance",
  "call",
  "deploy",
  "delegate",
  "govern",
  "message",
  "typed-data",
  "raw-digest",
] as const;
export type OperationKind = (typeof OPERATION_KINDS)[number];

/** Kinds of `message`; the last one nobody can read. */
export const MESSAGE_FORMATS = ["text", "siwe", "control", "anchor", "opaque"] as const;
export type MessageFormat = (typeof MESSAGE_FORMATS)[number];

/**
 * Amounts are in the asset's smallest unit. `from` is the key's own account or the account that acts through it.
 * Other numbers are decimal texts: they are compared and shown, never added up.
 */
export type Operation =
  | {
      readonly kind: "transfer";
      readonly asset: AssetSymbol;
      readonly from: Account;
      readonly to: Account;
      readonly amount: bigint;
      /** Which one, where the asset is a collection (ERC-721, ERC-1155). */
      readonly tokenId?: string;
    }
  | {
      readonly kind: "allowance";
      readonly asset: AssetSymbol;
      readonly from: Account;
      /** The spender. */
      readonly to: Account;
      /** The full new allowance. */
      readonly amount: bigint;
      /** Written where the standard gives the greatest value a meaning of its own: exceeds every cap. */
      readonly unlimited?: true;
      /** The one item that it is for (ERC-721 `approve`); without it an allowance on a collection is for all of it. */
      readonly tokenId?: string;
      /**
       * Where the bytes say a change and not the result: by how much, `-` for less. More on top of an unknown sum is
       * `unlimited`; less grants nothing, so `amount` is 0.
       */
      readonly change?: string;
      /** When the spender can no longer use it, seconds since 1970. */
      readonly validUntil?: string;
    }
  | {
      readonly kind: "call";
      readonly from: Account;
      readonly to: Account;
      readonly selector: string;
      /** Present only where the registry pins the contract's ABI. */
      readonly method?: { readonly signature: string; readonly arguments: Readonly<Record<string, string>> };
    }
  | {
      readonly kind: "deploy";
      readonly from: Account;
      /** The account that the contract will have. */
      readonly creates?: Account;
      /** Keccak of the init code. */
      readonly codeHash?: string;
    }
  | { readonly kind: "delegate"; readonly from: Account; readonly to: Account }
  | {
      readonly kind: "govern";
      readonly from: Account;
      readonly to: Account;
      /** The canonical signature, e.g. `changeThreshold(uint256)`. */
      readonly method: string;
      readonly arguments?: Readonly<Record<string, string>>;
    }
  | {
      readonly kind: "message";
      readonly from: Account;
      readonly format: MessageFormat;
      /** What a person would read; absent where it is opaque. */
      readonly text?: string;
      /** The fields of a Sign-In with Ethereum message, by their names in EIP-4361. */
      readonly siwe?: Readonly<Record<string, string>>;
      /** What a proof of control says besides the account: `client`, `challenge`, `block`, `checkpoint`. */
      readonly control?: Readonly<Record<string, string>>;
      /** The checkpoint that a transaction writes to its chain: `origin`, `size`, `root`. */
      readonly anchor?: Readonly<Record<string, string>>;
    }
  | {
      readonly kind: "typed-data";
      readonly from: Account;
      readonly domain: Readonly<Record<string, string>>;
      readonly primaryType: string;
      /** Keccak of the encoded primary type: what a name alone does not say. */
      readonly typeHash?: string;
    }
  | { readonly kind: "raw-digest"; readonly from: Account; readonly digest?: string };

export type Claim = {
  readonly kind: "evm-nonce";
  readonly account: Account;
  readonly nonce: bigint;
  /** Digest of the EIP-7702 authorization that a transaction carries: what signed exactly that one may hold the claim. */
  readonly authorization?: string;
};

/** The identity of a claim in the store and in messages. */
export const claimId = (claim: Claim): string => `${claim.account}#${claim.nonce}`;

/** What `encodeJson` made of an intent, read again: amounts are numbers once more. Trusts its input: our own record. */
export function intentFromJson(json: unknown): Intent {
  const stored = json as Omit<Intent, "operations" | "fee" | "claims"> & {
    operations: Record<string, unknown>[];
    fee: { asset: AssetSymbol; max: string };
    claims: { kind: "evm-nonce"; account: Account; nonce: string }[];
  };
  return {
    ...stored,
    operations: stored.operations.map(
      (operation) =>
        ("amount" in operation
          ? { ...operation, amount: BigInt(operation["amount"] as string) }
          : operation) as Operation,
    ),
    fee: { ...stored.fee, max: BigInt(stored.fee.max) },
    claims: stored.claims.map((claim) => ({ ...claim, nonce: BigInt(claim.nonce) })),
  };
}
