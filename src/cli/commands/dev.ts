import { randomUUID } from "node:crypto";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { InvalidArgumentError, type Command } from "commander";
import { parse, parseDocument } from "yaml";
import { compileClient } from "../../policy/compile.ts";
import { parsePolicy } from "../../policy/parse.ts";
import { newCaller, writeCallerFile, type CallerFile, type GatewayFile } from "../../sdk/caller-file.ts";
import { connect } from "../../sdk/client.ts";
import { foundingHousePolicy, writeConfig } from "../founding.ts";
import type { Host, Serving } from "../host.ts";
import { TEST_NAME, type PostgresStore } from "../../config.ts";
import { jsonOption } from "../options.ts";
import { postgresOption } from "../postgres-option.ts";
import { output } from "../output.ts";
import { applyPolicyFile } from "../policy-apply.ts";
import { checkAccount } from "../policy-check.ts";
import { readPolicyFiles, type PolicyFiles } from "../policy-files.ts";
import { startProxy, type RunningProxy } from "../proxy.ts";
import { howToCall, runTour, tourText } from "../tour.ts";
import { untilTold } from "./processes.ts";

type DevOptions = {
  readonly port: number;
  readonly proxyPort: number;
  readonly policy: string[];
  readonly keep?: string;
  readonly json: boolean;
  readonly tour: boolean;
  readonly tourOnly: boolean;
  readonly postgres?: PostgresStore;
  readonly clock?: number;
  readonly node?: string;
  readonly endWithStdin: boolean;
};

/** `dev`: a real gateway that is thrown away: SoftHSM, SQLite, two demo clients, callers' keys on disk. */
export function devCommand(program: Command, host: Host): void {
  program
    .command("dev")
    .description("a throw-away gateway with two demo clients, gone at SIGTERM")
    .option("--port <port>", "of the gateway; 0 takes a free one", Number, 8420)
    .option("--proxy-port <port>", "of the signing proxy for the first demo caller; 0 takes a free one", Number, 8421)
    .option("--policy <file...>", "these client policies instead of the demo's (their callers get fresh keys)", [])
    .option("--keep <dir>", "keep everything in this folder, and go on from it the next time")
    .addOption(postgresOption())
    .option(
      "--clock <time>",
      "its time begins there (`2026-11-20T12:00:00Z`, or `now`) and can be moved: `clock` in the answer names the file",
      parseTime,
    )
    .option("--node <url>", "a chain node of eip155:31337 (anvil, hardhat) for /rpc/CLIENT: fills, broadcasts, reads")
    .option(
      "--end-with-stdin",
      "end, and keep nothing, when standard input ends: with the program that started it",
      false,
    )
    .option("--tour", "show one withdrawal signed, one denied, one pending, one refused", false)
    .option("--tour-only", "end after the tour", false)
    .addOption(jsonOption())
    .action((options: DevOptions) => dev(host, options));
}

/** Where the package keeps its policies: beside `src/` and `dist/`. */
const POLICIES = fileURLToPath(new URL("../../../policies", import.meta.url));
const DEMO_POLICIES = ["examples/hot-wallet/acme-fund.yaml", "examples/treasury/blue-harbor.yaml"].map((path) =>
  join(POLICIES, path),
);

async function dev(host: Host, options: DevOptions): Promise<void> {
  const { result, note } = output(options.json);
  const folder = options.keep === undefined ? mkdtempSync(join(tmpdir(), "portcullis-dev-")) : resolve(options.keep);
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o711); // the edge's user passes through to the socket's folder; everything else is 0700
  let keeps = options.keep !== undefined;
  let serving: Serving | undefined;
  let proxy: RunningProxy | undefined;
  try {
    const told = Promise.race([
      untilTold(),
      ...(options.endWithStdin ? [untilStdinEnds().then(() => (keeps = false))] : []),
    ]);
    const started = await start(host, folder, options, note);
    ({ serving, proxy } = started);
    const tour = options.tour || options.tourOnly ? await runTour(started.clients) : undefined;
    const ready = {
      ready: true,
      url: serving.url,
      proxyUrl: proxy.url,
      folder,
      ...(existsSync(clockFile(folder)) ? { clock: clockFile(folder) } : {}),
      isolation: serving.isolation,
      pids: serving.pids(),
      clients: started.clients,
      ...(tour ? { tour } : {}),
    };
    const text = [
      ...(tour ? [tourText(tour), ""] : []),
      ...(options.tourOnly
        ? []
        : [howToCall(ready, { demo: options.policy.length === 0, kept: options.keep !== undefined })]),
    ];
    result(ready, text.join("\n"));
    if (!options.tourOnly) await told;
  } finally {
    await proxy?.stop();
    await serving?.stop();
    if (!keeps) rmSync(folder, { recursive: true, force: true });
  }
}

