/*
 * Which tests share a process, and which processes run side by side. A PKCS#11 module is initialised once per process and
 * holds its tokens there, so each file that may load one gets a process of its own; pure tests share one. Side by side
 * run all but the files named `….alone.test.ts`: what they measure is time, so they have the machine to themselves.
 */

/** In the order in which they run: what is quick and names the fault most closely comes first. */
export const FOLDERS = ["unit", "property", "contract", "integration", "e2e", "fault", "vectors"];

const SHARED = new Map([
  ["unit", "unit and property"],
  ["property", "unit and property"],
  ["vectors", "vectors"],
]);

const runsAlone = (file) => file.endsWith(".alone.test.ts");

/** Published vectors may not be part of a checkout; without them these files hold no test, and that is no failure. */
const MAY_BE_EMPTY = new Set(["vectors"]);

/**
 * @param files paths from the root, with forward slashes
 * @returns {{name: string, files: string[], mayBeEmpty: boolean, alone: boolean}[]} one for each process, in order; a
 *   folder not named above comes late, and last what runs alone
 */
export function groupTests(files) {
  const folderOf = (file) => file.split("/")[1];
  const rank = (file) => {
    if (runsAlone(file)) return FOLDERS.length + 1;
    const index = FOLDERS.indexOf(folderOf(file));
    return index === -1 ? FOLDERS.length : index;
  };
  const sorted = [...new Set(files)].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  const groups = new Map();
  for (const file of sorted) {
    const name = runsAlone(file) ? file : (SHARED.get(folderOf(file)) ?? file);
    groups.set(name, [...(groups.get(name) ?? []), file]);
  }
  return [...groups].map(([name, members]) => ({
    name,
    files: members,
    mayBeEmpty: MAY_BE_EMPTY.has(name),
    alone: members.every(runsAlone),
  }));
}

/**
 * `npm test -- [--soak] [file or folder …] [mocha's own flags …]`: everything from the first flag on is mocha's.
 */
export function readArguments(args) {
  const soak = args.includes("--soak");
  const rest = args.filter((arg) => arg !== "--soak");
  const firstFlag = rest.findIndex((arg) => arg.startsWith("-"));
  return {
    soak,
    paths: firstFlag === -1 ? rest : rest.slice(0, firstFlag),
    mochaFlags: firstFlag === -1 ? [] : rest.slice(firstFlag),
  };
}

/**
 * What one mocha process is worth.
 * @param counts what the reporter wrote at the end, or undefined if it never came to that
 * @param exit the process's exit code, or the name of the signal that ended it
 */
export function judge(counts, exit) {
  if (counts === undefined)
    return { passed: 0, failed: 1, skipped: 0, fault: `ended with ${exit} before its tests did` };
  if (exit !== 0 && counts.passed + counts.failed === 0) return { ...counts, failed: 1, fault: "has no test" };
  if (exit !== 0 && counts.failed === 0)
    return { ...counts, failed: 1, fault: `all its tests passed, then it ended with ${exit}` };
  return { ...counts, fault: undefined };
}
