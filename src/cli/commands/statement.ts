import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import type { Command } from "commander";
import {
  contradictionIn,
  statementCsv,
  statementHtml,
  type Statement as AccountStatement,
} from "../../custody/statement.ts";
import { readStatedAccount, type StatedAccount } from "../../custody/stated-account.ts";
import { GatewayError } from "../../domain/errors.ts";
import { readStatementText, type Statement } from "../../domain/statement.ts";
import { GatewayFile } from "../../sdk/caller-file.ts";
import { verifyStatement } from "../../sdk/statement.ts";
import { openCheckpoint } from "../../tlog/checkpoint.ts";
import { parseVkey, type NoteKey } from "../../tlog/note.ts";
import { readJson } from "../json-file.ts";
import { checkReceipt } from "../log/receipt.ts";
import { asOption, clientOf, clientOption, gatewayOf, jsonOption, type CommonOptions } from "../options.ts";
import { output, table } from "../output.ts";
import { readText } from "../text-file.ts";

type Attested = {
  readonly gateway: string;
  readonly client: string;
  readonly at: string;
  readonly attestation: string;
  readonly isolation: string;
  readonly module: { readonly manufacturer: string; readonly version: string };
  readonly token: {
    readonly label: string;
    readonly serial: string;
    readonly model: string;
    readonly firmware: string;
  };
  readonly keys: readonly {
    readonly key: string;
    readonly curve: string;
    readonly state: string;
    readonly publicKey: string;
    readonly accounts: readonly string[];
    readonly proven: boolean;
    readonly attributes?: Readonly<Record<string, boolean>>;
    readonly refused?: { readonly detail: string };
  }[];
};

/** `key attest`: asked of the gateway. */
export function attestCommand(key: Command): void {
  key
    .command("attest")
    .description(
      "what a client's token and keys show now: each is checked, signs a challenge, and the report is signed",
    )
    .option("--out <file>", "write the signed statement, for whoever shall verify it")
    .addOption(clientOption())
    .addOption(asOption())
    .addOption(jsonOption())
    .action(async (options: CommonOptions & { out?: string }) => {
      const gateway = gatewayOf(options);
      const statement = await gateway.get<Statement>(`/v1/clients/${clientOf(gateway, options)}/attestation`);
      if (options.out !== undefined) writeFileSync(options.out, `${JSON.stringify(statement)}\n`);
      const said = readStatementText(statement.text)?.content as Attested;
      output(options.json).result(statement, attestedText(said));
      if (!said.keys.every(({ proven }) => proven)) process.exitCode = 1;
    });
}

/** `statement`: of a client's account. `statement verify`: without the gateway. */
export function statementCommands(program: Command): void {
  const statement = program
    .command("statement")
    .description("a client's account over a period: positions, movements, liens, signed by the gateway")
    .option(
      "--from <time>",
      "its first moment, such as `2026-10-01T00:00:00Z`; default: the beginning",
      "1970-01-01T00:00:00Z",
    )
    .option("--to <time>", "the first moment after it; default: now")
    .option("--sub-account <name>", "of an omnibus client: of this one alone")
    .option("--out <file>", "write the signed statement (JSON)")
    .option("--csv <file>", "write the movements as CSV")
    .option("--html <file>", "write it as a page to print")
    .addOption(clientOption())
    .addOption(asOption())
    .addOption(jsonOption())
    .action(stateAccount);

  statement
    .command("verify <file>")
    .description("hold a signed statement against the gateway's statement key, without the gateway")
    .option("--gateway <file>", "gateway.json or a caller file, which names that key", "gateway.json")
    .option("--key <key>", "the key itself, `ed25519:…`, as leaf 0 has it")
    .option("--log-key <vkey>", "the log's key: that the log holds the account's last leaf is proven by its receipt")
    .option("--csv <file>", "that this table is the statement's")
    .option("--html <file>", "that this page is the statement's")
    .addOption(jsonOption())
    .action(verifyFile);
}

type VerifyFlags = {
  readonly gateway: string;
  readonly key?: string;
  readonly logKey?: string;
  readonly csv?: string;
  readonly html?: string;
  readonly json: boolean;
};

function verifyFile(file: string, flags: VerifyFlags): void {
  const signed = readJson(file);
  const { kind, content } = verifyStatement(signed, flags.key ?? statementKeyIn(flags.gateway));
  const isAccount = kind === "account-statement";
  if (isAccount) requireAccount(readStatedAccount(content), signed as Statement, flags);
  else if (flags.csv !== undefined || flags.html !== undefined)
    throw invalid(`expected an account statement beside \`--csv\` or \`--html\`, found a ${kind}`);
  const notChecked = isAccount && flags.logKey === undefined ? ["that the log holds the last leaf: `--log-key`"] : [];
  const lines = [statedText(kind, content), ...notChecked.map((what) => `not checked: ${what}`)];
  output(flags.json).result({ kind, content, notChecked }, `verified\n${lines.join("\n")}`);
}

const invalid = (message: string): GatewayError => new GatewayError("statement-invalid", message);

