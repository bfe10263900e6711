import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openSqliteStore } from "../../src/adapters/sqlite/store.ts";
import type { RequestId } from "../../src/domain/request.ts";

/*
 * A store on a disk of one megabyte, filled and emptied again. Argument: an empty folder, in a mount namespace of this
 * process's own. Prints what happened as JSON.
 */

const [folder] = process.argv.slice(2) as [string];
execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", folder]);
const ballast = join(folder, "ballast");
const store = openSqliteStore(join(folder, "store.db"));
const claim = (name: string) => store.write((transaction) => transaction.insertClaim(name, name as RequestId));
const holder = (name: string) => store.read((reader) => reader.claimedBy(name));
const long = "x".repeat(20_000);

await claim("before");
const kept: string[] = [];
let refused: { code?: string } = {};
for (let n = 0; refused.code === undefined && n < 1_000; n++) {
  if (n === 10) writeFileSync(ballast, Buffer.alloc(1_000_000));
  const name = `${n}-${long}`;
  await claim(name).then(
    () => kept.push(name),
    (error: { code?: string }) => (refused = { code: error.code ?? "none" }),
  );
}
const before = await holder("before");
rmSync(ballast);
await claim("afterwards");
const found = await Promise.all([...kept, "afterwards"].map(holder));
await store.close();
process.stdout.write(
  JSON.stringify({
    refused: refused.code,
    before,
    lost: found.filter((each) => each === undefined).length,
    kept: kept.length,
  }),
);
