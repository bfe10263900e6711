import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { GatewayError } from "../../domain/errors.ts";
import type { SigningRequestView } from "../../domain/api.ts";
import { asOption, clientOf, clientOption, gatewayOf, jsonOption, type CommonOptions } from "../options.ts";
import type { GatewayClient } from "../../sdk/client.ts";
import { EXIT, output, table } from "../output.ts";

/** `request …`: what a wallet service does, for people and scripts. */
export function requestCommands(program: Command): void {
  const request = program.command("request").description("signing requests");
  request
    .command("sign [file]")
    .description("ask for a signature; FILE holds the request body as JSON (`-` for standard input)")
    .option("--batch <file>", "instead of one: a JSON list of request bodies, each decided on its own")
    .requiredOption("--idempotency-key <key>", "one for each withdrawal or list; the same key again never signs twice")
    .addOption(clientOption())
    .addOption(asOption())
    .addOption(jsonOption())
    .action(async (file: string | undefined, options: SignOptions) => {
      if ((file === undefined) === (options.batch === undefined))
        throw new GatewayError("usage", "expected one request as FILE, or a list of them with `--batch`");
      const gateway = gatewayOf(options);
      if (options.batch !== undefined) return signBatch(gateway, options.batch, options);
      const view = await gateway.sign(clientOf(gateway, options), readBody(file!), {
        idempotencyKey: options.idempotencyKey,
      });
      output(options.json).result(view, requestText(view));
    });
  request
    .command("get <id>")
    .description("one request: state, decision, what is missing, result")
    .option("--wait <seconds>", "wait for its next state, e.g. 30s")
    .addOption(clientOption())
    .addOption(asOption())
    .addOption(jsonOption())
    .action(async (id: string, options: CommonOptions & { wait?: string }) => {
      const gateway = gatewayOf(options);
      const query = options.wait === undefined ? "" : `?wait=${encodeURIComponent(options.wait)}`;
      const view = await gateway.get<SigningRequestView>(
        `/v1/clients/${clientOf(gateway, options)}/signing-requests/${encodeURIComponent(id)}${query}`,
      );
      output(options.json).result(view, requestText(view));
    });
  request
    .command("cancel <id>")
    .description("take back one of your own requests while it waits for people")
    .addOption(clientOption())
    .addOption(asOption())
    .addOption(jsonOption())
    .action(async (id: string, options: CommonOptions) => {
      const gateway = gatewayOf(options);
      const view = await gateway.call<SigningRequestView>(
        "POST",
        `/v1/clients/${clientOf(gateway, options)}/signing-requests/${encodeURIComponent(id)}/cancellation`,
        { idempotencyKey: `cancel-${id}` },
      );
      output(options.json).result(view, requestText(view));
    });
  request
    .command("list")
    .description("a client's requests, newest first")
    .option("--state <state>", "only those in this state")
    .option("--limit <number>", "at the most", "20")
    .addOption(clientOption())
    .addOption(asOption())
    .addOption(jsonOption())
    .action(async (options: CommonOptions & { state?: string; limit: string }) => {
      const gateway = gatewayOf(options);
      const query = new URLSearchParams({ limit: options.limit, ...(options.state ? { state: options.state } : {}) });
      const listed = await gateway.get<{ requests: SigningRequestView[] }>(
        `/v1/clients/${clientOf(gateway, options)}/signing-requests?${query.toString()}`,
      );
      const rows = listed.requests.map((view) => [
        view.id,
        view.state,
        view.submittedAt,
        view.key,
        view.result?.transactionHash ?? view.result?.signature ?? view.problem?.detail ?? "",
      ]);
      output(options.json).result(listed, rows.length > 0 ? table(rows) : "no requests");
    });
}

type SignOptions = CommonOptions & { idempotencyKey: string; batch?: string };

/** Exit 1 where one of them was refused: the others are what they are. */
async function signBatch(gateway: GatewayClient, file: string, options: SignOptions): Promise<void> {
  const requests = readBody(file) as unknown;
  if (!Array.isArray(requests) || requests.length === 0)
    throw new GatewayError("usage", `expected a JSON list of request bodies in \`${file}\``);
  const { idempotencyKey } = options;
  const answers = await gateway.signBatch(clientOf(gateway, options), requests as Record<string, unknown>[], {
    idempotencyKey,
  });
  const rows = answers.map(({ request, problem }, index) => [
    `${index + 1}`,
    request?.state ?? "refused",
    request?.id ?? "",
    problem
      ? `${problem.code}: ${problem.detail}`
      : (request?.result?.transactionHash ?? request?.result?.signature ?? ""),
  ]);
  output(options.json).result({ answers }, table(rows));
  if (answers.some(({ problem }) => problem)) process.exitCode = EXIT.refused;
}

function readBody(file: string): Record<string, unknown> {
  try {
    return JSON.parse(readFileSync(file === "-" ? 0 : file, "utf8")) as Record<string, unknown>;
  } catch (error) {
    throw new GatewayError("usage", `cannot read a JSON body from \`${file}\`: ${(error as Error).message}`);
  }
}

type ShownDecision = {
  breakGlass?: string[];
  missing?: { approvals?: { group: string; have: number; need: number }[]; notBefore?: number };
};

export const breakGlassText = (rules: readonly string[]): string =>
  `  !! BREAKS THE GLASS, by ${rules.map((rule) => `\`${rule}\``).join(", ")}: a rule for emergencies`;

export function requestText(view: SigningRequestView): string {
  const { missing, breakGlass } = (view.decision ?? {}) as ShownDecision;
  const waiting = [
    ...(missing?.approvals ?? []).map(({ group, have, need }) => `  waits for   ${need - have} more of ${group}`),
    ...(missing?.notBefore === undefined ? [] : [`  not before  ${new Date(missing.notBefore).toISOString()}`]),
  ];
  return [
    `request ${view.id}: ${view.state}${view.subAccount === undefined ? "" : `, of sub-account ${view.subAccount}`}`,
    ...(breakGlass === undefined ? [] : [breakGlassText(breakGlass)]),
    ...(view.result
      ? [
          `  from         ${view.result.address}`,
          ...(view.result.signedTransaction === undefined
            ? [`  digest       ${view.result.digest}`, `  signature    ${view.result.signature}`]
            : [`  hash         ${view.result.transactionHash}`, `  transaction  ${view.result.signedTransaction}`]),
        ]
      : []),
    ...(view.state === "pending" ? waiting : []),
    ...(view.problem ? [`  ${view.problem.code}: ${view.problem.detail}`] : []),
    ...(view.hint ? [`  hint: ${view.hint}`] : []),
  ].join("\n");
}
