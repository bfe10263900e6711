import { randomBytes, randomUUID, sign as signText } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSqliteStore } from "../../src/adapters/sqlite/store.ts";
import { policySigningText, type PolicyBody, type SigningRequestBody } from "../../src/domain/api.ts";
import type { ChainId } from "../../src/domain/chain.ts";
import type { CallerName, ClientId, KeyName } from "../../src/domain/names.ts";
import { newCaller, privateKeyOf, type CallerFile } from "../../src/sdk/caller-file.ts";
import { GatewayClient } from "../../src/sdk/client.ts";
import { formatVkey, noteKey, parseVkey } from "../../src/tlog/note.ts";
import { route } from "../../src/vault/api/router.ts";
import type { Answer } from "../../src/vault/api/routes.ts";
import { addClient, createKey } from "../../src/vault/clients.ts";
import { confirmClock } from "../../src/vault/clock.ts";
import { Directory } from "../../src/vault/directory.ts";
import type { Gateway } from "../../src/vault/gateway.ts";
import { writeGenesis } from "../../src/vault/genesis.ts";
import { Following } from "../../src/vault/following.ts";
import { newRowKey, Seals } from "../../src/vault/seals.ts";
import { sealedStore } from "../../src/vault/sealed-store.ts";
import { Pins } from "../../src/vault/pins.ts";
import { refusing, type Checkpoints } from "../../src/vault/checkpoints.ts";
import { compilers } from "../../src/vault/compilers.ts";
import { changePolicy } from "../../src/vault/policies.ts";
import type { Hsm, KeyRow, LogToken, PolicyRow, RowStore, Store } from "../../src/vault/ports.ts";
import { Registers } from "../../src/vault/registers.ts";
import { recoveryOf } from "../../src/vault/recovery.ts";
import { PerMinute } from "../../src/vault/per-minute.ts";
import { UnpaidRequests, type UnpaidBounds } from "../../src/vault/unpaid.ts";
import { requestChanges } from "../../src/vault/waiting.ts";
import { Witnessing } from "../../src/vault/witnessing.ts";
import { hsmInSoftware } from "./software-hsm.ts";

/*
 * A vault inside the test: the real store, router, policies and seven steps; the HSM is the caller's choice. What a
 * socket, an edge and a supervisor add is tested where they are.
 */

export const GATEWAY = "test-gateway";
export const CHAIN = "eip155:31337" as ChainId;

/** Nobody's addresses, lower case being a valid EIP-55 spelling of digits alone. */
export const ADDRESSES = [1, 2, 3].map((n) => `0x${String(n).repeat(40)}`);
export const accountOf = (address: string): string => `${CHAIN}:${address}`;

/** ETH with no decimals: a limit of 100 is 100 wei, and a reader can count. */
export const ASSETS = {
  apiVersion: "portcullis/v1",
  kind: "AssetRegistry",
  chains: { [CHAIN]: { name: "Development", native: "ETH" } },
  assets: { ETH: { chain: CHAIN, decimals: "0", standard: "native" } },
};

export const acmePolicy = {
  apiVersion: "portcullis/v1",
  kind: "ClientPolicy",
  client: "acme",
  version: "1",
  use: ["assets.yaml"],
  fee: { ETH: { max: "1000" } },
  rules: [{ id: "payouts", allow: ["transfer"], to: ["anyone"], amount: { ETH: "any" } }] as object[],
  limits: { daily: { sum: "ETH", max: "1000000", window: { rolling: "24h" } } } as object,
};

export const housePolicy = { apiVersion: "portcullis/v1", kind: "HousePolicy", version: "1" };

/** JSON is YAML: documents of tests go through the same parser as files do. */
export const filesFor = (document: object, assets: object = ASSETS): Pick<PolicyBody, "entry" | "files"> => ({
  entry: "policy.yaml",
  files: { "policy.yaml": JSON.stringify(document), "assets.yaml": JSON.stringify(assets) },
});

const CLIENT_ROLES = {
  payouts: "wallet-service",
  trading: "wallet-service",
  alice: "approver",
  watcher: "observer",
  lender: "secured-party",
  checker: "auditor",
};
const HOUSE_ROLES = { officer: "policy-officer", deputy: "policy-officer", operator: "operator", inspector: "auditor" };

const newCallers = (roles: Readonly<Record<string, string>>): Map<string, CallerFile> =>
  new Map(
    Object.keys(roles).map((name) => [
      name,
      newCaller({ gateway: GATEWAY, url: "http://127.0.0.1", answersKey: `ed25519:${"A".repeat(43)}=` }, name),
    ]),
  );

