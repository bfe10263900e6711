import { resolve } from "node:path";
import { InvalidArgumentError, Option } from "commander";
import { PostgresStore } from "../config.ts";

const TLS = ["ca", "cert", "key"];
const FILES = ["passwordFile", ...TLS];

/**
 * `--postgres host=/run/postgresql,database=portcullis,user=portcullis`: the fields of `store.postgres`, files with their
 * paths; `ca`, `cert` and `key` are those of `tls`, and `tls=system` trusts the system's authorities.
 */
export const postgresOption = (): Option =>
  new Option("--postgres <name=value,...>", "the store is this PostgreSQL database").argParser(parse);

function parse(text: string): PostgresStore {
  const tls: Record<string, string> = {};
  const fields: Record<string, unknown> = {};
  for (const pair of text.split(",")) {
    const [, name, value] = /^([^=]+)=(.+)$/.exec(pair) ?? [];
    if (name === undefined || value === undefined) throw new InvalidArgumentError("expected `name=value,...`");
    const given = FILES.includes(name) ? resolve(value) : value;
    if (TLS.includes(name)) tls[name] = given;
    else if (name !== "tls") fields[name] = ["port", "readers"].includes(name) ? Number(given) : given;
    if (name === "unencrypted") fields[name] = value === "true";
  }
  const encrypted = Object.keys(tls).length > 0 || text.split(",").includes("tls=system");
  const parsed = PostgresStore.safeParse({ ...fields, ...(encrypted ? { tls } : {}) });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new InvalidArgumentError(`\`${issue!.path.join(".")}\`: ${issue!.message}`);
}
