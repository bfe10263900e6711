import type { Command } from "commander";
import { ControlBundle, verifyControl, type ControlVerified } from "../../custody/control-proof.ts";
import { chainOf, type Account } from "../../domain/chain.ts";
import { GatewayError } from "../../domain/errors.ts";
import { connect, type GatewayClient } from "../../sdk/client.ts";
import { parseVkey } from "../../tlog/note.ts";
import { draftControl, finalizedBlock, requireBlock, signControl, type Block } from "../control.ts";
import { readJson, writeJson } from "../json-file.ts";
import { chainAndUrl } from "../node-option.ts";
import { jsonOption } from "../options.ts";
import { output, table } from "../output.ts";

const many = (value: string, before: readonly string[]): string[] => [...before, value];

type ProveFlags = {
  readonly challenge?: string;
  readonly as: readonly string[];
  readonly node: readonly string[];
  readonly block: readonly string[];
  readonly out: string;
  readonly resume?: string;
  readonly json: boolean;
};
type VerifyFlags = {
  readonly challenge?: string;
  readonly key?: string;
  readonly node: readonly string[];
  readonly json: boolean;
};

/** `prove-control`: each key signs a text that says whose it is, to whom and when. `verify` needs no gateway. */
export function proveControlCommands(program: Command): void {
  const prove = program
    .command("prove-control")
    .description(
      "have every key of these clients sign that it is under control, for an auditor who chose the challenge",
    )
    .option("--challenge <text>", "the auditor's own: 16 to 64 characters of `A-Z a-z 0-9 . _ -`")
    .option("--as <file>", "a wallet service of each client in scope; may be repeated (PORTCULLIS_CALLER)", many, [])
    .option(
      "--node <chain=url>",
      "a node that says the newest final block, such as `eip155:1=http://…`; may be repeated",
      many,
      [],
    )
    .option("--block <chain=height:hash>", "the block itself, instead of a node; may be repeated", many, [])
    .option("--out <file>", "the bundle", "control.json")
    .option("--resume <file>", "a bundle that waited for people: ask again for what it lacks")
    .addOption(jsonOption())
    .action(proveControl);
  prove
    .command("verify <bundle>")
    .description("hold a bundle against itself, the log's key and a node, without the gateway")
    .option("--challenge <text>", "what you asked with")
    .option("--key <vkey>", "the log's key, as its operators published it")
    .option("--node <chain=url>", "your own node: that it has the block; may be repeated", many, [])
    .addOption(jsonOption())
    .action(verifyFile);
}

async function proveControl(flags: ProveFlags): Promise<void> {
  const gateways = gatewaysOf(flags.as);
  const draft = flags.resume === undefined ? await newDraft(flags, gateways) : bundleIn(flags.resume);
  if (draft.proofs.length === 0) throw nothingToProve(draft);
  const bundle = await signControl(draft, gateways);
  writeJson(flags.out, bundle);
  const waiting = bundle.proofs.filter(({ signature }) => signature === null).length;
  const signed = bundle.proofs.length - waiting;
  const lines = [
    `${flags.out}: ${signed} accounts proven, ${waiting} wait for people, ${bundle.notCovered.length} not covered`,
    ...bundle.notCovered.map(({ client, key, why }) => `  not covered: ${client} ${key}: ${why}`),
    ...(waiting > 0 ? [`next: portcullis prove-control --resume ${flags.out}, when they have approved`] : []),
  ];
  output(flags.json).result(bundle, lines.join("\n"));
  if (waiting > 0) process.exitCode = 1;
}

/** Nothing is written: it would take the place of a bundle that proves something. */
function nothingToProve({ notCovered }: ControlBundle): GatewayError {
  const why = notCovered.map(({ client, key, why }) => `${client} ${key}: ${why}`).join("; ");
  return new GatewayError("control-invalid", `expected an account to prove, found none${why && ` (${why})`}`, {
    facts: { notCovered },
    hint: "`--node CHAIN=URL` or `--block CHAIN=HEIGHT:HASH` says the block of each chain",
  });
}

function gatewaysOf(files: readonly string[]): GatewayClient[] {
  const fallback = process.env["PORTCULLIS_CALLER"];
  const named = files.length === 0 && fallback !== undefined ? [fallback] : files;
  if (named.length > 0) return named.map((file) => connect(file));
  throw new GatewayError("usage", "expected a caller file, found none", {
    hint: "name one for each client in scope with `--as FILE`",
  });
}

async function newDraft({ challenge, node, block }: ProveFlags, gateways: GatewayClient[]): Promise<ControlBundle> {
  if (challenge === undefined) throw new GatewayError("usage", "expected `--challenge TEXT` or `--resume FILE`");
  const blocks = new Map<string, Block>();
  for (const each of block) blocks.set(...givenBlock(each));
  for (const [chain, url] of node.map(chainAndUrl)) blocks.set(chain, await finalizedBlock(chain, url));
  return draftControl(gateways, challenge, blocks);
}

function bundleIn(path: string): ControlBundle {
  const parsed = ControlBundle.safeParse(readJson(path));
  if (parsed.success) return parsed.data;
  throw new GatewayError("control-invalid", `expected a bundle of proofs of control in \`${path}\``);
}

function givenBlock(text: string): [string, Block] {
  const [, chain, height, hash] = /^(eip155:[1-9][0-9]{0,15})=(0|[1-9][0-9]{0,15}):(0x[0-9a-f]{64})$/.exec(text) ?? [];
  if (chain !== undefined) return [chain, { height: Number(height), hash: hash! }];
  throw new GatewayError("usage", `\`--block\`: expected \`eip155:1=21000000:0x…\`, found \`${text}\``);
}

async function verifyFile(file: string, { challenge, key, node, json }: VerifyFlags): Promise<void> {
  const bundle = readJson(file);
  const verified = verifyControl(bundle, { challenge, log: key === undefined ? undefined : parseVkey(key) });
  const nodes = new Map(node.map(chainAndUrl));
  for (const { account, block } of verified.claims) {
    const url = nodes.get(chainOf(account as Account));
    if (url !== undefined) await requireBlock(chainOf(account as Account), url, block);
  }
  const notChecked = notCheckedOf(verified, challenge, nodes);
  const { notCovered } = bundle as ControlBundle;
  output(json).result({ ...verified, notCovered, notChecked }, verifiedText(verified, notCovered, notChecked));
}

const notCheckedOf = (
  { claims, checkpointVerified }: ControlVerified,
  challenge: string | undefined,
  nodes: ReadonlyMap<string, string>,
): string[] => [
  ...(challenge === undefined ? ["that the challenge is yours: `--challenge`"] : []),
  ...(checkpointVerified ? [] : ["the checkpoint's signature: `--key`"]),
  ...[...new Set(claims.map(({ account }) => chainOf(account as Account)))]
    .filter((chain) => !nodes.has(chain))
    .map((chain) => `that ${chain} has the block: \`--node ${chain}=URL\``),
];

function verifiedText(
  { claims, checkpoint }: ControlVerified,
  notCovered: ControlBundle["notCovered"],
  notChecked: readonly string[],
): string {
  return [
    `verified: ${claims.length} accounts, log ${checkpoint.origin} at ${checkpoint.size}`,
    table(claims.map(({ client, account, block }) => [`  ${client}`, account, `block ${block.height}`])),
    ...notCovered.map(({ client, key, why }) => `not covered: ${client} ${key}: ${why}`),
    ...notChecked.map((what) => `not checked: ${what}`),
  ].join("\n");
}
