import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { chmodSync, cpSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { readCallerFile, type CallerFile } from "./caller-file.ts";
import { connect, GatewayError, type GatewayClient } from "./client.ts";

/*
 * A real gateway for the tests of those who call one: edge, vault, SoftHSM and SQLite on free ports, in a folder of its
 * own, with a clock that the test moves. Its name begins with `test-`, and so does every checkpoint of its log.
 */

export type TestGatewayOptions = {
  /** Client policies: paths of files, or documents as texts. Their callers get fresh keys. Default: two demo clients. */
  readonly policy?: string | readonly string[];
  /** With one policy as a text: it is applied for each of these clients, whatever `client` it names. */
  readonly clients?: readonly string[];
  /** Where the gateway's time begins; default now. */
  readonly clock?: Date;
  /** A chain node of eip155:31337 (anvil, hardhat): for `/rpc/CLIENT`. */
  readonly node?: string;
};

export type TestGateway = {
  readonly url: string;
  /** A signing proxy on loopback for the first client's wallet service: for programs that cannot sign requests. */
  readonly proxyUrl: string;
  /** Client → caller → all that this caller needs; the custodian's own under `house`. */
  readonly callers: Readonly<Record<string, Readonly<Record<string, CallerFile>>>>;
  /** Client → key → its address (EIP-55). */
  readonly addresses: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Everything of it: configuration, policies, callers' files. Gone after `stop`. */
  readonly folder: string;
  /** Speaks as that caller. */
  readonly as: (client: string, caller: string) => GatewayClient;
  /** Moves the gateway's time forward, for whatever it decides from now on. */
  readonly advance: (ms: number) => void;
  /** Ends it as a power cut would, and starts it again on what it left behind. */
  readonly crash: () => Promise<void>;
  /** Ends it and removes its folder. */
  readonly stop: () => Promise<void>;
};

const PROGRAM = fileURLToPath(new URL("../../bin/portcullis.js", import.meta.url));
/** What a policy given as a text may name in `use`. */
const SHARED = fileURLToPath(new URL("../../policies/shared", import.meta.url));

const PORTS_WITHIN_MS = 60_000;

const HOUSE_CALLERS = ["officer", "operator", "auditor"];

/** Starts a gateway. Several run side by side; none outlives the program that has started it. @throws {GatewayError} */
export async function startGateway(options: TestGatewayOptions = {}): Promise<TestGateway> {
  const folder = mkdtempSync(join(tmpdir(), "portcullis-test-"));
  chmodSync(folder, 0o711); // where the edge has a user of its own, it passes through
  try {
    const policies = policyFiles(join(folder, "given"), options);
    const flags = policies.length === 0 ? [] : ["--policy", ...policies];
    const kept = ["--keep", folder, "--clock", (options.clock ?? new Date()).toISOString()];
    const node = options.node === undefined ? [] : ["--node", options.node];
    let running = await run([...kept, "--port", "0", "--proxy-port", "0", ...node, ...flags]);
    const { url, proxyUrl, clients, clock } = running.ready;
    const callers = Object.fromEntries([
      ...clients.map(({ client, callers }) => [client, mapValues(callers, readCallerFile)]),
      ["house", fromNames(HOUSE_CALLERS, (name) => readCallerFile(join(folder, "callers/house", `${name}.json`)))],
    ]) as TestGateway["callers"];
    return {
      url,
      proxyUrl,
      callers,
      addresses: Object.fromEntries(clients.map(({ client, keys }) => [client, addressesOf(keys)])),
      folder,
      as: (client, caller) => connect(callerOf(callers, client, caller)),
      advance: (ms) => advance(clock, ms),
      crash: async () => {
        await running.kill();
        const ports = ["--port", new URL(url).port, "--proxy-port", new URL(proxyUrl).port];
        running = await again([...kept, ...ports]);
      },
      stop: async () => {
        await running.stop();
        rmSync(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

type DevClient = {
  readonly client: string;
  readonly keys: readonly { readonly name: string; readonly accounts: readonly string[] }[];
  readonly callers: Readonly<Record<string, string>>;
};
type Ready = {
  readonly url: string;
  readonly proxyUrl: string;
  readonly clock: string;
  readonly clients: readonly DevClient[];
  readonly pids: { readonly vault: number; readonly edge: number };
};
type Running = { readonly ready: Ready; readonly kill: () => Promise<void>; readonly stop: () => Promise<void> };

async function run(flags: readonly string[]): Promise<Running> {
  const child = spawn(process.execPath, [PROGRAM, "dev", "--json", "--end-with-stdin", ...flags], {
    stdio: ["pipe", "pipe", "pipe"],
  }) as ChildProcessByStdio<Writable, Readable, Readable>;
  const said: string[] = [];
  child.stderr.on("data", (chunk: Buffer) => said.push(chunk.toString()));
  const ended = once(child, "exit");
  const failed = ended.then(() => Promise.reject(notStarted(said.join(""))));
  failed.catch(() => undefined);
  const [line] = (await Promise.race([once(createInterface({ input: child.stdout }), "line"), failed])) as [string];
  const ready = JSON.parse(line) as Ready & { error?: { message: string } };
  if (ready.error) {
    await ended; // by then it has said why
    throw notStarted(`${ready.error.message}\n${said.join("")}`);
  }
  return {
    ready,
    kill: async () => {
      // The supervisor first: it would start the others again.
      child.kill("SIGKILL");
      await ended;
      await gone([ready.pids.vault, ready.pids.edge]);
    },
    stop: async () => {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

/** Ports of one that has ended may be another program's for a while: somebody asked for any that is free. */
async function again(flags: readonly string[]): Promise<Running> {
  for (const deadline = Date.now() + PORTS_WITHIN_MS; ; await sleep(500)) {
    try {
      return await run(flags);
    } catch (error) {
      if (!String(error).includes("EADDRINUSE") || Date.now() > deadline) throw error;
    }
  }
}

const notStarted = (why: string): GatewayError =>
  new GatewayError("gateway-not-started", `the test gateway did not start: ${why.trim()}`, {
    hint: "on a fresh machine `node scripts/setup.mjs` of the checkout installs SoftHSM and builds",
  });

function killIfThere(pid: number): boolean {
  try {
    return process.kill(pid, "SIGKILL");
  } catch {
    return false; // gone already
  }
}

/** Bounded: where nobody reaps orphans, a dead process stays in the list. */
async function gone(pids: readonly number[]): Promise<void> {
  for (const deadline = Date.now() + 2_000; pids.some(killIfThere) && Date.now() < deadline;) await sleep(10);
}

/** Written beside and put in place: the vault reads it at any moment. */
function advance(clock: string, ms: number): void {
  if (!Number.isSafeInteger(ms) || ms < 0) {
    throw new GatewayError("usage", "expected a whole number of milliseconds, not below zero", {
      hint: "time goes forward only: a gateway's clock never falls behind its log",
    });
  }
  writeFileSync(`${clock}.next`, String(Number(readFileSync(clock, "utf8")) + ms));
  renameSync(`${clock}.next`, clock);
}

/** Texts become files in a folder of policies with the shared registries. @returns paths */
function policyFiles(folder: string, { policy = [], clients }: TestGatewayOptions): string[] {
  const given = typeof policy === "string" ? [policy] : policy;
  const isText = (each: string): boolean => each.includes("\n");
  if (clients && !(given.length === 1 && isText(given[0]!))) {
    throw new GatewayError("usage", "expected one policy as a text beside `clients`");
  }
  cpSync(SHARED, join(folder, "shared"), { recursive: true });
  const texts = clients ? clients.map((client) => given[0]!.replace(/^client:.*$/m, `client: ${client}`)) : given;
  return texts.map((each, index) => {
    if (!isText(each)) return each;
    const path = join(folder, `${index + 1}.yaml`);
    writeFileSync(path, each);
    return path;
  });
}

function callerOf(callers: TestGateway["callers"], client: string, caller: string): CallerFile {
  const file = callers[client]?.[caller];
  if (file) return file;
  throw new GatewayError(
    "caller-not-found",
    `expected a caller of the gateway, found no \`${caller}\` of \`${client}\``,
    {
      hint: `there are ${Object.entries(callers)
        .map(([of, named]) => `${of}: ${Object.keys(named).join(", ")}`)
        .join("; ")}`,
    },
  );
}

/** `eip155:1:0x…` on each chain: one address. */
const addressesOf = (keys: DevClient["keys"]): Record<string, string> =>
  Object.fromEntries(keys.map(({ name, accounts }) => [name, accounts[0]!.split(":")[2]!]));

const mapValues = <A, B>(of: Readonly<Record<string, A>>, to: (value: A) => B): Record<string, B> =>
  Object.fromEntries(Object.entries(of).map(([name, value]) => [name, to(value)]));

const fromNames = <B>(names: readonly string[], to: (name: string) => B): Record<string, B> =>
  Object.fromEntries(names.map((name) => [name, to(name)]));
