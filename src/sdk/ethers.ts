import {
  AbstractSigner,
  copyRequest,
  resolveAddress,
  Transaction,
  TypedDataEncoder,
  type Provider,
  type TransactionLike,
  type TransactionRequest,
  type TypedDataDomain,
  type TypedDataField,
} from "ethers";
import { GatewayAccount, messageBytes, type AccountOptions } from "./account.ts";
import type { GatewayClient } from "./client.ts";

export { ApprovalNeededError, type AccountOptions } from "./account.ts";

/**
 * A key of the gateway as an ethers signer. With a provider it fills nonce, gas and fees and broadcasts.
 * @throws {GatewayError} `key-not-found`; what the gateway refuses
 */
export async function ethersSigner(
  gateway: GatewayClient,
  options: AccountOptions,
  provider?: Provider,
): Promise<GatewaySigner> {
  return new GatewaySigner(await GatewayAccount.open(gateway, options), provider);
}

export class GatewaySigner extends AbstractSigner {
  readonly #account: GatewayAccount;

  constructor(account: GatewayAccount, provider?: Provider) {
    super(provider);
    this.#account = account;
  }

  override connect(provider: Provider): GatewaySigner {
    return new GatewaySigner(this.#account, provider);
  }

  override async getAddress(): Promise<string> {
    return this.#account.address;
  }

  /** @param request whole: `populateTransaction` fills what is missing */
  override async signTransaction(request: TransactionRequest): Promise<string> {
    const { from, to, ...rest } = await this.#resolved(request);
    if (from !== this.#account.address) throw new Error(`expected a transaction from ${this.#account.address}`);
    const unsigned = Transaction.from({ ...rest, to } as TransactionLike<string>).unsignedSerialized;
    return (await this.#account.sign({ type: "evm-transaction", unsigned })).signedTransaction!;
  }

  override async signMessage(message: string | Uint8Array): Promise<string> {
    return (await this.#account.sign({ type: "evm-message", message: messageBytes(message) })).signature;
  }

  override async signTypedData(
    domain: TypedDataDomain,
    types: Record<string, TypedDataField[]>,
    value: Record<string, unknown>,
  ): Promise<string> {
    const typedData: unknown = TypedDataEncoder.getPayload(domain, types, value);
    return (await this.#account.sign({ type: "evm-typed-data", typedData })).signature;
  }

  /** Names become addresses, where a provider knows them. A `Transaction` has its fields behind getters. */
  async #resolved(request: TransactionRequest) {
    const { from, to, ...rest } = copyRequest(request);
    const address = async (given: TransactionRequest["to"]) =>
      given === undefined || given === null ? undefined : resolveAddress(given, this.provider);
    return { ...rest, from: (await address(from)) ?? this.#account.address, to: await address(to) };
  }
}
