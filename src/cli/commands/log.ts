import { writeFileSync } from "node:fs";
import { Option, type Command } from "commander";
import { GatewayError } from "../../domain/errors.ts";
import { openCheckpoint } from "../../tlog/checkpoint.ts";
import { sameHash } from "../../tlog/hashes.ts";
import { parseVkey, type NoteKey } from "../../tlog/note.ts";
import { parseProof } from "../../tlog/proof.ts";
import { readAnchored, type Anchored } from "../anchor.ts";
import type { ChainHost } from "../host.ts";
import { confirmationsOption } from "../node-option.ts";
import { anchorCommand } from "./log-anchor.ts";
import { exportLog } from "../log/export.ts";
import { linesOf, sizeOf } from "../log/format.ts";
import { promisesIn } from "../log/promises.ts";
import { checkReceipt } from "../log/receipt.ts";
import { publicLog } from "../log/public-log.ts";
import { Resumption } from "../log/resumption.ts";
import { reportText } from "../log/report-text.ts";
import { LogVerifier, type Report } from "../log/verify.ts";
import { readWitnesses, requireWitnessed } from "../log/witnessed.ts";
import { asOption, clientOf, clientOption, gatewayOf, jsonOption, type CommonOptions } from "../options.ts";
import { output } from "../output.ts";
import { progressOn } from "../progress.ts";
import { readText } from "../text-file.ts";

const keyOption = (): Option => new Option("--key <vkey>", "the log's key, as its operators published it");
const many = (value: string, before: readonly string[]): string[] => [...before, value];

type VerifyFlags = {
  readonly key?: string;
  readonly signatures: boolean;
  readonly checkpoint: readonly string[];
  readonly receipt: readonly string[];
  readonly promise: readonly string[];
  readonly witnesses?: string;
  readonly anchor: readonly string[];
  readonly node?: string;
  readonly confirmations: number;
  readonly resume?: string;
  readonly json: boolean;
};

const witnessesOption = (): Option =>
  new Option("--witnesses <file>", "C2SP tlog-policy file: whose cosignatures are asked for, and how many are enough");

/** `log …`: what an auditor does. `verify` needs no gateway. */
export function logCommands(program: Command, host: ChainHost): void {
  const log = program.command("log").description("the verifiable log");
  anchorCommand(log, host);
  log
    .command("export <file>")
    .description("write the log with the openings that you may read; a file that exists is continued")
    .addOption(clientOption())
    .addOption(asOption())
    .addOption(jsonOption())
    .action(async (file: string, options: CommonOptions) => {
      const gateway = gatewayOf(options);
      const client = options.client ?? gateway.caller.client;
      const progress = progressOn(process.stderr);
      const exported = await exportLog(gateway, client, file, (leaves) => progress.show(`${leaves} leaves`));
      progress.end();
      const text = `${file}: ${exported.leaves} leaves (${exported.added} new), checkpoint of ${exported.checkpoint}`;
      output(options.json).result({ file, ...exported }, text);
    });
  log
    .command("verify [file]")
    .description("check an exported log, or receipts alone, without believing the gateway")
    .addOption(keyOption())
    .option("--no-signatures", "leave out the signatures of callers, officers and keys")
    .option("--checkpoint <file>", "one that you kept, or a witness or anchor did; may be repeated", many, [])
    .option("--receipt <file>", "one that you kept; may be repeated", many, [])
    .option("--promise <file>", "answers that you kept (JSON, or JSON lines); may be repeated", many, [])
    .addOption(witnessesOption())
    .option("--anchor <transaction>", "one that anchors this log in a chain; may be repeated", many, [])
    .option("--node <url>", "your own node of that chain (JSON-RPC)")
    .addOption(confirmationsOption())
    .option("--resume <file>", "keep there which signatures are verified, and go on from there when interrupted")
    .addOption(jsonOption())
    .action(async (file: string | undefined, flags: VerifyFlags) => {
      const key = flags.key === undefined ? undefined : parseVkey(flags.key);
      if (file === undefined) return verifyReceipts(key, flags);
      const report = verifyFile(file, key, flags, await anchorsIn(flags));
      output(flags.json).result(report, reportText(report));
      if (!report.ok) process.exitCode = 1;
    });
  log
    .command("prove <request>")
    .description("the receipt of a signing request: it proves offline, with the log's key alone, what was recorded")
    .option("--decision", "of the leaf that decided it, not of the one that ended it", false)
    .option("--out <file>", "by default standard output")
    .addOption(clientOption())
    .addOption(asOption())
    .addOption(jsonOption())
    .action(async (request: string, options: CommonOptions & { decision: boolean; out?: string }) => {
      const gateway = gatewayOf(options);
      const query = options.decision ? "?leaf=decision" : "";
      const path = `/v1/clients/${clientOf(gateway, options)}/signing-requests/${encodeURIComponent(request)}`;
      const receipt = await gateway.text(`${path}/receipt${query}`);
      if (options.out !== undefined) writeFileSync(options.out, receipt);
      output(options.json).result({ receipt }, options.out === undefined ? receipt.trimEnd() : `wrote ${options.out}`);
    });
  log
    .command("checkpoint")
    .description("the newest checkpoint, as anybody can read it")
    .requiredOption("--url <url>", "of the gateway")
    .addOption(keyOption().makeOptionMandatory())
    .option("--after <file>", "an earlier one: that the log extends it is proven from its tiles")
    .option("--out <file>", "keep it, for the next `--after` and for `log verify --checkpoint`")
    .addOption(witnessesOption())
    .addOption(jsonOption())
    .action(
      async (flags: { url: string; key: string; after?: string; out?: string; witnesses?: string; json: boolean }) => {
        const key = parseVkey(flags.key);
        const log = publicLog(flags.url);
        const note = await log.checkpoint();
        const newest = openCheckpoint(note, key);
        const witnesses = flags.witnesses === undefined ? undefined : readWitnesses(flags.witnesses);
        requireWitnessed("the newest checkpoint", note, key, witnesses);
        if (flags.after !== undefined)
          await requireExtends(openCheckpoint(Buffer.from(readText(flags.after)), key), newest, log);
        if (flags.out !== undefined) writeFileSync(flags.out, note);
        const root = Buffer.from(newest.root).toString("base64");
        output(flags.json).result({ size: newest.size, root, note: note.toString() }, note.toString().trimEnd());
      },
    );
}

