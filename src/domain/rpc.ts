/*
 * Ethereum JSON-RPC as it is spoken here: what the vault answers, what the edge passes on to a chain node, and the codes
 * of errors. Shared by vault, edge and proxy.
 */

/** One call of a body. */
export type RpcCall = {
  readonly id: string | number | null;
  readonly method: string;
  readonly params: readonly unknown[];
};

/** What needs a client's keys, or is a fact of theirs: answered and signed by the vault. */
export const VAULT_METHODS = [
  "eth_accounts",
  "eth_requestAccounts",
  "eth_chainId",
  "net_version",
  "eth_signTransaction",
  "eth_sendTransaction",
  "eth_signTypedData_v4",
  "personal_sign",
  "eth_sign",
  "portcullis_resume",
] as const;
export type VaultMethod = (typeof VAULT_METHODS)[number];

export const isVaultMethod = (method: string): method is VaultMethod =>
  (VAULT_METHODS as readonly string[]).includes(method);

/**
 * What a chain node is asked for others: it reads. Nothing else is passed on, nor transactions that were signed elsewhere:
 * the gateway would stand as their sender towards its node (decision 75).
 */
export const NODE_METHODS: ReadonlySet<string> = new Set([
  "eth_blockNumber",
  "eth_call",
  "eth_estimateGas",
  "eth_feeHistory",
  "eth_gasPrice",
  "eth_getBalance",
  "eth_getBlockByHash",
  "eth_getBlockByNumber",
  "eth_getBlockTransactionCountByHash",
  "eth_getBlockTransactionCountByNumber",
  "eth_getCode",
  "eth_getLogs",
  "eth_getProof",
  "eth_getStorageAt",
  "eth_getTransactionByBlockHashAndIndex",
  "eth_getTransactionByBlockNumberAndIndex",
  "eth_getTransactionByHash",
  "eth_getTransactionCount",
  "eth_getTransactionReceipt",
  "eth_maxPriorityFeePerGas",
  "eth_blobBaseFee",
  "eth_syncing",
  "web3_clientVersion",
]);

/**
 * Codes of EIP-1474 and JSON-RPC 2.0. Clients repeat by themselves on some of them (viem: -32005, -32603 and others), so
 * what must not be repeated has a code on which nobody does.
 */
export const RPC_ERROR = {
  methodNotFound: -32601,
  invalidParams: -32602,
  /** Needs people: `data.requestId`; `portcullis_resume` goes on. */
  approvalNeeded: -32002,
  /** Denied, or a duplicate. */
  rejected: -32003,
  /** For now: the same call again is the same request. */
  later: -32005,
} as const;

/** Of fields that a signed body left out, as a chain node says; `0x` quantities. Never believed above the policy's fee cap. */
export type Assist = {
  readonly gas?: string;
  readonly gasPrice?: string;
  readonly maxFeePerGas?: string;
  readonly maxPriorityFeePerGas?: string;
  /** Transactions of the account that the chain knows: where counting begins for one that the vault knows nothing of. */
  readonly nonce?: string;
};

/** For a request that goes on: which chain it is for, the vault knows. */
export type PricesByChain = Readonly<Record<string, Assist>>;

/** A transaction as a node is asked about it: what its caller left out of it is not there. */
export type Wanted = { readonly chain: string; readonly transaction: Readonly<Record<string, unknown>> };

/** A transaction that the vault has signed, for the edge to hand to the chain. */
export type Broadcast = { readonly chain: string; readonly raw: string };
