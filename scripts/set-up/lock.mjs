import { randomUUID } from "node:crypto";
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  linkSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";

/*
 * One set-up at a time per checkout. A file, not a kernel lock: Node has none. Who holds it is written in it, so that
 * what a killed set-up left behind is recognised and taken over.
 */

const POLL_MS = 200;
const HEARTBEAT_MS = 2_000;
/** A holder that this process cannot look at (another container on the same folder) counts as gone after this. */
const SILENT_MS = 60_000;
/** How long the programs of a holder that was killed are waited for: npm may still be compiling. */
const ORPHANED_MS = 600_000;
/** Longer than anyone needs between reading a stale lock and moving it away. */
const SETTLE_MS = 100;

/** When the process began, in the kernel's ticks: a process id alone is used again by others. */
export function processStart(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // Field 22; the name in field 2 may hold blanks and parentheses.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

const isAlive = (pid) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
};

/** `groups`: the process groups of the programs that it runs just now; they outlive it when it is killed, and may still be writing. */
export const thisProcess = () => ({ pid: process.pid, start: processStart(process.pid), host: hostname(), groups: [] });

/**
 * @param holder what the lock file says, or undefined if it says nothing (just made, or cut off by a crash)
 * @param silentMs since the holder last touched the file
 */
export function isStale(holder, silentMs) {
  if (holder === undefined || holder.host !== hostname()) return silentMs > SILENT_MS;
  if (isSameProcess(holder)) return false;
  return silentMs > ORPHANED_MS || !holder.groups.some((group) => isAlive(-group));
}

function isSameProcess({ pid, start }) {
  if (!isAlive(pid)) return false;
  const now = processStart(pid);
  return now === undefined || start === undefined || now === start;
}

function look(path) {
  try {
    const text = readFileSync(path, "utf8");
    const silentMs = Date.now() - statSync(path).mtimeMs;
    try {
      return { text, holder: JSON.parse(text), silentMs };
    } catch {
      return { text, holder: undefined, silentMs };
    }
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
}

function create(path, text) {
  try {
    const file = openSync(path, "wx");
    writeSync(file, text);
    closeSync(file);
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
}

/** Moves a stale lock out of the way. Two may see the same stale one: who then moved a fresh one puts it back. */
function removeStale(path, seen) {
  const aside = `${path}.${process.pid}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if (error.code === "ENOENT") return;
    throw error;
  }
  if (readFileSync(aside, "utf8") !== seen.text) {
    try {
      linkSync(aside, path);
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
  }
  rmSync(aside, { force: true });
}

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Waits until the lock is this process's.
 * @param onWait called once, with the holder, if somebody else has it
 * @returns `release`, which may be called twice and from an exit handler, and `setGroups`, to be told which programs run
 */
export async function takeLock(path, { onWait = () => {}, me = thisProcess() } = {}) {
  const id = randomUUID();
  let groups = [];
  const mine = () => JSON.stringify({ ...me, id, groups });
  const isMine = () => look(path)?.holder?.id === id;
  let told = false;
  mkdirSync(dirname(path), { recursive: true });
  for (;;) {
    const seen = look(path);
    if (seen === undefined) {
      if (create(path, mine())) {
        // Somebody may have been moving a stale lock away just now; after this pause nobody is.
        await wait(SETTLE_MS);
        if (isMine()) break;
      }
      continue;
    }
    if (isStale(seen.holder, seen.silentMs)) {
      removeStale(path, seen);
      continue;
    }
    if (!told) onWait(seen.holder);
    told = true;
    await wait(POLL_MS);
  }
  const heartbeat = setInterval(() => {
    try {
      utimesSync(path, new Date(), new Date());
    } catch {
      // The folder was removed under a running set-up; what it does next will say so.
    }
  }, HEARTBEAT_MS);
  heartbeat.unref();
  return {
    setGroups: (now) => {
      groups = now;
      replace(path, mine());
    },
    release: () => {
      clearInterval(heartbeat);
      if (isMine()) rmSync(path, { force: true });
    },
  };
}

/** Whole or not at all: a reader must not see half a line. */
function replace(path, text) {
  const beside = `${path}.new-${process.pid}`;
  writeFileSync(beside, text);
  renameSync(beside, path);
}

/** @returns whether a live set-up holds the lock; reads only */
export function isHeld(path) {
  const seen = look(path);
  return seen !== undefined && !isStale(seen.holder, seen.silentMs);
}
