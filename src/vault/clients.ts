import { randomBytes, randomUUID } from "node:crypto";
import { evmAccount, addressOfPublicKey } from "../chains/evm/address.ts";
import { evmChainId, rawAccount, type ChainId } from "../domain/chain.ts";
import { GatewayError, quoted } from "../domain/errors.ts";
import { KeyName, RESERVED_NAMES, type CallerName, type ClientId } from "../domain/names.ts";
import { ceremonyOf, type Ceremony } from "./ceremony.ts";
import type { Directory } from "./directory.ts";
import { appendLeaf } from "./log.ts";
import { randomPin, type Pins } from "./pins.ts";
import type {
  ClientRow,
  Curve,
  Hsm,
  KeyAttributes,
  KeyRef,
  KeyRow,
  Store,
  StoreTransaction,
  TokenRef,
} from "./ports.ts";

/* What an operator does: clients and their keys. Each act is a leaf. */

export type ClientDependencies = {
  readonly store: Store;
  readonly hsm: Hsm;
  readonly directory: Directory;
  readonly pins: Pins;
  readonly newSoPin?: (label: string) => string | undefined;
};

/**
 * One client, one token (I2), made here: SoftHSM.
 * @throws {GatewayError} `client-exists`, `reserved-name`, `token-exists`, `hsm-unavailable`
 */
export async function addClient(
  { store, hsm, directory, pins, newSoPin }: ClientDependencies,
  id: ClientId,
  by: CallerName,
): Promise<ClientRow> {
  refuseTakenName(directory, id);
  const pin = randomPin();
  // Of a token that was made and not recorded the PIN is lost, and nothing with it: it has no key.
  const token = await hsm.createToken(id, pin, newSoPin?.(id));
  const row = newClient(id, token);
  const sealed = await pins.seal(id, token, pin);
  await store.write(async (transaction) => {
    await transaction.insertClient(row);
    await transaction.putPin(sealed);
    await appendLeaf(transaction, row, "client-added", { owner: row.owner, token, by });
  });
  await directory.refreshClient(id);
  return row;
}

export type Adoption = { readonly label: string; readonly pin: string; readonly chains: readonly ChainId[] };

type Adopted = { readonly key: KeyRef; readonly attributes: KeyAttributes };

/**
 * One client, one token (I2), made by the HSM's administrators: empty, or with keys that show what I1 asks. Its PIN is
 * replaced by one that no person knows, where the module can do that.
 * @returns also why the PIN that was given still stands
 * @throws {GatewayError} `token-not-found`, `token-in-use`, `pin-incorrect`, `key-refused` with the attribute
 */
export async function adoptClient(
  dependencies: ClientDependencies,
  id: ClientId,
  { label, pin, chains }: Adoption,
  by: CallerName,
): Promise<{ readonly row: ClientRow; readonly keys: KeyRow[]; readonly pinKept?: GatewayError }> {
  const { store, hsm, directory, pins } = dependencies;
  refuseTakenName(directory, id);
  const ref = await findToken(hsm, label);
  await refuseUsedToken(store, ref);
  const token = await hsm.openToken(ref, pin);
  const adopted = await token.adoptKeys();
  const row = newClient(id, ref);
  const sealed = await pins.seal(id, ref, pin);
  const ceremony = await ceremonyOf(hsm, token, "adopted");
  const keys = adopted.map((each) => adoptedKey(row, each, chains));
  await store.write(async (transaction) => {
    await transaction.insertClient(row);
    await transaction.putPin(sealed);
    await appendLeaf(transaction, row, "client-added", { owner: row.owner, token: ref, adopted: true, by });
    for (const [index, key] of keys.entries()) {
      await recordKey(transaction, row, key, { attributes: adopted[index]!.attributes, ceremony, by });
    }
  });
  const pinKept = await rotatePin(dependencies, row, by).then(
    () => undefined,
    (error: unknown) => error,
  );
  await directory.refreshClient(id);
  if (pinKept === undefined) return { row, keys };
  if (pinKept instanceof GatewayError) return { row, keys, pinKept };
  throw pinKept as Error;
}

/**
 * Gives the client's token a new random PIN.
 * @returns the PIN's version
 * @throws {GatewayError} `hsm-unavailable` where the outcome is unknown: called again it goes on
 */
