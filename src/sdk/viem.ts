import {
  getTypesForEIP712Domain,
  serializeTransaction,
  type Address,
  type Hex,
  type SignableMessage,
  type TypedDataDefinition,
} from "viem";
import { toAccount } from "viem/accounts";
import { asJson, GatewayAccount, messageBytes, type AccountOptions } from "./account.ts";
import type { GatewayClient } from "./client.ts";

export { ApprovalNeededError, type AccountOptions } from "./account.ts";

/**
 * A key of the gateway as a viem account, for `createWalletClient({ account, chain, transport })`: viem fills nonce, gas
 * and fees, the gateway decides and signs, viem broadcasts.
 * @throws {GatewayError} `key-not-found`; what the gateway refuses
 */
export async function viemAccount(gateway: GatewayClient, options: AccountOptions) {
  const account = await GatewayAccount.open(gateway, options);
  return toAccount({
    address: account.address as Address,
    signTransaction: async (transaction, { serializer = serializeTransaction } = {}) => {
      // Each chain has its own type of transaction in viem; what the gateway does not know, it refuses.
      const unsigned = (serializer as typeof serializeTransaction)(transaction as never);
      return (await account.sign({ type: "evm-transaction", unsigned })).signedTransaction as Hex;
    },
    signMessage: async ({ message }) =>
      (await account.sign({ type: "evm-message", message: bytesOf(message) })).signature as Hex,
    signTypedData: async (definition) => {
      const { types, domain = {}, primaryType, message } = definition as TypedDataDefinition;
      const whole = {
        types: { EIP712Domain: getTypesForEIP712Domain({ domain }), ...types },
        domain,
        primaryType,
        message,
      };
      return (await account.sign({ type: "evm-typed-data", typedData: asJson(whole) })).signature as Hex;
    },
  });
}

const bytesOf = (message: SignableMessage): string => {
  if (typeof message === "string") return messageBytes(message);
  return typeof message.raw === "string" ? message.raw : messageBytes(message.raw);
};
