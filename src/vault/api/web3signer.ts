import { z } from "zod";
import { decodeUnsigned } from "../../chains/evm/transaction.ts";
import { Hex, type Payload } from "../../domain/api.ts";
import { addressOf } from "../../domain/chain.ts";
import { GatewayError } from "../../domain/errors.ts";
import type { KeyRow, StoreReader } from "../ports.ts";
import { readRecord } from "../record.ts";
import { sign } from "../sign.ts";
import { submissionFor, type Asked } from "./asked-again.ts";
import { answerOf, shownAt } from "./rest.ts";
import type { Answer, Call } from "./routes.ts";

/*
 * The paths of Web3Signer's ETH1 API. They name no client: whose keys these are is said by the caller, who is declared in
 * one client's policy. The signature is over the Keccak of `data`, so only what can be read as a whole is signed.
 */

export const Web3SignerBody = z.object({ data: Hex });

const TEXT = { "content-type": "text/plain; charset=utf-8" };

/** As Web3Signer writes it: x ‖ y, without the byte that says so. */
const shownKey = ({ publicKey }: KeyRow): string => `0x${Buffer.from(publicKey).subarray(1).toString("hex")}`;

const signingKeys = async (reader: StoreReader, client: Call["client"]): Promise<KeyRow[]> =>
  (await reader.keys(client)).filter(
    ({ state, purpose, curve }) => state === "active" && purpose === "transactions" && curve === "secp256k1",
  );

export async function listPublicKeys({ gateway, client }: Call): Promise<Answer> {
  const keys = await gateway.store.read((reader) => signingKeys(reader, client));
  return { status: 200, body: keys.map(shownKey) };
}

/** @throws {GatewayError} `key-not-found`, `raw-digest-refused` */
export async function postEth1Sign(call: Call<z.infer<typeof Web3SignerBody>>): Promise<Answer> {
  const { gateway, parameters, body } = call;
  const key = await keyNamed(call, parameters["identifier"]!);
  const request = { key: key.name, payload: payloadOf(body.data, key) };
  const { submission } = (await submissionFor({ call, method: "eth1/sign", body: request, repeatable: true })) as Asked;
  const row = await sign(gateway, submission);
  gateway.changed.notify(row);
  const { result } = readRecord(row);
  if (result) return { status: 200, body: Buffer.from(result.signature), headers: TEXT };
  // Not signed: the same answer as over REST, with its status.
  return answerOf(row, await shownAt(gateway, row));
}

/** By public key, with or without the byte that says that it is uncompressed, or by address. */
async function keyNamed({ gateway, client }: Call, identifier: string): Promise<KeyRow> {
  const wanted = identifier.toLowerCase().replace(/^0x/, "");
  const keys = await gateway.store.read((reader) => signingKeys(reader, client));
  const names = (key: KeyRow): string[] => {
    const whole = Buffer.from(key.publicKey).toString("hex");
    return [whole, whole.slice(2), ...key.accounts.map((account) => addressOf(account).slice(2).toLowerCase())];
  };
  const found = keys.find((key) => names(key).includes(wanted));
  if (found) return found;
  throw new GatewayError("key-not-found", `expected a key of client \`${client}\`, found none with this identifier`);
}

const PREFIX = Buffer.from("\x19Ethereum Signed Message:\n", "latin1");

/** Everything of `data`, or nothing: one unsigned transaction in its one encoding, or one EIP-191 message. */
function payloadOf(data: string, { chains }: KeyRow): Payload {
  const bytes = Buffer.from(data.slice(2), "hex");
  if (bytes.subarray(0, PREFIX.length).equals(PREFIX)) {
    const [, digits] = /^(0|[1-9][0-9]{0,5})/.exec(bytes.toString("latin1", PREFIX.length, PREFIX.length + 6)) ?? [];
    for (let length = digits?.length ?? 0; length > 0; length -= 1) {
      const message = bytes.subarray(PREFIX.length + length);
      if (digits!.slice(0, length) !== String(message.length)) continue;
      const chain = chains.length > 1 ? { chain: chains[0]! } : {};
      return { type: "evm-message", message: `0x${message.toString("hex")}`, ...chain };
    }
    throw refused();
  }
  try {
    decodeUnsigned(bytes);
  } catch (error) {
    if (error instanceof GatewayError) throw refused();
    throw error;
  }
  return { type: "evm-transaction", unsigned: data };
}

const refused = (): GatewayError =>
  new GatewayError(
    "raw-digest-refused",
    "expected one unsigned transaction or one EIP-191 message as the whole of `data`",
    {
      hint: "what cannot be read is a raw digest, and is not signed here",
    },
  );
