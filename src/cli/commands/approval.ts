import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline/promises";
import type { Command } from "commander";
import type { ApprovalView, SigningRequestView } from "../../domain/api.ts";
import { APPROVAL_NAMESPACE, approvalText, parseApprovalText, type Verdict } from "../../domain/approval.ts";
import { GatewayError } from "../../domain/errors.ts";
import { readQuestion, type Question } from "../approval-question.ts";
import { intentText } from "../intent-text.ts";
import { asOption, clientOf, clientOption, gatewayOf, jsonOption, type CommonOptions } from "../options.ts";
import { output, table } from "../output.ts";
import { signAsPerson, withSigner, type SignerOptions } from "../person-signer.ts";
import { breakGlassText, requestText } from "./request.ts";

/** `approval …`: what approvers do. Everything is decoded on this machine before anything is signed. */
export function approvalCommands(program: Command): void {
  const approval = program.command("approval").description("requests that wait for people");
  const common = (command: Command): Command =>
    command.addOption(clientOption()).addOption(asOption()).addOption(jsonOption());
  common(approval.command("list").description("requests that wait, and for whom")).action(list);
  common(
    approval
      .command("show <id>")
      .description("what a request would do, decoded here; who has approved and who is missing"),
  ).action(show);
  for (const verdict of ["approve", "reject"] as const) {
    const command = approval
      .command(`${verdict} <id>`)
      .description(
        verdict === "approve"
          ? "decode a request here, show it, sign an approval of exactly that"
          : "end a request: one rejection is enough",
      )
      .option("--person <name>", "whose decision it is; by default the caller file's")
      .option("--expires <time>", "until when it counts, ISO 8601; by default as long as the request")
      .option("--text <file>", "the text that was signed elsewhere, with `--signature`")
      .option("--print-text", "print the text to be signed elsewhere, and sign nothing", false)
      .option("--yes", "sign without asking", false);
    common(withSigner(command)).action((id: string, options: DecideOptions) => decide(id, verdict, options));
  }
}

// ---- list, show -------------------------------------------------------------------------------------------------

async function list(options: CommonOptions): Promise<void> {
  const gateway = gatewayOf(options);
  const path = `/v1/clients/${clientOf(gateway, options)}/signing-requests`;
  const { requests } = await gateway.get<{ requests: SigningRequestView[] }>(`${path}?state=pending&limit=100`);
  const views: ApprovalView[] = [];
  for (const { id, state } of requests)
    if (state !== "expired") views.push(await gateway.get<ApprovalView>(`${path}/${id}/approvals`));
  const rows = views.map(({ request, waiting }) => [
    request.id,
    request.state,
    request.caller,
    request.key,
    waiting ? `${waiting.breakGlass === undefined ? "" : "BREAK GLASS; "}${missingText(waiting)}` : "",
  ]);
  output(options.json).result({ requests: views }, rows.length > 0 ? table(rows) : "nothing waits");
}

type Waiting = NonNullable<ApprovalView["waiting"]>;

const missingText = ({ missing, notBefore }: Waiting): string =>
  [
    ...missing.map(({ group, have, need, from }) => `${need - have} more of ${group} (${from.join(", ")})`),
    ...(notBefore === undefined ? [] : [`not before ${notBefore}`]),
  ].join("; ") || "nobody: the caller's next POST signs it";

async function show(id: string, options: CommonOptions): Promise<void> {
  const gateway = gatewayOf(options);
  const question = await readQuestion(gateway, clientOf(gateway, options), id);
  output(options.json).result(question.view, questionText(question));
}

