import { GatewayError } from "../../domain/errors.ts";
import { clusterOf, HEAD, headOf, requireDurable, requireSameCluster, requireSchema } from "./head.ts";
import { schemaVersion } from "./migrate.ts";
import { MIGRATIONS } from "./migrations.ts";
import { Session, type PostgresOptions } from "./session.ts";

/** What a vault would find, with every reason for which it would refuse. @throws {GatewayError} `store-unavailable` */
export async function postgresStatus(options: PostgresOptions) {
  const session = await Session.open(options);
  try {
    const found = await schemaVersion(session);
    const [version] = await session.run("SELECT current_setting('server_version') AS version");
    const cluster = await clusterOf(session);
    const schema = { found, expected: MIGRATIONS.length };
    const server = { version: version!["version"]! as string, ...cluster };
    if (found === 0) return { store: "postgres" as const, schema, server, ...verdict([() => requireSchema(found)]) };
    const head = headOf(await session.run(HEAD));
    const [last] = await session.run("SELECT idx, at FROM leaves ORDER BY idx DESC LIMIT 1");
    return {
      store: "postgres" as const,
      schema,
      ...verdict([() => requireSchema(found), () => requireDurable(head), () => requireSameCluster(head, cluster)]),
      log: { leaves: last ? Number(last["idx"]) + 1 : 0, lastAt: last ? new Date(last["at"]!).toISOString() : null },
      server: { ...server, ...head.settings },
    };
  } finally {
    await session.close();
  }
}

function verdict(checks: readonly (() => void)[]) {
  const reasons = checks.flatMap((check) => {
    try {
      check();
      return [];
    } catch (error) {
      const { code, message } = error as GatewayError;
      return [{ code, message }];
    }
  });
  return { usable: reasons.length === 0, reasons };
}
