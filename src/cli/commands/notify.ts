import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { GatewayError } from "../../domain/errors.ts";
import { durationMs, Duration } from "../../policy/fields.ts";
import type { GatewayClient } from "../../sdk/client.ts";
import { command, noticeKey, webhook, webhookUrl, withRetries, type Deliver } from "../notice-delivery.ts";
import { readNotices, type Notice, type Told } from "../notices.ts";
import { asOption, gatewayOf, jsonOption, type CommonOptions } from "../options.ts";
import { output } from "../output.ts";

type NotifyOptions = CommonOptions & {
  readonly webhook?: string;
  readonly key?: string;
  readonly command?: string;
  readonly remind: string;
  readonly every: string;
  readonly state?: string;
  readonly once: boolean;
};

/** `notify`: tells people what waits for them. A client of the API like any other: the vault connects to nobody. */
export function notifyCommand(program: Command): void {
  program
    .command("notify")
    .description(
      "tell approvers, by a signed webhook or a program, what waits for them; as an auditor, approver or operator",
    )
    .option("--webhook <url>", "POST each notice there, signed (Standard Webhooks, `v1a`)")
    .option("--key <file>", "Ed25519 key that signs notices and nothing else; made where there is none")
    .option("--command <program>", "run it for each notice, with the notice as JSON on its standard input")
    .option("--remind <duration>", "remind of what is missing this long before a request lapses", "2h")
    .option("--every <duration>", "how often to look", "5s")
    .option("--state <file>", "what was told already, kept there over restarts")
    .option("--once", "look once, tell, and end", false)
    .addOption(asOption())
    .addOption(jsonOption())
    .action(notify);
}

async function notify(options: NotifyOptions): Promise<void> {
  const gateway = gatewayOf(options);
  const { note, result } = output(options.json);
  const deliver = deliveryOf(options, note);
  const [remindMs, everyMs] = [duration("--remind", options.remind), duration("--every", options.every)];
  const told = readTold(options.state);
  const tell: Deliver = async (notice) => {
    await withRetries(deliver, notice);
    result(notice, `${notice.at} ${notice.type} ${notice.client} ${notice.request}`);
  };
  for (;;) {
    const failed = await look(gateway, remindMs, told, tell).catch((error: unknown) => error as Error);
    if (options.state !== undefined) keepTold(options.state, told);
    if (options.once && failed) throw failed;
    if (failed) note(`not told: ${failed.message}`);
    if (options.once) return;
    await sleep(everyMs);
  }
}

/** @param told grows by each notice that was delivered, and forgets what waits no more */
async function look(
  gateway: GatewayClient,
  remindMs: number,
  told: Map<string, Told[string]>,
  tell: Deliver,
): Promise<void> {
  const clients = await clientsOf(gateway);
  const reading = { gateway, clients, remindMs };
  const { notices, waiting, unread } = await readNotices(reading, Object.fromEntries(told), Date.now());
  for (const notice of notices) {
    await tell(notice);
    told.set(notice.request, withId(told.get(notice.request), notice));
  }
  for (const [request, { client }] of told) if (!waiting.has(request) && clients.includes(client)) told.delete(request);
  if (unread[0]) throw unread[0];
}

const withId = (before: Told[string] | undefined, { client, id }: Notice): Told[string] => ({
  client,
  ids: [...(before?.ids ?? []), id],
});

/** A client's own people see its requests; the custodian's see all clients'. */
async function clientsOf(gateway: GatewayClient): Promise<string[]> {
  if (gateway.caller.client !== undefined) return [gateway.caller.client];
  const { clients } = await gateway.get<{ clients: { client: string }[] }>("/v1/clients");
  return clients.map(({ client }) => client);
}

function deliveryOf({ webhook: url, key, command: program }: NotifyOptions, note: (text: string) => void): Deliver {
  if (url === undefined && program === undefined)
    throw new GatewayError("usage", "expected `--webhook URL`, `--command PROGRAM` or both");
  const ways = [
    ...(url === undefined ? [] : [signedWebhook(url, key, note)]),
    ...(program === undefined ? [] : [command(program)]),
  ];
  return async (notice) => {
    for (const way of ways) await way(notice);
  };
}

function signedWebhook(url: string, file: string | undefined, note: (text: string) => void): Deliver {
  if (file === undefined) throw new GatewayError("usage", "expected `--key FILE` beside `--webhook`");
  const { key, publicKey, isNew } = noticeKey(file);
  if (isNew) note(`made \`${file}\`; receivers verify notices with ${publicKey}`);
  return webhook(webhookUrl(url), key);
}

function duration(name: string, text: string): number {
  if (Duration.safeParse(text).success) return durationMs(text);
  throw new GatewayError("usage", `expected \`${name}\` as a duration such as \`2h\`, found \`${text}\``);
}

const readTold = (file: string | undefined): Map<string, Told[string]> =>
  new Map(
    file === undefined || !existsSync(file) ? [] : Object.entries(JSON.parse(readFileSync(file, "utf8")) as Told),
  );

function keepTold(file: string, told: ReadonlyMap<string, Told[string]>): void {
  writeFileSync(`${file}.new`, JSON.stringify(Object.fromEntries(told)), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