export async function rotatePin(
  { hsm, pins }: Pick<ClientDependencies, "hsm" | "pins">,
  row: ClientRow,
  by: CallerName,
): Promise<number> {
  return pins.rotate(
    row.id,
    row.token,
    (pin, newPin) => hsm.changePin(row.token, pin, newPin),
    (transaction, version) => appendLeaf(transaction, row, "pin-changed", { token: row.token, version, by }),
  );
}

/** Takes the PIN that administrators have set with their own tool. @throws {GatewayError} `pin-incorrect` */
export async function setPin(
  { hsm, pins, directory, store }: ClientDependencies,
  row: ClientRow,
  pin: string,
  by: CallerName,
): Promise<number> {
  const version = await pins.replace(row.id, row.token, pin, (given) => hsm.openToken(row.token, given));
  await store.write((transaction) =>
    appendLeaf(transaction, row, "pin-changed", { token: row.token, version, given: true, by }),
  );
  await directory.refreshClient(row.id);
  return version;
}

/**
 * Has the client's token make a key pair (I1), which lives on these chains for ever (I14).
 * @throws {GatewayError} `key-exists`, `key-refused` with the attribute, `hsm-unavailable`
 */
export async function createKey(
  { store, hsm, directory }: Pick<ClientDependencies, "store" | "hsm" | "directory">,
  client: ClientId,
  wanted: Pick<KeyRow, "name" | "chains" | "purpose"> & { readonly curve?: Curve },
  by: CallerName,
): Promise<KeyRow> {
  const { row: owner, token, tokenError, keys } = directory.get(client);
  if (!token) throw tokenError!;
  const taken = new GatewayError("key-exists", `client \`${client}\` has a key \`${wanted.name}\` already`);
  if (keys.has(wanted.name)) throw taken;
  requireOnePurpose(wanted);
  return inTurn(store, `key ${client}/${wanted.name}`, async () => {
    const known = await store.read((reader) => reader.keys(client));
    if (known.some(({ name }) => name === wanted.name)) throw taken;
    const { key, attributes } = await token.generateKey(wanted.name, wanted.curve ?? "secp256k1");
    const ceremony = await ceremonyOf(hsm, token, "generated");
    const made = keyRow(owner, key, wanted);
    const row = await store.write(async (transaction) => {
      // Born here: nobody has used its accounts before.
      for (const account of made.accounts) await transaction.setNextNonce(account, 0n);
      return recordKey(transaction, owner, made, { attributes, ceremony, by });
    });
    await directory.refreshClient(client);
    return row;
  });
}

/** As long as an HSM may take for it; whoever died meanwhile keeps the others waiting no longer. */
const TURN_MS = 60_000;

/**
 * Of all vaults one makes a thing of that name: two keys of one name in a token, and neither could be used.
 * @throws {GatewayError} `request-in-progress`
 */
async function inTurn<T>(store: Store, task: string, work: () => Promise<T>): Promise<T> {
  const holder = randomUUID();
  const take = (forMs: number) => store.write((transaction) => transaction.takeTurn(task, holder, forMs));
  if (!(await take(TURN_MS)))
    throw new GatewayError("request-in-progress", "another attempt to make the same is under way", {
      hint: "send the same request again a moment later",
    });
  try {
    return await work();
  } finally {
    await take(0).catch(() => undefined); // it ends by itself
  }
}

/** A key of raw digests has no address that anybody could pay: whoever may have digests signed could spend from it. */
function requireOnePurpose({
  purpose,
  curve = "secp256k1",
  chains,
}: Pick<KeyRow, "purpose" | "chains"> & { readonly curve?: Curve }): void {
  const fits = purpose === "raw" ? chains.length === 0 : chains.length > 0 && curve === "secp256k1";
  if (fits) return;
  throw new GatewayError(
    "invalid-body",
    "expected a key for chains, on secp256k1, or one for raw digests, without chains",
  );
}

const STATES = ["active", "disabled", "retired"] as const;

/**
 * Takes a key out of use: `active` → `disabled` → `retired`, never back. The key stays in its token.
 * @throws {GatewayError} `key-not-found`, `key-disabled` if it is that far already
 */
export async function endKey(
  { store, directory }: Pick<ClientDependencies, "store" | "directory">,
  client: ClientId,
  name: KeyName,
  state: "disabled" | "retired",
  by: CallerName,
): Promise<KeyRow> {
  const { row: owner } = directory.get(client);
  const row = await store.write(async (transaction) => {
    const key = (await transaction.keys(client)).find((each) => each.name === name);
    if (!key) throw new GatewayError("key-not-found", `expected a key of client \`${client}\`, found \`${name}\``);
    if (STATES.indexOf(key.state) >= STATES.indexOf(state))
      throw new GatewayError("key-disabled", `expected a key to be ${state}, found one that is ${key.state}`);
    await transaction.updateKeyState(client, name, state);
    await appendLeaf(transaction, owner, `key-${state}`, { key: name, id: key.id, was: key.state, by });
    return { ...key, state };
  });
  await directory.refreshClient(client);
  return row;
}

