import { randomBytes } from "node:crypto";
import { evmAccount, addressOfPublicKey } from "../chains/evm/address.ts";
import { evmChainId, type ChainId } from "../domain/chain.ts";
import { GatewayError } from "../domain/errors.ts";
import { RESERVED_NAMES, type CallerName, type ClientId, type KeyName } from "../domain/names.ts";
import type { Directory, Pins } from "./directory.ts";
import { appendLeaf } from "./log.ts";
import type { ClientRow, Hsm, KeyRow, Store } from "./ports.ts";

/* What an operator does: clients and their keys. Each act is one leaf. */

export type ClientDependencies = {
  readonly store: Store;
  readonly hsm: Hsm;
  readonly directory: Directory;
  readonly pins: Pins;
};

/** 128 random bits and more: no PIN of a token is ever thought up by a person. */
export const randomPin = (): string => randomBytes(18).toString("base64url");

/**
 * One client, one token (I2). The PIN is written before the token is made: a token whose PIN is lost would be lost.
 * @throws {GatewayError} `client-exists`, `reserved-name`, `token-exists`, `hsm-unavailable`
 */
export async function addClient(
  { store, hsm, directory, pins }: ClientDependencies,
  id: ClientId,
  by: CallerName,
): Promise<ClientRow> {
  if ((RESERVED_NAMES as readonly string[]).includes(id)) {
    throw new GatewayError(
      "reserved-name",
      `expected a name of its own, found \`${id}\`, which the gateway uses itself`,
    );
  }
  if (directory.find(id)) throw new GatewayError("client-exists", `client \`${id}\` exists already`);
  const pin = randomPin();
  await pins.write(id, pin);
  const token = await hsm.createToken(id, pin);
  const row: ClientRow = { id, owner: "client", status: "active", token, saltKey: randomBytes(32) };
  await store.write(async (transaction) => {
    await transaction.insertClient(row);
    await appendLeaf(transaction, row, "client-added", { owner: row.owner, token, by });
  });
  await directory.refreshClient(id);
  return row;
}

/**
 * Has the client's token make a key pair (I1), which lives on these chains for ever (I14).
 * @throws {GatewayError} `key-exists`, `key-refused` with the attribute, `hsm-unavailable`
 */
export async function createKey(
  { store, directory }: ClientDependencies,
  client: ClientId,
  wanted: { name: KeyName; chains: readonly ChainId[]; purpose: KeyRow["purpose"] },
  by: CallerName,
): Promise<KeyRow> {
  const { row: owner, token, tokenError, keys } = directory.get(client);
  if (!token) throw tokenError!;
  if (keys.has(wanted.name))
    throw new GatewayError("key-exists", `client \`${client}\` has a key \`${wanted.name}\` already`);
  const { key, attributes } = await token.generateKey(wanted.name, "secp256k1");
  const address = addressOfPublicKey(key.publicKey);
  const chains = [...new Set(wanted.chains)];
  const accounts = chains.map((chain) => evmAccount(evmChainId(chain)!, address));
  const row = await store.write(async (transaction): Promise<KeyRow> => {
    const { index } = await appendLeaf(transaction, owner, "key-created", {
      key: wanted.name,
      id: key.id,
      curve: key.curve,
      purpose: wanted.purpose,
      publicKey: Buffer.from(key.publicKey).toString("hex"),
      chains,
      accounts,
      attributes,
      by,
    });
    const { id, curve, publicKey } = key;
    const created: KeyRow = {
      client,
      name: wanted.name,
      id,
      curve,
      purpose: wanted.purpose,
      publicKey,
      chains,
      accounts,
      state: "active",
      leaf: index,
    };
    await transaction.insertKey(created);
    return created;
  });
  await directory.refreshClient(client);
  return row;
}
