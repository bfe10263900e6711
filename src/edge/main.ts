import type { Server as HttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { Nodes, type ChainNodes } from "./chain-node.ts";
import { createAdminApp, createApp, createEdgeServer, type EdgeLimits } from "./app.ts";
import { edgeLog, type LogLevel } from "./log.ts";
import { keepFresh, readTls, type TlsPaths } from "./tls.ts";
import { VaultLink } from "./vault-link.ts";
import { WitnessRounds, type Witness } from "./witnesses.ts";

/**
 * What the edge is told, as its one argument (JSON): it has no configuration file to read and an empty environment.
 */
export type EdgeOptions = {
  readonly socket: string;
  readonly host: string;
  readonly port: number;
  /** Where /metrics is; nowhere without it. */
  readonly admin?: { readonly host: string; readonly port: number };
  readonly tls?: TlsPaths;
  readonly log?: LogLevel;
  readonly limits: EdgeLimits;
  /** C2SP witnesses that are asked for cosignatures. */
  readonly witnesses?: readonly Witness[];
  /** Chain → URL of a node. */
  readonly nodes?: ChainNodes;
  /** End with the process that started this one. */
  readonly supervised?: boolean;
};

/** What is new is cosigned after about this long. */
const WITNESSES_EVERY_MS = 2_000;

export function startEdge(options: EdgeOptions): void {
  const link = new VaultLink(options.socket);
  const log = edgeLog(options.log ?? "warn");
  const tls = options.tls && readTls(options.tls);
  const app = createApp(link, options.limits, log, new Nodes(options.nodes ?? {}));
  const server = createEdgeServer(app, tls);
  const admin = options.admin && createEdgeServer(createAdminApp(link), undefined);
  if (options.tls) {
    const tell = (error: unknown): void => log.warn({ error: (error as Error).message }, "the certificate is kept");
    process.on("SIGHUP", keepFresh(server as HttpsServer, options.tls, tell));
  }
  const fail = (error: Error): never => {
    process.stderr.write(`portcullis edge: ${error.message}\n`);
    process.exit(1);
  };
  server.on("error", fail);
  admin?.on("error", fail);
  admin?.listen(options.admin!.port, options.admin!.host);
  server.listen(options.port, options.host, () => {
    const { port } = server.address() as AddressInfo;
    process.stdout.write(
      `${JSON.stringify({ ready: "edge", url: `${tls ? "https" : "http"}://${options.host}:${port}`, port })}\n`,
    );
  });
  const witnesses = new WitnessRounds(link, log);
  witnesses.run(options.witnesses ?? [], WITNESSES_EVERY_MS);
  const stop = (): void => {
    witnesses.stop();
    // Requests under way are answered, each as the last of its connection; idle connections go at once.
    app.locals["closing"] = true;
    admin?.close();
    admin?.closeAllConnections();
    server.close(() => {
      link.close();
      process.exit(0);
    });
    server.closeIdleConnections();
    link.dropPolls();
  };
  // A terminal and systemd tell every process of the group, and the supervisor tells this one again: once is enough.
  let isTold = false;
  const told = (): void => {
    if (!isTold) stop();
    isTold = true;
  };
  process.on("SIGTERM", told);
  process.on("SIGINT", told);
  const parent = process.ppid;
  if (options.supervised) setInterval(() => process.ppid !== parent && stop(), 500).unref();
}