/** @throws {GatewayError} `statement-invalid`; as `checkReceipt` and `openCheckpoint` do */
function requireAccount(stated: StatedAccount, signed: Statement, { logKey, csv, html }: VerifyFlags): void {
  const account = stated as unknown as AccountStatement;
  const contradiction = contradictionIn(account);
  if (contradiction !== undefined) throw invalid(contradiction);
  if (logKey !== undefined) requireInLog(stated, parseVkey(logKey));
  if (csv !== undefined) requireSameText(csv, statementCsv(account));
  if (html !== undefined) requireSameText(html, statementHtml(account, signed));
}

/** A table or page has no signature: it is made again, and is the same byte for byte. */
function requireSameText(path: string, expected: string): void {
  if (readText(path) === expected) return;
  throw invalid(`\`${path}\` says something else than the signed statement, or says it in other bytes`);
}

function requireInLog({ gateway, client, last, receipt, checkpoint }: StatedAccount, key: NoteKey): void {
  if (gateway !== key.name) throw invalid(`the statement is of gateway \`${gateway}\`, the key of \`${key.name}\``);
  if (checkpoint !== null) openCheckpoint(Buffer.from(checkpoint), key);
  if (last === null) return;
  if (receipt === null) throw invalid("expected a receipt for the last leaf, found none");
  const { index, opening } = checkReceipt(receipt, key);
  const said = opening as { readonly client: unknown; readonly number: unknown };
  if (index === last.index && said.client === client && said.number === last.number) return;
  throw invalid(`the receipt is of leaf ${index}, which is not the account's last one`);
}

type StateFlags = CommonOptions & {
  readonly from: string;
  readonly to?: string;
  readonly subAccount?: string;
  readonly out?: string;
  readonly csv?: string;
  readonly html?: string;
};

async function stateAccount(options: StateFlags): Promise<void> {
  const { from, to = nowText(), subAccount, out, csv, html, json } = options;
  const gateway = gatewayOf(options);
  const body = { from, to, ...(subAccount === undefined ? {} : { subAccount }) };
  const path = `/v1/clients/${clientOf(gateway, options)}/statements`;
  const signed = await gateway.call<Statement>("POST", path, { body, idempotencyKey: randomUUID() });
  const account = readStatementText(signed.text)?.content as AccountStatement;
  if (out !== undefined) writeFileSync(out, `${JSON.stringify(signed)}\n`);
  if (csv !== undefined) writeFileSync(csv, statementCsv(account));
  if (html !== undefined) writeFileSync(html, statementHtml(account, signed));
  output(json).result(signed, accountText(account));
}

/** Of the second before: the gateway's clock may be a moment behind this one. */
const nowText = (): string => new Date(Date.now() - 1_000).toISOString();

function statedText(kind: string, content: unknown): string {
  if (kind === "key-attestation") return attestedText(content as Attested);
  return kind === "account-statement"
    ? accountText(content as AccountStatement)
    : JSON.stringify(content, undefined, 2);
}

function accountText({ client, subAccount, from, to, positions, movements, liens, last }: AccountStatement): string {
  const heads = ["asset", "opening", "credits", "debits", "closing", "encumbered", "free"] as const;
  return [
    `client ${client}${subAccount === undefined ? "" : `, sub-account ${subAccount}`}, ${from} to ${to}`,
    positions.length === 0
      ? "  no positions"
      : table([[...heads], ...positions.map((each) => heads.map((head) => each[head]))]),
    `  ${movements.length} movements, ${liens.length} liens; ${last === null ? "no leaf of this client" : `last leaf ${last.number}`}`,
  ].join("\n");
}

function statementKeyIn(path: string): string {
  const { statementKey } = GatewayFile.loose().parse(readJson(path));
  if (statementKey !== undefined) return statementKey;
  throw new GatewayError("usage", `expected \`statementKey\` in \`${path}\`, found none`, {
    hint: "name it with `--key`",
  });
}

function attestedText({ gateway, client, at, attestation, isolation, module, token, keys }: Attested): string {
  const rows = keys.flatMap(({ key, curve, state, proven, refused, accounts, attributes, publicKey }) => [
    [key, curve, state, proven ? "proven now" : `REFUSED: ${refused?.detail ?? ""}`],
    ["", "", "", publicKey],
    ...accounts.map((account) => ["", "", "", account]),
    ...(attributes ? [["", "", "", shown(attributes)]] : []),
  ]);
  return [
    `${gateway}, client ${client}, ${at}`,
    `  ${attestation}`,
    `  isolation  ${isolation}`,
    `  module     ${module.manufacturer} ${module.version}`,
    `  token      ${token.label}, serial ${token.serial}, ${token.model}, firmware ${token.firmware}`,
    rows.length > 0 ? table(rows) : "  no keys",
  ].join("\n");
}

const shown = (attributes: Readonly<Record<string, boolean>>): string =>
  Object.entries(attributes)
    .map(([name, value]) => `${value ? "" : "not "}${name.replace("CKA_", "")}`)
    .join(", ");
