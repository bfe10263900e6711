import { readFileSync } from "node:fs";

/** Parsed by whatever Node there is, so: old syntax, no import that an old Node lacks. */

/** @returns true if `version` ("20.19.1") is at least `minimum` ("20.19") */
export function isAtLeast(version, minimum) {
  const have = version.split(".").map(Number);
  const want = minimum.split(".").map(Number);
  for (let i = 0; i < want.length; i++) {
    if ((have[i] || 0) !== want[i]) return (have[i] || 0) > want[i];
  }
  return true;
}

/** Ends the process with one clear line when this Node is older than `engines.node` in package.json. */
export function requireNode() {
  const { engines } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  const minimum = engines.node.replace(">=", "");
  if (isAtLeast(process.versions.node, minimum)) return;
  process.stderr.write(
    `set-up: failed: expected Node.js ${minimum} or newer, found ${process.versions.node} (${process.execPath})\n`,
  );
  process.exit(1);
}
