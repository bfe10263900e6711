import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline/promises";
import type { Command } from "commander";
import { GatewayError } from "../../domain/errors.ts";
import { checkPolicy } from "../../policy/lint.ts";
import { startingDocument, type Answers } from "../../policy/starting-document.ts";
import { readYaml } from "../../policy/yaml.ts";
import { jsonOption } from "../options.ts";
import { output } from "../output.ts";
import { checkAccount } from "../policy-check.ts";

/** The five questions: a flag answers one; on a terminal those without a flag are asked. */
const QUESTIONS = {
  service: "1. Which service asks for signatures? NAME=PUBLIC-KEY, as `caller keygen` printed it",
  approvers:
    "2. Who approves large payments? At least two, better three: a key may be lost. NAME=PUBLIC-KEY NAME=PUBLIC-KEY",
  destination: "3. Who is paid first? NAME=eip155:1:0x…",
  amounts: "4. Of which asset, how much at once without people, how much a day? ASSET=PAYMENT/DAY, such as ETH=10/100",
  fee: "5. What may one transaction pay for its execution, in the chain's own coin? Such as 0.02",
} as const;
type Question = keyof typeof QUESTIONS;
type InitOptions = Partial<Record<Exclude<Question, "approvers">, string>> & {
  readonly approver: string[];
  readonly out?: string;
  readonly json: boolean;
};

const SHARED = "shared/assets.yaml";

export function policyInitCommand(policy: Command): void {
  policy
    .command("init <client>")
    .description("write a commented document to begin with, with tests, from five answers")
    .option("--service <name=key>", QUESTIONS.service)
    .option("--approver <name=key...>", QUESTIONS.approvers, [])
    .option("--destination <name=account>", QUESTIONS.destination)
    .option("--amounts <asset=payment/day>", QUESTIONS.amounts)
    .option("--fee <amount>", QUESTIONS.fee)
    .option("--out <file>", `where to; default policies/CLIENT.yaml, beside ${SHARED}`)
    .addOption(jsonOption())
    .action(init);
}

async function init(client: string, options: InitOptions): Promise<void> {
  const file = options.out ?? join("policies", `${client}.yaml`);
  if (existsSync(file)) throw new GatewayError("file-exists", `expected no file \`${file}\` yet, found one`);
  const registry = readRegistry(join(dirname(file), SHARED));
  const text = startingDocument(answersOf(client, await ask(options), registry.text));
  const name = `${client}.yaml`;
  const files = new Map([
    [name, text],
    [SHARED, registry.text],
  ]);
  const findings = checkPolicy(name, files, checkAccount).filter(({ severity }) => severity === "error");
  if (findings.length > 0) {
    const hint = "one of the answers is not as it should be; nothing was written";
    throw new GatewayError("policy-invalid", findings[0]!.message, { hint, facts: { findings } });
  }
  writeFileSync(file, text, { flag: "wx" });
  const next = `portcullis policy check ${file}`;
  output(options.json).result({ file, client, next }, `${file} is a beginning: read it, change it, then\n  ${next}`);
}

async function ask({ approver, ...options }: InitOptions): Promise<Record<Question, string>> {
  const given: Partial<Record<Question, string>> = {
    ...options,
    ...(approver.length > 0 ? { approvers: approver.join(" ") } : {}),
  };
  const missing = (Object.keys(QUESTIONS) as Question[]).filter((question) => given[question] === undefined);
  if (missing.length > 0 && !process.stdin.isTTY) {
    const flags = missing.map((question) => `--${question === "approvers" ? "approver" : question}`);
    throw new GatewayError("usage", `expected answers to five questions, found none for ${flags.join(", ")}`, {
      hint: QUESTIONS[missing[0]!].slice(3),
    });
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    for (const question of missing) given[question] = await terminal.question(`${QUESTIONS[question]}\n> `);
  } finally {
    terminal.close();
  }
  return given as Record<Question, string>;
}

function answersOf(client: string, given: Record<Question, string>, registry: string): Answers {
  const approvers = given.approvers
    .trim()
    .split(/\s+/)
    .map((text) => pair(text, "NAME=PUBLIC-KEY"));
  if (approvers.length < 2)
    throw new GatewayError("usage", `expected at least two approvers, found ${approvers.length}`, {
      hint: "no one alone should be able to move much",
    });
  const { name: asset, rest } = pair(given.amounts, "ASSET=PAYMENT/DAY");
  const [paymentMax, dailyMax, ...more] = rest.split("/");
  if (!paymentMax || !dailyMax || more.length > 0) throw wrong("ASSET=PAYMENT/DAY", given.amounts);
  const service = pair(given.service, "NAME=PUBLIC-KEY");
  const destination = pair(given.destination, "NAME=ACCOUNT");
  return {
    client,
    service: { name: service.name, key: service.rest },
    approvers: approvers.map(({ name, rest: key }) => ({ name, key })),
    destination: { name: destination.name, address: destination.rest },
    asset,
    paymentMax,
    dailyMax,
    feeAsset: nativeAssetOf(asset, registry),
    feeMax: given.fee,
  };
}

/** A public key may end with `=`: the first one divides. */
function pair(text: string, form: string): { name: string; rest: string } {
  const at = text.indexOf("=");
  if (at < 1 || at === text.length - 1) throw wrong(form, text);
  return { name: text.slice(0, at).trim(), rest: text.slice(at + 1).trim() };
}

const wrong = (expected: string, found: string) =>
  new GatewayError("usage", `expected an answer such as ${expected}, found \`${found}\``);

function readRegistry(path: string): { text: string } {
  if (existsSync(path)) return { text: readFileSync(path, "utf8") };
  throw new GatewayError("file-missing", `expected the registry of assets at \`${path}\`, found no file`, {
    hint: "copy it from Portcullis' own policies/shared, or write one: docs/policy-reference.md",
  });
}

type Registry = {
  readonly chains?: Readonly<Record<string, { readonly native?: string }>>;
  readonly assets?: Readonly<Record<string, { readonly chain?: string }>>;
};

/** Whether the registry is right is judged with the document. */
function nativeAssetOf(asset: string, registry: string): string {
  const { chains, assets } = (readYaml(SHARED, registry).source?.value ?? {}) as Registry;
  const native = chains?.[assets?.[asset]?.chain ?? ""]?.native;
  if (native !== undefined) return native;
  throw new GatewayError("usage", `expected an asset of \`${SHARED}\`, found \`${asset}\``);
}
