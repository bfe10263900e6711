import { chownSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { anchorFile } from "./adapters/files/anchor.ts";
import { evmChainReader } from "./adapters/evm-node/reader.ts";
import { newBootSecret, readBootSecret, writeSecretFile } from "./adapters/files/boot-secret.ts";
import { newSoPin } from "./adapters/files/so-pin.ts";
import { offsetIn, testClock } from "./adapters/files/test-clock.ts";
import { prepareSoftHsm } from "./adapters/pkcs11/softhsm.ts";
import { runCli } from "./cli/program.ts";
import type { Founded, Founding, FoundingToken, Migrated, Serving, StoreStatus, VaultCommand } from "./cli/host.ts";
import { readConfig, type Config, type StoreConfig } from "./config.ts";
import { GatewayError } from "./domain/errors.ts";
import { HOUSE } from "./domain/names.ts";
import { VaultLink } from "./edge/vault-link.ts";
import type { Transport } from "./sdk/client.ts";
import { parseVkey } from "./tlog/note.ts";
import { yieldToMainThread } from "./pool-priority.ts";
import { edgeOptions, isolationFor, requireBuilt, supervise } from "./supervisor.ts";
import type { Hsm, RowStore, TokenRef } from "./vault/ports.ts";
import { AnswerSigner } from "./vault/auth/answers.ts";
import { Checkpoints, refusing } from "./vault/checkpoints.ts";
import { beat, ClockGuard, confirmClock, guarded } from "./vault/clock.ts";
import { Directory } from "./vault/directory.ts";
import { Following } from "./vault/following.ts";
import type { Gateway } from "./vault/gateway.ts";
import { writeGenesis } from "./vault/genesis.ts";
import { redeemPermit } from "./vault/permit.ts";
import { Pins, randomPin } from "./vault/pins.ts";
import { Registers } from "./vault/registers.ts";
import { recoveryOf } from "./vault/recovery.ts";
import { compilers } from "./vault/compilers.ts";
import { expireDue } from "./vault/expiring.ts";
import { activateDue } from "./vault/scheduled-policies.ts";
import { openRowKey, newRowKey, Seals } from "./vault/seals.ts";
import { sealedStore } from "./vault/sealed-store.ts";
import { serveVault } from "./vault/server.ts";
import { Snapshots } from "./vault/snapshot.ts";
import type { SignStep } from "./vault/sign.ts";
import { PerMinute } from "./vault/per-minute.ts";
import { UnpaidRequests } from "./vault/unpaid.ts";
import { requestChanges } from "./vault/waiting.ts";
import { Witnessing } from "./vault/witnessing.ts";
import { watch } from "./watchdog.ts";
import { witnessesIn } from "./witness-file.ts";

/*
 * Composition root: the only file that joins adapters to ports. Nothing imports it but the program in `bin/` and tests
 * that need a vault of their own.
 */

export type VaultOptions = {
  readonly config: Config;
  /** As the supervisor found it. */
  readonly isolation: string;
  /** The edge's group, where it runs as a user of its own. */
  readonly socketGroup?: number;
  readonly stepDone?: (step: SignStep) => void;
  /** So many leaves are worth a snapshot. */
  readonly snapshotLeaves?: number;
};

export type RunningVault = { readonly gateway: Gateway; readonly stop: () => Promise<void> };

/** What is new in the log is under a checkpoint after about this long. */
const CHECKPOINT_EVERY_MS = 1000;
/** How often it is seen whether a snapshot of the ledger is due. */
const SNAPSHOT_EVERY_MS = 2000;

/** Starts the trusted process: token, store, keys that prove themselves, then the socket. */
export async function startVault({
  config,
  isolation,
  socketGroup,
  stepDone,
  snapshotLeaves,
}: VaultOptions): Promise<RunningVault> {
  await yieldToMainThread(Number(process.env["UV_THREADPOOL_SIZE"]) || 4);
  const bootSecret = readBootSecret(config.vault.bootSecret);
  const { hsm, ownHsm } = await openHsms(config);
  const health = () => (ownHsm === hsm ? hsm.health() : [...hsm.health(), ...ownHsm.health()]);
  const unwatch = watch(
    config.hsm.hangSeconds * 1000,
    () => Math.max(0, ...health().map(({ oldestMs }) => oldestMs)),
    (ageMs) =>
      report("hang", new GatewayError("hsm-hangs", `a call to the HSM's module has not come back for ${ageMs} ms`)),
  );
  const { logToken: logTokenRef, gatewayToken, soPinShares } = config.hsm;
  const time = timeOf(config.clock.test);
  const rows = await openStore(config.store, time.moved);
  const sealer = await ownHsm.openGatewayToken(gatewayToken, bootSecret);
  const following = new Following(new Seals(await openRowKey(rows, sealer)), (error) => report("integrity", error));
  await following.load(rows);
  const whole = sealedStore(rows, following);
  const clock = new ClockGuard({ monotonic: time.monotonic, gapMs: config.clock.gapHours * HOUR_MS });
  let checkpoints: Checkpoints | undefined = undefined;
  const store = refusing(guarded(whole, clock), () => checkpoints?.refusal);
  const pins = new Pins({ store, sealer });
  const logToken = await pins.login("log", logTokenRef, (pin) => ownHsm.openLogToken(logTokenRef, pin, config.gateway));
  const fault = (error: unknown, requestId?: string) => report("fault", error, requestId);
  const anchor = anchorFile(config.log.anchor);
  checkpoints = await Checkpoints.open({ store: whole, logToken, origin: config.gateway, anchor, fault });
  // What is there can be read, and is held against the log, also while nothing may be written.
  const directory = new Directory({ store: whole, hsm, pins, compile: compilers });
  await directory.load();
  const gateway: Gateway = {
    name: config.gateway,
    logKey: checkpoints.vkey,
    store,
    confirmClock: (seen, by) =>
      confirmClock(
        refusing(whole, () => checkpoints?.refusal),
        directory.house.row,
        seen,
        by,
      ),
    recovery: recoveryOf({
      store: whole,
      directory,
      origin: config.gateway,
      logKey: checkpoints.vkey,
      promised: () => checkpoints?.promised,
      refusal: () => checkpoints?.refusal,
      look: async () => checkpoints?.look(),
    }),
    hsm,
    logToken,
    directory,
    pins,
    health,
    newSoPin: (label) => newSoPin(label, soPinShares),
    isolation,
    now: time.now,
    attempts: new Set(),
    unpaid: new UnpaidRequests(config.vault.unpaid),
    witnessing: new Witnessing(witnessesIn(config), () => parseVkey(checkpoints.vkey)),
    registers: new Registers(),
    refusals: new PerMinute(() => ({ leaves: 0 })),
    strangers: new Map(),
    changed: requestChanges(),
    fault,
    refusal: () => checkpoints?.refusal,
    stopped: following.broken,
    unfinished: (row, cause) => report(`request ${row.id} is authorized and not signed`, cause),
    ...(stepDone ? { stepDone } : {}),
  };
  const signer = await AnswerSigner.start(config.gateway, logToken);
  const { socket } = config.vault;
  const server = await serveVault(gateway, signer, { path: socket, mode: socketGroup === undefined ? 0o600 : 0o660 });
  if (socketGroup !== undefined) chownSync(socket, process.getuid!(), socketGroup);
  checkpoints.run(CHECKPOINT_EVERY_MS);
  const snapshots = new Snapshots({
    store: refusing(whole, () => checkpoints?.refusal),
    following,
    ...(snapshotLeaves === undefined ? {} : { leaves: snapshotLeaves }),
    fault,
  });
  snapshots.run(SNAPSHOT_EVERY_MS);
  const beats = setInterval(() => void beat(store, directory.house.row).catch(fault), BEAT_TRY_MS);
  const tend = async (): Promise<void> => {
    await directory.retry();
    await activateDue({ store, directory, origin: config.gateway });
    for (const row of await expireDue({ store, directory })) gateway.changed.notify(row);
  };
  const retries = setInterval(() => void tend().catch((error: unknown) => report("fault", error)), RETRY_MS);
  return {
    gateway,
    stop: async () => {
      clearInterval(retries);
      clearInterval(beats);
      await unwatch();
      await server.stop();
      await checkpoints.stop();
      await snapshots.stop();
      await hsm.close();
      if (ownHsm !== hsm) await ownHsm.close();
      await store.close();
    },
  };
}

/** A heartbeat is late by this at the most. */
const BEAT_TRY_MS = 15_000;
const HOUR_MS = 3_600_000;

/** How often tokens that were away are looked for, changes of policy whose time has come, and requests whose time is over. */
const RETRY_MS = 2_000;

/** The clients' module, and the one that holds the gateway's own two tokens: the same, unless told otherwise. */
async function openHsms({ hsm: { own, ...clients } }: Config): Promise<{ hsm: Hsm; ownHsm: Hsm }> {
  const { openHsm } = await nativeAdapters();
  Object.assign(process.env, own?.environment, clients.environment);
  const { sessionsPerToken, queueLimit, signers: count, hangSeconds } = clients;
  const options = { sessionsPerToken, queueLimit, redeem: redeemPermit };
  const signers = count > 0 ? { signers: { count, hangMs: hangSeconds * 1000 } } : {};
  const hsm = await openHsm({ modulePath: clients.module, ...options, ...signers });
  return { hsm, ownHsm: own ? await openHsm({ modulePath: own.module, ...options }) : hsm };
}

/** Loaded by the processes that open it, and by no other command: not by the edge, not by the proxy. */
const nativeAdapters = () => import("./adapters/pkcs11/hsm.ts");

/** Only the driver of the store that is there is loaded. */
async function openStore(store: StoreConfig, clock?: () => number): Promise<RowStore> {
  if ("sqlite" in store) return (await import("./adapters/sqlite/store.ts")).openSqliteStore(store.sqlite, clock);
  return (await import("./adapters/postgres/store.ts")).openPostgresStore(store.postgres, clock);
}

/** By which clocks a vault goes: the machine's and its store's, or in a test gateway those moved. */
function timeOf(test: string | undefined) {
  const moved = test === undefined ? undefined : testClock(test);
  return {
    moved,
    now: moved ?? Date.now,
    monotonic: test === undefined ? () => performance.now() : () => performance.now() + offsetIn(test),
  };
}

async function migrateStore({ store }: Pick<Config, "store">): Promise<Migrated> {
  if ("sqlite" in store) return (await import("./adapters/sqlite/schema.ts")).migrateSqlite(store.sqlite);
  return (await import("./adapters/postgres/migrate.ts")).migratePostgres(store.postgres);
}

async function statusOfStore({ store }: Pick<Config, "store">): Promise<StoreStatus> {
  if ("sqlite" in store) return (await import("./adapters/sqlite/schema.ts")).sqliteStatus(store.sqlite);
  return (await import("./adapters/postgres/status.ts")).postgresStatus(store.postgres);
}

function report(what: string, error: unknown, requestId?: string): void {
  const { code, message, stack } = error as { code?: string; message?: string; stack?: string };
  process.stderr.write(
    `${JSON.stringify({ at: new Date().toISOString(), process: "vault", requestId, what, code, message, stack })}\n`,
  );
}

/**
 * Makes what a gateway begins with: its tokens, or those that were adopted, its store, leaf 0. What fails leaves no
 * folder behind.
 */
export async function found(founding: Founding): Promise<Founded> {
  const { vaultFolder } = founding;
  if (existsSync(vaultFolder)) {
    throw new GatewayError("already-initialised", `\`${vaultFolder}\` exists already: nothing was changed`, {
      hint: "begin in an empty folder",
    });
  }
  const mask = process.umask(0o077);
  mkdirSync(vaultFolder, { recursive: true });
  try {
    return await foundIn(founding);
  } catch (error) {
    rmSync(vaultFolder, { recursive: true, force: true });
    throw error;
  } finally {
    process.umask(mask);
  }
}

async function foundIn(founding: Founding): Promise<Founded> {
  const { gateway, vaultFolder, entry, files, adopt, soPinShares, postgres, testClock: test } = founding;
  const { openHsm } = await nativeAdapters();
  const at: StoreConfig = postgres ? { postgres } : { sqlite: `${vaultFolder}/portcullis.db` };
  const { modulePath, environment } = adopt ?? prepareSoftHsm(`${vaultFolder}/softhsm`);
  Object.assign(process.env, environment);
  const hsm = await openHsm({ modulePath, sessionsPerToken: 2, queueLimit: 16, redeem: redeemPermit });
  if (postgres) await migrateStore({ store: at });
  const rows = await openStore(at, timeOf(test).moved);
  const token = async (name: FoundingToken): Promise<{ ref: TokenRef; pin: string }> => {
    if (adopt) return { ref: await findToken(hsm, adopt.tokens[name].label), pin: adopt.tokens[name].pin };
    const pin = name === "gateway" ? newBootSecret() : randomPin();
    return { ref: await hsm.createToken(name, pin, newSoPin(name, soPinShares)), pin };
  };
  try {
    const own = await token("gateway");
    const bootSecret = `${vaultFolder}/boot.secret`;
    writeSecretFile(bootSecret, own.pin);
    const sealer = await hsm.openGatewayToken(own.ref, own.pin);
    const rowKey = await newRowKey(sealer);
    const store = sealedStore(rows, new Following(new Seals(rowKey.key), () => undefined));
    const pins = new Pins({ store, sealer });
    const [log, house] = [await token("log"), await token("house")];
    const logToken = await hsm.openLogToken(log.ref, log.pin, gateway);
    const sealed = [rowKey.row, await pins.seal("log", log.ref, log.pin), await pins.seal(HOUSE, house.ref, house.pin)];
    const { answersKey, statementKey } = await writeGenesis(
      { store, logToken },
      { gateway, houseToken: house.ref, pins: sealed, entry, files },
    );
    return {
      module: modulePath,
      environment,
      tokens: { gateway: own.ref, log: log.ref },
      bootSecret,
      answersKey,
      statementKey,
    };
  } finally {
    await hsm.close();
    await rows.close();
  }
}

/** Labels are not unique in PKCS#11: none and two are both refused. */
async function findToken(hsm: Hsm, label: string): Promise<TokenRef> {
  const found = (await hsm.listTokens()).filter((token) => token.label === label);
  if (found.length === 1) return found[0]!;
  throw new GatewayError("token-not-found", `expected one token with label \`${label}\`, found ${found.length}`, {
    hint: "the HSM's administrators make it; `pkcs11-tool --list-token-slots` shows what the module offers",
  });
}

async function serve(configPath: string, edgeUsers?: readonly string[]): Promise<Serving> {
  requireBuilt();
  const config = readConfig(configPath);
  const isolation = isolationFor(edgeUsers ?? [config.edge.user]);
  const running = await supervise(configPath, config, isolation);
  return { ...running, isolation: isolation.text };
}

async function runVault({ configPath, isolation, socketGroup }: VaultCommand): Promise<{ stop: () => Promise<void> }> {
  const config = readConfig(configPath);
  return startVault({ config, isolation, ...(socketGroup === undefined ? {} : { socketGroup }) });
}

async function runEdge(configPath: string): Promise<void> {
  const { startEdge } = await import("./edge/main.ts");
  startEdge(edgeOptions(readConfig(configPath)));
}

/** The edge's own way to the vault, for a person whom the edge does not serve: the request is signed all the same. */
const onSocket =
  (path: string): Transport =>
  async (request, body) => {
    const link = new VaultLink(path);
    try {
      const { head, body: answered } = await link.send(request, body, true).answer;
      return { status: head.status, headers: head.headers, body: answered };
    } catch (error) {
      throw new GatewayError("gateway-unreachable", `cannot reach the vault on \`${path}\``, {
        cause: error,
        hint: "the vault must run, and this user must be allowed to write to its socket",
      });
    } finally {
      link.close();
    }
  };

export const main = (argv: string[]): Promise<void> =>
  runCli(argv, {
    serve,
    runVault,
    runEdge,
    found,
    migrateStore: (configPath) => migrateStore(readConfig(configPath)),
    statusOfStore: (configPath) => statusOfStore(readConfig(configPath)),
    onSocket,
    readChain: evmChainReader,
  });
