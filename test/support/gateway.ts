import { spawn, type ChildProcess, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { connect, type GatewayClient } from "../../src/sdk/client.ts";

const PROGRAM = fileURLToPath(new URL("../../bin/portcullis.js", import.meta.url));

export type DevClient = {
  readonly client: string;
  readonly keys: readonly { readonly name: string; readonly accounts: readonly string[] }[];
  /** Caller name → path of its caller file. */
  readonly callers: Readonly<Record<string, string>>;
};

export type DevGateway = {
  readonly url: string;
  readonly proxyUrl: string;
  readonly folder: string;
  readonly isolation: string;
  /** At the time when it was ready; the supervisor may have started others since. */
  readonly pids: { readonly vault: number; readonly edge: number };
  readonly clients: readonly DevClient[];
  readonly process: ChildProcess;
  /** Speaks as that caller; callers of the house are under `house`. */
  readonly as: (client: string, caller: string) => GatewayClient;
  /** SIGTERM, and waits until everything is gone. */
  readonly stop: () => Promise<void>;
};

export type StartOptions = {
  /** A descriptor that the gateway inherits from whoever starts it. */
  readonly leftOpen?: number;
};

/** Far up, with a gap below: Node closes what it inherits only as far as the first gap. */
const LEFT_OPEN_AT = 50;

/** The real thing, as `portcullis dev` runs it: edge, vault, SoftHSM, SQLite, on free ports. */
export async function startDevGateway(
  flags: readonly string[] = [],
  { leftOpen }: StartOptions = {},
): Promise<DevGateway> {
  const stdio: ("ignore" | "pipe" | number)[] = ["ignore", "pipe", "pipe"];
  if (leftOpen !== undefined) stdio[LEFT_OPEN_AT] = leftOpen;
  const child = spawn(process.execPath, [PROGRAM, "dev", "--json", "--port", "0", "--proxy-port", "0", ...flags], {
    stdio: Array.from(stdio, (each) => each ?? "ignore"),
  }) as ChildProcessByStdio<null, Readable, Readable>;
  const said: string[] = [];
  child.stderr.on("data", (chunk: Buffer) => said.push(chunk.toString()));
  const first = once(createInterface({ input: child.stdout }), "line") as Promise<[string]>;
  const ended = once(child, "exit").then(() => Promise.reject(new Error(`the gateway ended: ${said.join("")}`)));
  const [line] = await Promise.race([first, ended]);
  ended.catch(() => undefined);
  const ready = JSON.parse(line) as Omit<DevGateway, "as" | "stop" | "process"> & { error?: unknown };
  if (ready.error !== undefined) throw new Error(`the gateway did not start: ${line}`);
  return {
    ...ready,
    process: child,
    as: (client, caller) => connect(`${ready.folder}/callers/${client}/${caller}.json`),
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}
