import type { Json } from "../../domain/json.ts";

/*
 * Bodies of the OpenAPI document's examples, by operation. A test sends each of them to a vault with the demo's names, and
 * each is answered as it says.
 */

const TRANSFER: Json = {
  type: "evm-transaction",
  transaction: {
    to: "0x2222222222222222222222222222222222222222",
    value: "1000000",
    gas: "21000",
    maxFeePerGas: "30",
    maxPriorityFeePerGas: "1",
  },
};

export const EXAMPLES: Readonly<Record<string, Readonly<Record<string, Json>>>> = {
  postClientsClientSigningRequests: {
    "a transfer, as fields: the nonce is the gateway's to count": {
      key: "hot-1",
      payload: TRANSFER,
      reference: "withdrawal 4711",
    },
    "a transfer, as bytes that are nobody's to change": {
      key: "hot-1",
      payload: {
        type: "evm-transaction",
        unsigned: "0x02e6827a698203e8011e825208942222222222222222222222222222222222222222830f424080c0",
      },
      notAfter: "2099-12-31T23:59:59Z",
    },
  },
  postClientsClientSigningRequestsBatch: {
    "two withdrawals under one signature": {
      requests: [
        { key: "hot-1", payload: TRANSFER, reference: "withdrawal 4712" },
        { key: "hot-1", payload: TRANSFER, reference: "withdrawal 4713" },
      ],
    },
  },
  postRpcClient: { "which accounts are there?": { jsonrpc: "2.0", id: 1, method: "eth_accounts" } },
  postClientsClientEvaluations: { "what would be decided?": { key: "hot-1", payload: TRANSFER } },
  postClientsClientFreeze: { "one key": { key: "hot-1", reason: "the service that uses it behaves oddly" } },
  postClientsClientKeys: {
    "a key on two chains": { name: "hot-2", chains: ["eip155:1", "eip155:31337"] },
    "a key for raw digests and nothing else": { name: "attest-1", purpose: "raw", curve: "ed25519" },
  },
  postClients: { "a client with a token of its own": { client: "blue-fund" } },
};