function questionText({ view, asked }: Question): string {
  if (!asked) return requestText(view.request);
  const { waiting, policy, intent } = asked;
  const { request } = view;
  return [
    `request ${request.id} of ${request.client}: ${request.caller} asks, with key ${request.key}${request.subAccount === undefined ? "" : `, for sub-account ${request.subAccount}`}, since ${request.submittedAt}`,
    ...(waiting.breakGlass === undefined ? [] : [breakGlassText(waiting.breakGlass)]),
    ...(request.reference === undefined ? [] : [`  in its own words: ${JSON.stringify(request.reference)}`]),
    intentText(intent, policy),
    `  decoded here; the gateway says the same (${waiting.intentHash})`,
    `  policy version ${policy.version} ${waiting.policy}`,
    ...waiting.approvals.map(
      ({ person, at, counts }) => `  approved by ${person} at ${at}${counts ? "" : ": counts no more"}`,
    ),
    ...(waiting.outcome === "deny"
      ? ["  would be DENIED now, whoever approves"]
      : [`  waits for ${missingText(waiting)}`]),
    ...(waiting.expires === undefined ? [] : [`  lapses at ${waiting.expires}`]),
  ].join("\n");
}

// ---- approve, reject --------------------------------------------------------------------------------------------

type DecideOptions = CommonOptions &
  SignerOptions & {
    readonly person?: string;
    readonly expires?: string;
    readonly text?: string;
    readonly printText: boolean;
    readonly yes: boolean;
  };

async function decide(id: string, verdict: Verdict, options: DecideOptions): Promise<void> {
  const gateway = gatewayOf(options);
  const client = clientOf(gateway, options);
  const question = await readQuestion(gateway, client, id);
  const text = textOf(question, verdict, options, gateway.caller.caller);
  const { note } = output(options.json);
  if (options.printText) return void process.stdout.write(text);
  note(questionText(question));
  await confirm(verdict, options);
  const signature = signAsPerson(text, APPROVAL_NAMESPACE, options, gateway.caller);
  const path = `/v1/clients/${client}/signing-requests/${encodeURIComponent(id)}`;
  // The same text again is the same act.
  const idempotencyKey = createHash("sha256").update(text).digest("hex");
  const view = await gateway.call<SigningRequestView>(
    "POST",
    `${path}/${verdict === "approve" ? "approvals" : "rejections"}`,
    { body: { text, signature }, idempotencyKey },
  );
  output(options.json).result(view, requestText(view));
}

/** @throws {GatewayError} `request-decided`; `approval-mismatch` for a text from elsewhere that says something else */
function textOf(
  { view, asked }: Question,
  verdict: Verdict,
  { person, expires, text: file, signature }: DecideOptions,
  caller: string,
): string {
  if (!asked)
    throw new GatewayError("request-decided", `expected a request that waits, found one that is ${view.request.state}`);
  const { waiting } = asked;
  const fields = {
    origin: waiting.origin,
    client: view.request.client,
    request: view.request.id,
    verdict,
    intent: waiting.intentHash,
    policy: waiting.policy,
    person: person ?? caller,
    expires: instant(expires ?? waiting.expires),
  };
  if (file === undefined) {
    if (signature !== undefined)
      throw new GatewayError("usage", "expected the text that was signed: `--text FILE` beside `--signature`");
    return approvalText(fields);
  }
  const text = readFileSync(file, "utf8");
  const read = parseApprovalText(text);
  // A decision signed elsewhere may end earlier; everything else in it is what is read here.
  if (read && text === approvalText({ ...fields, expires: read.expires })) return text;
  throw new GatewayError("approval-mismatch", `the text in \`${file}\` is not for this request as it stands now`);
}

/** A request without an end of its own: a day. */
const DAY_MS = 86_400_000;

function instant(text: string | undefined): string {
  const at = text === undefined ? Date.now() + DAY_MS : Date.parse(text);
  if (Number.isNaN(at))
    throw new GatewayError("usage", `expected \`--expires\` as an ISO 8601 time, found \`${text}\``);
  return new Date(at).toISOString();
}

async function confirm(verdict: Verdict, { yes }: DecideOptions): Promise<void> {
  if (yes || !process.stdin.isTTY) return;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question(`${verdict} exactly this? [y/N] `).finally(() => terminal.close());
  if (!/^y(es)?$/i.test(answer.trim())) throw new GatewayError("not-confirmed", "nothing was signed");
}
