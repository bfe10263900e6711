import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import type { Ran } from "./program.ts";

/*
 * What documents show of a terminal is what a test saw on one. A block is found by the comment before it; what differs
 * from run to run is written the same way each time. PORTCULLIS_WRITE=1 writes the blocks anew.
 */

/** A command as a person would type it, and what came of it: notes first, as a terminal shows them. */
export type Typed = { readonly line: string; readonly ran: Ran };

const ALWAYS: readonly (readonly [RegExp, string])[] = [
  [/\b[0-9a-f]{32}\b/g, "01a2…"],
  [/sha256:[0-9a-f]{12,64}/g, "sha256:…"],
  [/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, "2026-11-23T12:00:00.000Z"],
  [/ed25519:[A-Za-z0-9+/]{43}=/g, "ed25519:…"],
  [/\b(?:dev|test)-[0-9a-f]{8}\b/g, "acme-gateway"],
  [/leaf \d+ {2,}/g, "leaf 42  "],
  [/leaf \d+/g, "leaf 42"],
  [/^the gateway counts the past .*\n/gm, ""],
  [/0x(?!7099)[0-9a-fA-F]{40}\b/g, "0x…"],
  [/ssh-ed25519 [A-Za-z0-9+/=…]+/g, "ssh-ed25519 AAAA…"],
];

const written = (text: string): string => ALWAYS.reduce((out, [pattern, by]) => out.replace(pattern, by), text);

const shown = ({ line, ran: { stdout, stderr } }: Typed): string =>
  [
    `$ portcullis ${line}`,
    ...(stderr.trimEnd() === "" ? [] : [stderr.trimEnd()]),
    ...(stdout.trimEnd() === "" ? [] : [stdout.trimEnd()]),
  ].join("\n");

/** @param document path below the repository */
export function assertTranscript(document: string, name: string, typed: readonly Typed[]): void {
  const path = new URL(`../../${document}`, import.meta.url).pathname;
  const text = readFileSync(path, "utf8");
  const pattern = new RegExp(`(<!-- transcript: ${name} -->\n\n\`\`\`text\n)([^]*?)(\`\`\`\n)`);
  const found = pattern.exec(text);
  assert.ok(found, `${document} has no block for the transcript \`${name}\``);
  const block = `${written(typed.map(shown).join("\n\n"))}\n`;
  if (process.env["PORTCULLIS_WRITE"])
    writeFileSync(
      path,
      text.replace(pattern, (_, before: string, _old, after: string) => `${before}${block}${after}`),
    );
  else assert.equal(found[2], block);
}