const declared = (roles: Readonly<Record<string, string>>, files: ReadonlyMap<string, CallerFile>) =>
  Object.fromEntries(Object.entries(roles).map(([name, role]) => [name, { role, keys: [files.get(name)!.publicKey] }]));

export type TestVault = {
  readonly gateway: Gateway;
  readonly store: Store;
  readonly hsm: Hsm;
  readonly logToken: LogToken;
  readonly key: KeyRow;
  readonly storePath: string;
  /** Those of its rows. */
  readonly seals: Seals;
  readonly clock: { now: number };
  /** Faults that callers learn nothing of. */
  readonly faults: unknown[];
  readonly callers: ReadonlyMap<string, CallerFile>;
  /** The callers that a client's document declares, with their keys. */
  readonly clientCallers: object;
  readonly houseCallers: object;
  /** One signed request through the router, as if it had come in a frame. */
  readonly call: (caller: string, method: string, target: string, body?: unknown, key?: string) => Promise<Answer>;
  /** Signed by these officers over the text that makes it the next policy. */
  readonly signedPolicy: (
    client: string,
    document: object,
    officers?: readonly string[],
    assets?: object,
  ) => Promise<PolicyBody>;
  readonly apply: (
    client: string,
    document: object,
    officers?: readonly string[],
    assets?: object,
  ) => Promise<PolicyRow>;
  /** What a new start would hold in memory, on the same store and tokens. */
  readonly restarted: (on?: Restarted) => Promise<Gateway>;
  /** Another store, as a new start would work with it. */
  readonly sealed: (rows: RowStore) => Store;
  readonly close: () => Promise<void>;
};

export type Restarted = {
  /** Another store than the vault's own: a copy of it. */
  readonly store?: Store;
  /** Whoever guards the store against what was promised. */
  readonly checkpoints?: Checkpoints;
};

export type TestVaultOptions = {
  readonly hsm?: Hsm;
  readonly policy?: object;
  readonly house?: object;
  readonly unpaid?: UnpaidBounds;
  /** Who signs the client's first policy. */
  readonly founding?: readonly string[];
  /** Where the store's clock begins, ms. */
  readonly now?: number;
};

const PIN = "test-pin-0123456789";

