import { resolve } from "node:path";
import type { Command } from "commander";
import type { Host, StoreStatus } from "../host.ts";
import { configOption, jsonOption } from "../options.ts";
import { EXIT, output } from "../output.ts";

type StoreOptions = { readonly config: string; readonly json: boolean };

/** `store`: what an administrator of the database does and asks, without a vault. */
export function storeCommands(program: Command, host: Host): void {
  const store = program.command("store").description("the store of this gateway: its schema, and what the server says");

  store
    .command("migrate")
    .description("bring the schema up to this version's; older versions refuse it from then on")
    .addOption(configOption())
    .addOption(jsonOption())
    .action(async ({ config, json }: StoreOptions) => {
      const { from, to } = await host.migrateStore(resolve(config));
      output(json).result({ from, to }, from === to ? `schema ${to}: nothing to do` : `schema ${from} became ${to}`);
    });

  store
    .command("status")
    .description("schema, log and server; exit code 1 where a vault of this version would refuse them")
    .addOption(configOption())
    .addOption(jsonOption())
    .action(async ({ config, json }: StoreOptions) => {
      const status = await host.statusOfStore(resolve(config));
      output(json).result(status, statusText(status));
      if (!status.usable) process.exitCode = EXIT.refused;
    });
}

const statusText = ({ store, schema, usable, reasons, log, server }: StoreStatus): string =>
  [
    `${store}: ${usable ? "usable" : "refused"}`,
    `schema: ${schema.found} (this version writes ${schema.expected})`,
    ...(log ? [`log: ${log.leaves} leaves, the last at ${log.lastAt ?? "no time yet"}`] : []),
    ...Object.entries(server ?? {}).map(([name, value]) => `${name}: ${value}`),
    ...reasons.map(({ code, message }) => `${code}: ${message}`),
  ].join("\n");