/** Milliseconds by which a test gateway's time is ahead of the machine's. */
const clockFile = (folder: string): string => join(folder, "clock");

function parseTime(text: string): number {
  const time = text === "now" ? Date.now() : Date.parse(text);
  if (!Number.isNaN(time)) return time;
  throw new InvalidArgumentError("Expected `now` or a time such as `2026-11-20T12:00:00Z`.");
}

async function untilStdinEnds(): Promise<void> {
  process.stdin.resume().unref();
  await once(process.stdin, "close");
}

export type DemoClient = {
  readonly client: string;
  readonly keys: readonly { readonly name: string; readonly accounts: readonly string[] }[];
  /** Caller name → caller file. */
  readonly callers: Readonly<Record<string, string>>;
};

type Started = { readonly serving: Serving; readonly proxy: RunningProxy; readonly clients: readonly DemoClient[] };

async function start(host: Host, folder: string, options: DevOptions, note: (text: string) => void): Promise<Started> {
  const configPath = join(folder, "portcullis.yaml");
  const fresh = !existsSync(configPath);
  if (fresh) await foundDevGateway(host, folder, options, note);
  else listenAt(configPath, options.port);
  note("starting edge and vault");
  const serving = await host.serve(configPath, ["portcullis-edge", "nobody"]);
  try {
    return { serving, ...(await furnish(folder, serving, { ...options, fresh }, note)) };
  } catch (error) {
    await serving.stop(); // or it would serve on, with nobody who knows of it
    throw error;
  }
}

/** What a gateway that serves still lacks: demo clients if it is a fresh one, and the proxy. */
async function furnish(
  folder: string,
  { url }: Serving,
  { fresh, policy, proxyPort }: Pick<DevOptions, "policy" | "proxyPort"> & { readonly fresh: boolean },
  note: (text: string) => void,
): Promise<Omit<Started, "serving">> {
  const gatewayFile = join(folder, "gateway.json");
  const gateway: GatewayFile = { ...(JSON.parse(readFileSync(gatewayFile, "utf8")) as GatewayFile), url };
  writeFileSync(gatewayFile, JSON.stringify(gateway));
  refreshUrls(join(folder, "callers"), gateway);
  const listing = join(folder, "clients.json");
  if (fresh) {
    const made: DemoClient[] = [];
    for (const file of policy.length > 0 ? policy : DEMO_POLICIES)
      made.push(await addDemoClient(folder, gateway, file, note));
    writeFileSync(listing, JSON.stringify(made), { mode: 0o600 });
  }
  const clients = JSON.parse(readFileSync(listing, "utf8")) as DemoClient[];
  return { clients, proxy: await startProxy(connect(proxyCaller(clients[0]!)), proxyPort) };
}

/** A kept gateway comes back at the port that is asked for now. */
function listenAt(configPath: string, port: number): void {
  const config = parseDocument(readFileSync(configPath, "utf8"));
  config.setIn(["edge", "listen"], `127.0.0.1:${port}`);
  writeFileSync(configPath, config.toString());
}

/** The port is known only now, and a kept gateway may come back at another one: its callers learn it. */
function refreshUrls(callers: string, { url }: GatewayFile): void {
  const files = readdirSync(callers, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".json"));
  for (const path of files.map((name) => join(callers, name))) {
    const caller = JSON.parse(readFileSync(path, "utf8")) as CallerFile;
    writeFileSync(path, `${JSON.stringify({ ...caller, url }, undefined, 2)}\n`);
  }
}

/** The first wallet service of the client: they stand before the others. */
const proxyCaller = ({ callers }: DemoClient): string => Object.values(callers)[0]!;