export async function testVault(options: TestVaultOptions = {}): Promise<TestVault> {
  const folder = mkdtempSync(join(tmpdir(), "portcullis-vault-"));
  const storePath = join(folder, "portcullis.db");
  const clock = { now: options.now ?? Date.parse("2026-11-20T12:00:00Z") };
  const rows = openSqliteStore(storePath, () => clock.now);
  const hsm = options.hsm ?? hsmInSoftware();
  const faults: unknown[] = [];
  const sealer = await hsm.openGatewayToken(await hsm.createToken("gateway", PIN), PIN);
  const rowKey = await newRowKey(sealer);
  const seals = new Seals(rowKey.key);
  const following = new Following(seals, (error) => void faults.push(error));
  const store = sealedStore(rows, following);
  const pins = new Pins({ store, sealer });
  const logToken = await hsm.openLogToken(await hsm.createToken("log", PIN), PIN, GATEWAY);
  const [clientFiles, houseFiles] = [newCallers(CLIENT_ROLES), newCallers(HOUSE_ROLES)];
  const callers = new Map([...clientFiles, ...houseFiles]);
  const clientCallers = declared(CLIENT_ROLES, clientFiles);
  const houseCallers = declared(HOUSE_ROLES, houseFiles);
  await writeGenesis(
    { store, logToken },
    {
      gateway: GATEWAY,
      houseToken: await hsm.createToken("house", PIN),
      pins: [rowKey.row],
      ...filesFor({ ...housePolicy, callers: houseCallers, use: ["assets.yaml"], ...options.house }),
    },
  );
  const logKey = formatVkey(noteKey(GATEWAY, "ed25519", await logToken.publicKey("checkpoint")));
  const start = async ({ store: whole = store, checkpoints }: Restarted = {}): Promise<Gateway> => {
    const guarded = refusing(whole, () => checkpoints?.refusal);
    const directory = new Directory({ store: whole, hsm, pins, compile: compilers });
    await directory.load();
    return {
      name: GATEWAY,
      logKey,
      store: guarded,
      confirmClock: (seen, by) => confirmClock(guarded, directory.house.row, seen, by),
      recovery: recoveryOf({
        store: whole,
        directory,
        origin: GATEWAY,
        logKey,
        promised: () => checkpoints?.promised,
        refusal: () => checkpoints?.refusal,
        look: async () => checkpoints?.look(),
      }),
      hsm,
      logToken,
      directory,
      pins,
      health: () => hsm.health(),
      isolation: "none (a test)",
      now: () => clock.now,
      attempts: new Set(),
      unpaid: new UnpaidRequests(options.unpaid ?? { requestsPerMinute: Infinity, bytesPerMinute: Infinity }),
      witnessing: new Witnessing(undefined, () => parseVkey(logKey)),
      registers: new Registers(),
      refusals: new PerMinute(() => ({ leaves: 0 })),
      strangers: new Map(),
      changed: requestChanges(),
      fault: (error) => void faults.push(error),
      refusal: () => checkpoints?.refusal,
      stopped: following.broken,
    };
  };
  const gateway = await start();
  const { directory } = gateway;

  const signedPolicy: TestVault["signedPolicy"] = async (client, document, officers = ["officer"], assets) => {
    const files = filesFor(document, assets);
    const { version, hash } = client === "house" ? compilers.house(files) : compilers.client(files);
    const previousHash = (await store.read((reader) => reader.policyHash(client as ClientId))) ?? null;
    const text = Buffer.from(policySigningText({ origin: GATEWAY, client, version, hash, previousHash }));
    const signatures = officers.map((person) => ({
      person: person as CallerName,
      signature: signText(null, text, privateKeyOf(callers.get(person)!)).toString("base64"),
    }));
    return { ...files, signatures };
  };
  const apply: TestVault["apply"] = async (client, document, officers, assets) => {
    const changed = await changePolicy(
      { store, directory, origin: GATEWAY },
      client as ClientId,
      await signedPolicy(client, document, officers, assets),
      "officer" as CallerName,
    );
    if ("policy" in changed) return changed.policy;
    throw new Error(`version ${changed.scheduled.version} waits`);
  };

  await addClient(gateway, "acme" as ClientId, "operator" as CallerName);
  const wanted = { name: "hot-1" as KeyName, chains: [CHAIN], purpose: "transactions" as const };
  const key = await createKey(gateway, "acme" as ClientId, wanted, "operator" as CallerName);
  await apply("acme", { ...acmePolicy, callers: clientCallers, ...options.policy }, options.founding);

  const call: TestVault["call"] = (caller, method, target, body, idempotencyKey) => {
    const bytes = body === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(body));
    const client = new GatewayClient(callers.get(caller)!);
    const { headers } = client.signRequest(method, target, bytes, idempotencyKey);
    return route(gateway, { method, target, headers, body: bytes });
  };
  const close = async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  };
  return {
    gateway,
    store,
    hsm,
    logToken,
    key,
    storePath,
    seals,
    clock,
    faults,
    callers,
    clientCallers,
    houseCallers,
    call,
    signedPolicy,
    apply,
    restarted: start,
    sealed: (other) => sealedStore(other, new Following(seals, (error) => void faults.push(error))),
    close,
  };
}

/** A transfer of so many wei whose fee is at most `gas` × 1 wei. */
export const transferBody = (
  value: number | bigint,
  fields: Readonly<Record<string, unknown>> = {},
): SigningRequestBody => ({
  key: "hot-1" as KeyName,
  payload: {
    type: "evm-transaction",
    transaction: {
      to: ADDRESSES[0],
      value: value.toString(),
      gas: "1",
      maxFeePerGas: "1",
      maxPriorityFeePerGas: "1",
      ...fields,
    },
  },
});

/** What an observer says that the chain shows. */
export const watched = {
  deposit: (
    to: string,
    amount: number | bigint,
    transaction = `0x${randomBytes(32).toString("hex")}`,
    asset = "ETH",
  ) => ({
    what: "deposit",
    deposit: { transaction, position: "value", asset, amount: String(amount), to, block: 1 },
  }),
  balance: (amount: number | bigint, asset = "ETH") => ({
    what: "balance",
    balance: { asset, amount: String(amount), block: 1 },
  }),
  transaction: (request: string, state: string, fee?: number) => ({
    what: "transaction",
    transaction: { request, state, ...(fee === undefined ? {} : { fee: String(fee) }) },
  }),
};

export const newKey = (): string => randomUUID();

export const REQUESTS = "/v1/clients/acme/signing-requests";