type Head = { readonly size: number; readonly root: Uint8Array };

/** Both roots are made of the same tiles: the later tree begins with the earlier one. */
async function requireExtends(earlier: Head, newest: Head, log: ReturnType<typeof publicLog>): Promise<void> {
  const isExtended =
    earlier.size <= newest.size &&
    sameHash(await log.rootOf(newest.size, newest.size), newest.root) &&
    sameHash(await log.rootOf(earlier.size, newest.size), earlier.root);
  if (isExtended) return;
  throw new GatewayError(
    "inconsistent-log",
    `expected a log that extends its checkpoint of ${earlier.size} leaves, found one of ${newest.size} that does not`,
    { hint: "keep both checkpoints: signed by one key, they prove that the log was rewritten" },
  );
}

async function anchorsIn({ anchor, node, confirmations }: VerifyFlags): Promise<Anchored[]> {
  if (anchor.length > 0 && node === undefined)
    throw new GatewayError("usage", "expected `--node URL` beside `--anchor`, found none");
  return Promise.all(anchor.map((transaction) => readAnchored(node!, transaction, confirmations)));
}

function verifyFile(file: string, key: NoteKey | undefined, flags: VerifyFlags, anchors: readonly Anchored[]): Report {
  if (flags.resume !== undefined && !flags.signatures)
    throw new GatewayError("usage", "expected `--resume` or `--no-signatures`, found both");
  const resumption = flags.resume === undefined ? undefined : new Resumption(flags.resume);
  const witnesses = flags.witnesses === undefined ? {} : { witnesses: readWitnesses(flags.witnesses) };
  const verifier = new LogVerifier({
    signatures: flags.signatures,
    signaturesFrom: resumption?.leaves ?? 0,
    ...witnesses,
    ...(key ? { key } : {}),
  });
  for (const path of flags.checkpoint) verifier.keepCheckpoint(path, readText(path));
  for (const path of flags.receipt) verifier.keepReceipt(path, readText(path));
  for (const path of flags.promise)
    for (const promise of promisesIn(path, readText(path))) verifier.keepPromise(promise.what, promise);
  for (const anchored of anchors) verifier.keepAnchor(anchored);
  const progress = progressOn(process.stderr);
  const all = sizeOf(file);
  let read = 0;
  const onBytes = (bytes: number): void => {
    read += bytes;
    progress.show(`${Math.floor((read / all) * 100)} %  ${verifier.leaves} leaves`);
  };
  const lines = linesOf(file, onBytes, () =>
    verifier.leaveOut("the last line, which has no line end: it may be cut off"),
  );
  for (const line of lines) {
    verifier.take(line);
    resumption?.take(line, verifier);
  }
  progress.end();
  resumption?.finish(verifier);
  return verifier.finish();
}

function verifyReceipts(key: NoteKey | undefined, { receipt, witnesses: path, json }: VerifyFlags): void {
  if (receipt.length === 0 || !key) {
    throw new GatewayError("usage", "expected an exported log, or `--receipt` and `--key`, found neither", {
      hint: "`portcullis log export FILE` writes one",
    });
  }
  const witnesses = path === undefined ? undefined : readWitnesses(path);
  const checked = receipt.map((file) => {
    const text = readText(file);
    requireWitnessed(`\`${file}\``, Buffer.from(parseProof(text).checkpoint), key, witnesses);
    return { file, ...checkReceipt(text, key) };
  });
  const text = checked.map(({ file, index, size, opening }) => {
    const { type, client, request } = opening as { type: string; client: string; request?: string };
    return `${file}: leaf ${index} of ${size}, ${client}, ${type}${request === undefined ? "" : `, request ${request}`}`;
  });
  output(json).result({ receipts: checked }, text.join("\n"));
}