function refuseTakenName(directory: Directory, id: ClientId): void {
  if ((RESERVED_NAMES as readonly string[]).includes(id)) {
    throw new GatewayError(
      "reserved-name",
      `expected a name of its own, found \`${id}\`, which the gateway uses itself`,
    );
  }
  if (directory.find(id)) throw new GatewayError("client-exists", `client \`${id}\` exists already`);
}

const newClient = (id: ClientId, token: TokenRef): ClientRow => ({
  id,
  owner: "client",
  status: "active",
  token,
  saltKey: randomBytes(32),
  freezes: [],
});

/** Labels are not unique in PKCS#11: none and two are both refused. */
async function findToken(hsm: Hsm, label: string): Promise<TokenRef> {
  const labelled = async () => (await hsm.listTokens()).filter((token) => token.label === label);
  let found = await labelled();
  if (found.length === 0) {
    await hsm.refresh(); // made since the module was initialised
    found = await labelled();
  }
  if (found.length === 1) return found[0]!;
  throw new GatewayError("token-not-found", `expected one token with label ${quoted(label)}, found ${found.length}`, {
    hint: "the HSM's administrators make it; `pkcs11-tool --list-token-slots` shows what the module offers",
  });
}

/** The log's and the gateway's are open as such, which the adapter sees. */
async function refuseUsedToken(store: Store, ref: TokenRef): Promise<void> {
  const clients = await store.read((reader) => reader.clients());
  const owner = clients.find(({ token }) => token.label === ref.label && token.serial === ref.serial);
  if (!owner) return;
  throw new GatewayError("token-in-use", `expected a token of nobody, found the one of \`${owner.id}\``);
}

/** Keys that others have made have their name from CKA_LABEL. */
function adoptedKey(owner: ClientRow, { key }: Adopted, chains: readonly ChainId[]): KeyRow {
  const name = KeyName.safeParse(key.label);
  if (!name.success) {
    throw new GatewayError(
      "key-refused",
      `expected keys with names of \`a-z\`, \`0-9\`, \`-\`, found ${quoted(key.label)}`,
      {
        facts: { attribute: "CKA_LABEL", label: key.label },
      },
    );
  }
  const isForChains = key.curve === "secp256k1";
  if (isForChains && chains.length === 0) {
    throw new GatewayError("chains-missing", `expected chains for key ${quoted(key.label)}, found none`, {
      hint: "keys in an adopted token live on the chains that you name: `--chain eip155:1`",
    });
  }
  // A curve that no chain here uses signs raw digests or nothing; without a rule that names those, nothing.
  return keyRow(owner, key, {
    name: name.data,
    chains: isForChains ? chains : [],
    purpose: isForChains ? "transactions" : "raw",
  });
}

function keyRow(
  owner: ClientRow,
  { id, curve, publicKey }: KeyRef,
  { name, chains, purpose }: { name: KeyName; chains: readonly ChainId[]; purpose: KeyRow["purpose"] },
): KeyRow {
  const lives = [...new Set(chains)];
  const accounts =
    purpose === "raw"
      ? [rawAccount(curve, publicKey)]
      : lives.map((chain) => evmAccount(evmChainId(chain)!, addressOfPublicKey(publicKey)));
  return { client: owner.id, name, id, curve, purpose, publicKey, chains: lives, accounts, state: "active", leaf: 0 };
}

/** The record of the ceremony is the leaf: what was made, where, with which attributes, by whom. */
async function recordKey(
  transaction: StoreTransaction,
  owner: ClientRow,
  key: KeyRow,
  facts: { readonly attributes: KeyAttributes; readonly ceremony: Ceremony; readonly by: CallerName },
): Promise<KeyRow> {
  const { index } = await appendLeaf(transaction, owner, "key-created", {
    key: key.name,
    id: key.id,
    curve: key.curve,
    purpose: key.purpose,
    publicKey: Buffer.from(key.publicKey).toString("hex"),
    chains: key.chains,
    accounts: key.accounts,
    ...facts,
  });
  const row = { ...key, leaf: index };
  await transaction.insertKey(row);
  return row;
}
