import { execFileSync } from "node:child_process";
import { rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { migratePostgres } from "../../src/adapters/postgres/migrate.ts";
import { openPostgresStore } from "../../src/adapters/postgres/store.ts";
import type { RequestId } from "../../src/domain/request.ts";
import { PostgresServer } from "./postgres.ts";

/*
 * A database server whose disk is filled and emptied again. Argument: an empty folder, in a mount namespace of this
 * process's own. Prints what happened as JSON.
 */

const [folder] = process.argv.slice(2) as [string];
execFileSync("mount", ["-t", "tmpfs", "-o", "size=200m", "tmpfs", folder]);
process.env["TMPDIR"] = folder;
const server = await PostgresServer.started();
try {
  const options = { ...(await server.database()), patienceMs: 300 };
  await migratePostgres(options);
  const store = await openPostgresStore(options);
  const claim = (name: string) => store.write((transaction) => transaction.insertClaim(name, name as RequestId));
  const holder = (name: string) => store.read((reader) => reader.claimedBy(name));
  // Does not compress: a page takes three.
  const name = (n: number) => `${n}-${Array.from({ length: 150 }, () => Math.random().toString(36).slice(2)).join("")}`;

  await claim("before");
  const ballast = join(folder, "ballast");
  const { bavail, bsize } = statfsSync(folder);
  // The rows fill what is left before the server's own log, written ahead in files of 16 MB, needs another one.
  writeFileSync(ballast, Buffer.alloc(bavail * bsize - 500_000));
  const kept: string[] = [];
  let refused: { code?: string; facts?: { sqlState?: string } } | undefined;
  for (let n = 0; !refused && n < 2_000; n++) {
    const next = name(n);
    await claim(next).then(
      () => kept.push(next),
      (error: typeof refused) => (refused = error),
    );
  }
  const before = await holder("before");
  rmSync(ballast);
  await claim("afterwards");
  const found = await Promise.all([...kept, "afterwards"].map(holder));
  await store.close();
  const lost = found.filter((each) => each === undefined).length;
  const said = { code: refused?.code, sqlState: refused?.facts?.sqlState };
  process.stdout.write(JSON.stringify({ refused: said, before, lost, kept: kept.length }));
} finally {
  await server.remove();
}
