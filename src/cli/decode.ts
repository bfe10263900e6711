import { z } from "zod";
import { evmAccount } from "../chains/evm/address.ts";
import { encodeAuthorization, intentOfAuthorization } from "../chains/evm/authorization.ts";
import { completeTransaction, parseFields, parseUnsignedAuthorization } from "../chains/evm/fields.ts";
import { intentOf } from "../chains/evm/intent.ts";
import { intentOfMessage, messageBytes, messageDigest } from "../chains/evm/message.ts";
import { decodeUnsigned, encodeUnsigned, signingDigest } from "../chains/evm/transaction.ts";
import { intentOfTypedData } from "../chains/evm/typed-data-intent.ts";
import { parseTypedData } from "../chains/evm/typed-data.ts";
import type { Asset, AssetRegistry } from "../domain/assets.ts";
import { evmChainId, isRawChain, type Account, type AssetSymbol, type ChainId } from "../domain/chain.ts";
import { Hex } from "../domain/api.ts";
import { GatewayError } from "../domain/errors.ts";
import type { Intent } from "../domain/intent.ts";
import { intentOfRawDigest } from "../domain/raw.ts";
import { encodeJson } from "../domain/json.ts";
import { checkAccount } from "./policy-check.ts";
import { recoverPublicKey } from "./recover-key.ts";

/** One line of input: a payload, the chain that it is meant for, and who would sign it where that is known. */
const Line = z.strictObject({
  chain: z.string(),
  payload: z.discriminatedUnion("type", [
    z.strictObject({
      type: z.literal("evm-transaction"),
      unsigned: Hex.optional(),
      transaction: z.unknown().optional(),
    }),
    z.strictObject({ type: z.literal("evm-typed-data"), typedData: z.unknown() }),
    z.strictObject({ type: z.literal("evm-message"), message: z.string() }),
    z.strictObject({
      type: z.literal("evm-authorization"),
      chainId: z.union([z.string(), z.number()]),
      address: z.string(),
      nonce: z.union([z.string(), z.number()]),
    }),
    z.strictObject({ type: z.literal("raw-digest"), digest: Hex }),
  ]),
  account: z.string().optional(),
});
type Line = z.infer<typeof Line>;

/** Stands for whoever would sign, where the line does not say. */
const NOBODY = "0x0000000000000000000000000000000000000000";

/** @returns `{intent, digest}` or `{error}` as one line of JSON; never throws */
export function decodeLine(text: string, registry: AssetRegistry): string {
  try {
    const line = Line.parse(JSON.parse(text));
    return encodeJson(decodePayload(line, withNative(registry, line.chain as ChainId)));
  } catch (error) {
    const { code, message } =
      error instanceof GatewayError ? error : { code: "invalid-line", message: lineProblem(error) };
    return encodeJson({ error: { code, message } });
  }
}

const lineProblem = (error: unknown): string => {
  const issue = error instanceof z.ZodError ? error.issues[0] : undefined;
  return issue ? `\`${issue.path.join(".") || "line"}\`: ${issue.message}` : "expected one JSON object a line";
};

export function decodePayload(
  { chain, payload, account: written }: Line,
  registry: AssetRegistry,
): { intent: Intent; digest: string } {
  const hex = (bytes: Uint8Array) => `0x${Buffer.from(bytes).toString("hex")}`;
  if (payload.type === "raw-digest") {
    const digest = Buffer.from(payload.digest.slice(2), "hex");
    return { intent: intentOfRawDigest(digest, rawAccountOf(chain, written)), digest: hex(digest) };
  }
  const chainId = evmChainId(chain);
  if (chainId === undefined)
    throw new GatewayError("unknown-chain", `expected a chain such as \`eip155:1\`, found \`${chain}\``);
  const account = accountOf(chainId, written);
  switch (payload.type) {
    case "evm-transaction": {
      const unsigned =
        payload.unsigned === undefined
          ? fromFields(payload.transaction, chainId)
          : Buffer.from(payload.unsigned.slice(2), "hex");
      const intent = intentOf(decodeUnsigned(unsigned), account, registry, recoverPublicKey);
      return { intent, digest: hex(signingDigest(unsigned)) };
    }
    case "evm-typed-data": {
      const data = parseTypedData(payload.typedData);
      return { intent: intentOfTypedData(data, account, registry), digest: hex(data.digest32) };
    }
    case "evm-message": {
      const message = messageBytes(payload.message);
      return { intent: intentOfMessage(message, account, registry), digest: hex(messageDigest(message)) };
    }
    case "evm-authorization": {
      const authorization = parseUnsignedAuthorization(payload);
      const digest = signingDigest(encodeAuthorization(authorization));
      return { intent: intentOfAuthorization(authorization, account, registry), digest: hex(digest) };
    }
    default:
      return payload satisfies never;
  }
}

/** A digest says neither curve nor key: its line has to. */
function rawAccountOf(chain: string, written: string | undefined): Account {
  if (isRawChain(chain as ChainId) && written?.startsWith(`${chain}:`)) return written as Account;
  throw new GatewayError("unknown-chain", `expected the key's own \`account\` on a chain such as \`raw:p256\``);
}

const fromFields = (fields: unknown, chainId: bigint): Uint8Array =>
  encodeUnsigned(completeTransaction(parseFields(fields), { chainId }));

function accountOf(chainId: bigint, written: string | undefined): Account {
  if (written === undefined) return evmAccount(chainId, NOBODY);
  checkAccount(written);
  return written as Account;
}

/** A chain that the registry does not have still has a coin of its own: 18 decimals, as on every EVM chain. */
function withNative(registry: AssetRegistry, chain: ChainId): AssetRegistry {
  if (registry.nativeOf.has(chain)) return registry;
  const native: Asset = { symbol: "NATIVE" as AssetSymbol, chain, decimals: 18, standard: "native" };
  return { ...registry, nativeOf: new Map([...registry.nativeOf, [chain, native]]) };
}
