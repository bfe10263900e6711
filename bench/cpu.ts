import { readFileSync } from "node:fs";

/** Linux counts a process's time in ticks of 10 ms: user and system are fields 14 and 15 of its stat line. */
export function cpuUsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}