async function foundDevGateway(
  host: Host,
  folder: string,
  { port, postgres, clock, node }: DevOptions,
  note: (text: string) => void,
): Promise<void> {
  note("making tokens, store and genesis leaf");
  const name = `${clock === undefined ? "dev-" : TEST_NAME}${randomUUID().slice(0, 8)}`;
  const moved = clock === undefined ? {} : { testClock: clockFile(folder) };
  if (clock !== undefined) writeFileSync(clockFile(folder), String(clock - Date.now()));
  const unknown = {
    gateway: name,
    url: "http://127.0.0.1",
    answersKey: `ed25519:${Buffer.alloc(32).toString("base64")}`,
  };
  const people = ["officer", "operator", "auditor"].map((person) => newCaller(unknown, person));
  const founded = await host.found({
    gateway: name,
    vaultFolder: join(folder, "vault"),
    ...foundingHousePolicy(people),
    ...moved,
    ...(postgres ? { postgres } : {}),
  });
  const { answersKey, statementKey } = founded;
  const gateway: GatewayFile = { gateway: name, url: unknown.url, answersKey, statementKey };
  mkdirSync(join(folder, "callers", "house"), { recursive: true, mode: 0o700 });
  for (const person of people)
    writeCallerFile(join(folder, "callers", "house", `${person.caller}.json`), { ...person, ...gateway });
  writeFileSync(join(folder, "gateway.json"), JSON.stringify(gateway));
  writeConfig(join(folder, "portcullis.yaml"), {
    name,
    listen: `127.0.0.1:${port}`,
    founded,
    clockGapHours: 24 * 30, // a kept one may be put away for a while
    ...moved,
    ...(node === undefined ? {} : { nodes: { "eip155:31337": node } }),
    ...(postgres ? { postgres } : {}),
  });
}

/** Token, key, policy, callers' keys of one demo client: all by the API, as its operator and its officer would. */
async function addDemoClient(
  folder: string,
  gateway: GatewayFile,
  policyFile: string,
  note: (text: string) => void,
): Promise<DemoClient> {
  const person = (name: string) =>
    connect({
      ...(JSON.parse(readFileSync(join(folder, "callers", "house", `${name}.json`), "utf8")) as CallerFile),
      ...gateway,
    });
  const { file, client, callers, keyNames, chains } = withFreshKeys(folder, gateway, policyFile);
  note(`adding client ${client}`);
  const operator = person("operator");
  await operator.call("POST", "/v1/clients", { body: { client }, idempotencyKey: randomUUID() });
  const keys = [];
  for (const name of keyNames) {
    keys.push(
      await operator.call<DemoClient["keys"][number]>("POST", `/v1/clients/${client}/keys`, {
        body: { name, chains },
        idempotencyKey: randomUUID(),
      }),
    );
  }
  await applyPolicyFile(person("officer"), file);
  return { client, keys: keys.map(({ name, accounts }) => ({ name, accounts })), callers };
}

/** The chains of the assets in which the policy pays fees: where its keys must live to be of use. */
function chainsOf({ entry, files }: PolicyFiles): string[] {
  const { fees, registry } = compileClient(parsePolicy(entry, new Map(Object.entries(files)), checkAccount));
  return [...new Set([...fees.keys()].flatMap((asset) => registry.bySymbol.get(asset)?.chain ?? []))];
}

type PolicyText = {
  readonly client: string;
  readonly callers: Record<string, { role: string }>;
  readonly rules?: { from?: string[] }[];
};

const walletServicesFirst = ({ callers }: PolicyText): string[] => {
  const isService = (name: string) => Number(callers[name]!.role === "wallet-service");
  return Object.keys(callers).sort((a, b) => isService(b) - isService(a));
};

/** The policy as it stands, but for its callers' keys, which are made here and written beside it. */
function withFreshKeys(folder: string, gateway: GatewayFile, policyFile: string) {
  const source = readPolicyFiles(policyFile);
  const document = parseDocument(source.files[source.entry]!);
  const policy = parse(source.files[source.entry]!, { schema: "failsafe" }) as PolicyText;
  const callers: Record<string, string> = {};
  mkdirSync(join(folder, "callers", policy.client), { recursive: true, mode: 0o700 });
  for (const name of walletServicesFirst(policy)) {
    const caller = newCaller(gateway, name, policy.client);
    callers[name] = join(folder, "callers", policy.client, `${name}.json`);
    writeCallerFile(callers[name], caller);
    document.setIn(["callers", name, "keys"], [caller.publicKey]);
  }
  for (const [path, text] of Object.entries({ ...source.files, [source.entry]: document.toString() })) {
    const target = join(folder, "policies", path);
    mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
    writeFileSync(target, text);
  }
  const words = (policy.rules ?? []).flatMap(({ from }) => from ?? []);
  const keyNames = [...new Set(words.filter((word) => !word.startsWith("account:")))];
  return {
    file: join(folder, "policies", source.entry),
    client: policy.client,
    callers,
    keyNames: keyNames.length > 0 ? keyNames : ["vault-1"],
    chains: chainsOf(source),
  };
}
