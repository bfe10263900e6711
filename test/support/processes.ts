import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/* What /proc tells of a running gateway's processes: the operating system's word, not the gateway's. */

export const ownerOf = (pid: number): { uid: number; gid: number } => statSync(`/proc/${pid}`);

/** A zombie is gone: it only waits to be reaped. */
export function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

const argumentsOf = (pid: number): string[] => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return [];
  }
};

export function childrenOf(pid: number): number[] {
  const isChild = (candidate: number) => {
    try {
      return new RegExp(`^PPid:\\s+${pid}$`, "m").test(readFileSync(`/proc/${candidate}/status`, "utf8"));
    } catch {
      return false;
    }
  };
  return readdirSync("/proc")
    .filter((name) => /^[0-9]+$/.test(name))
    .map(Number)
    .filter((candidate) => isChild(candidate) && isRunning(candidate));
}

/** The one process of that kind below a supervisor, or undefined while there is none. */
const childWith = (supervisor: number, isIt: (args: string[]) => boolean): number | undefined =>
  childrenOf(supervisor).find((pid) => isIt(argumentsOf(pid)));

export const findVault = (supervisor: number) => childWith(supervisor, (args) => args.includes("vault"));
export const findEdge = (supervisor: number) =>
  childWith(supervisor, (args) => args.some((arg) => arg.endsWith("/edge.cjs")));

/** The processes that sign for a vault. */
export const signersOf = (vault: number): number[] =>
  childrenOf(vault).filter((pid) => argumentsOf(pid).some((arg) => /\/pkcs11\/signer\.[jt]s$/.test(arg)));

/** @throws {Error} if one of them does not run */
export function processesOf(supervisor: number): { vault: number; edge: number } {
  const [vault, edge] = [findVault(supervisor), findEdge(supervisor)];
  if (vault === undefined || edge === undefined) throw new Error("expected an edge and a vault that run");
  return { vault, edge };
}

/** What each open descriptor is: `socket:[…]`, `pipe:[…]`, `anon_inode:…` or a path. */
export const descriptorsOf = (pid: number): { fd: number; target: string }[] =>
  readdirSync(`/proc/${pid}/fd`).flatMap((name) => {
    try {
      return [{ fd: Number(name), target: readlinkSync(`/proc/${pid}/fd/${name}`) }];
    } catch {
      return []; // closed since
    }
  });

const LISTENING = "0A";

/** Ports on which the process accepts connections or datagrams from a network. */
export function listeningPorts(pid: number): number[] {
  const sockets = new Set(descriptorsOf(pid).map(({ target }) => /^socket:\[([0-9]+)\]$/.exec(target)?.[1]));
  return ["tcp", "tcp6", "udp", "udp6"].flatMap((protocol) => {
    const [, ...rows] = readFileSync(`/proc/${pid}/net/${protocol}`, "utf8").trim().split("\n");
    return rows
      .map((row) => row.trim().split(/\s+/))
      .filter((columns) => sockets.has(columns[9]))
      .filter((columns) => protocol.startsWith("udp") || columns[3] === LISTENING)
      .map((columns) => parseInt(columns[1]!.split(":")[1]!, 16));
  });
}

/** How long the busiest machine may take for anything: only what hangs meets it. */
export const PATIENCE_MS = 120_000;

/** Polls until it holds. @throws {Error} naming what did not come */
export async function eventually<T>(
  what: string,
  attempt: () => T | undefined | false | Promise<T | undefined | false>,
  withinMs = PATIENCE_MS,
): Promise<T> {
  for (const deadline = Date.now() + withinMs; ; await sleep(25)) {
    const found = await attempt();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > deadline) throw new Error(`waited ${withinMs} ms in vain: ${what}`);
  }
}
