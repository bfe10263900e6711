import { randomUUID } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { planExit, type ExitPlan, type ExitTransfer, type Held } from "../../custody/exit.ts";
import type { Asset } from "../../domain/assets.ts";
import { formatAmount, parseAmount } from "../../domain/amount.ts";
import type { Payload, SigningRequestView } from "../../domain/api.ts";
import { addressOf, chainOf, type Account, type AssetSymbol } from "../../domain/chain.ts";
import type { LienView, PositionView } from "../../domain/custody.ts";
import { GatewayError } from "../../domain/errors.ts";
import type { KeyName } from "../../domain/names.ts";
import { compileClient, type CompiledPolicy } from "../../policy/compile.ts";
import type { GatewayClient, RefusedError } from "../../sdk/client.ts";
import type { Statement as AccountStatement } from "../../custody/statement.ts";
import { readStatementText, type Statement } from "../../domain/statement.ts";
import { minedWithin, senderOn, sendOnce, transferData, transferGas, type ChainSender } from "../chain-sender.ts";
import type { Host } from "../host.ts";
import { asOption, clientOf, gatewayOf, jsonOption, type CommonOptions } from "../options.ts";
import { output, table } from "../output.ts";
import { resolvePolicy } from "../policy-check.ts";

type Flags = CommonOptions & {
  readonly node: readonly string[];
  readonly plan?: string;
  readonly dryRun: boolean;
  readonly statementAs?: string;
  readonly out?: string;
};

/** What a run keeps, so that the next one goes on: the same requests with the same idempotency keys. */
type Saved = {
  readonly format: "portcullis/return-assets/v1";
  readonly client: string;
  readonly transfers: readonly {
    readonly idempotencyKey: string;
    readonly chain: string;
    readonly text: string;
    readonly key: string;
    readonly payload: Payload;
  }[];
  readonly left: readonly { readonly text: string }[];
};

/** `return-assets`: everything that is not pledged comes back to the address that the client fixed beforehand. */
export function returnAssetsCommand(program: Command, host: Host): void {
  program
    .command("return-assets <client>")
    .description("bring everything that is not pledged to the policy's `exit`, under the rule that it has for that")
    .requiredOption("--node <url...>", "JSON-RPC of a node of each chain")
    .option("--plan <file>", "where the plan is kept; with a plan in it, the next run goes on with that one")
    .option("--dry-run", "print the plan, and do nothing", false)
    .option("--statement-as <file>", "caller file of who may ask for the final statement, such as an auditor's")
    .option("--out <file>", "write the final statement (JSON)")
    .addOption(asOption())
    .addOption(jsonOption())
    .action((client: string, flags: Flags) => returnAssets(host, client, flags));
}

async function returnAssets(host: Host, named: string, flags: Flags): Promise<void> {
  const gateway = gatewayOf(flags);
  const client = clientOf(gateway, { client: named });
  const nodes = await Promise.all(flags.node.map((url) => senderOn(host, url)));
  const saved = savedIn(flags, client) ?? (await newPlan(gateway, client, nodes));
  const shown = output(flags.json);
  if (flags.dryRun) return shown.result(saved, planText(saved));
  if (flags.plan === undefined)
    throw new GatewayError("usage", "expected `--plan FILE`, found none", { hint: "or `--dry-run`" });
  writeFileSync(flags.plan, `${JSON.stringify(saved, undefined, 2)}\n`);
  const done: Done[] = [];
  for (const transfer of saved.transfers) done.push(await runOne(gateway, client, transfer, nodes));
  const isComplete = done.every(({ state }) => state === "mined");
  const statement =
    isComplete && flags.statementAs !== undefined ? await finalStatement(client, flags, done) : undefined;
  const all = { ...saved, transfers: undefined, done, complete: isComplete, ...(statement ? { statement } : {}) };
  shown.result(all, doneText(done, saved, statement !== undefined));
  if (!isComplete) process.exitCode = 1;
}

// ---- the plan ---------------------------------------------------------------------------------------------------

function savedIn({ plan }: Flags, client: string): Saved | undefined {
  if (plan === undefined || !existsSync(plan)) return undefined;
  const saved = JSON.parse(readFileSync(plan, "utf8")) as Saved;
  if (saved.format === "portcullis/return-assets/v1" && saved.client === client) return saved;
  throw new GatewayError("usage", `expected a plan for \`${client}\` in \`${plan}\`, found another file`);
}

async function newPlan(gateway: GatewayClient, client: string, nodes: readonly ChainSender[]): Promise<Saved> {
  const policy = await policyOf(gateway, client);
  if (policy.exit.size === 0)
    throw new GatewayError("no-exit", `the policy of \`${client}\` fixes no \`exit\``, {
      hint: "an officer-signed policy has to name it: `exit: <address book name>`, and a rule that allows it",
    });
  const held = await readHeld(gateway, client, policy, nodes);
  const terms = {
    exit: policy.exit,
    available: await availableOf(gateway, client, policy),
    gasPriceMax: new Map(nodes.map(({ reader, gasPriceMax }) => [reader.chain, gasPriceMax])),
  };
  return saving(client, planExit(held, terms), nodes);
}

async function policyOf(gateway: GatewayClient, client: string): Promise<CompiledPolicy> {
  const path = `/v1/clients/${client}/policy`;
  const { entry, files } = await gateway.get<{ entry: string; files: Record<string, string> }>(path);
  return compileClient(resolvePolicy({ entry, files }));
}

async function readHeld(
  gateway: GatewayClient,
  client: string,
  { registry, exit }: CompiledPolicy,
  nodes: readonly ChainSender[],
): Promise<Held[]> {
  type Key = { name: KeyName; accounts: Account[] };
  const { keys } = await gateway.get<{ keys: Key[] }>(`/v1/clients/${client}/keys`);
  const held: Held[] = [];
  for (const { name, accounts } of keys)
    for (const account of accounts) {
      const chain = chainOf(account);
      const node = nodes.find(({ reader }) => reader.chain === chain);
      if (!node)
        throw new GatewayError("usage", `expected a \`--node\` of \`${chain}\`, where \`${name}\` has an account`);
      const assets = [...registry.bySymbol.values()].filter(
        (asset) => asset.chain === chain && asset.standard !== "erc1155",
      );
      held.push(...(await heldBy(node, { key: name, account }, assets, exit.get(chain))));
    }
  return held;
}

async function heldBy(
  node: ChainSender,
  of: { readonly key: KeyName; readonly account: Account },
  assets: readonly Asset[],
  exit: Account | undefined,
): Promise<Held[]> {
  const { block } = await node.reader.settled(1);
  const holdings = assets.map((asset) => ({ asset, account: of.account }));
  const amounts = await node.reader.balances(holdings, block);
  const held: Held[] = [];
  for (const [index, asset] of assets.entries()) {
    const amount = amounts[index];
    if (amount === undefined)
      throw new GatewayError("node-answer", `expected the balance of \`${asset.symbol}\` at ${of.account}, found none`);
    const isMoved = amount > 0n && exit !== undefined && asset.standard !== "erc721";
    held.push({
      ...of,
      asset,
      amount,
      gas: isMoved ? await transferGas(node, { asset, from: of.account, to: exit, amount }) : 0n,
    });
  }
  return held;
}

/** What liens leave, as the gateway counts it when it signs. */
async function availableOf(
  gateway: GatewayClient,
  client: string,
  { registry }: CompiledPolicy,
): Promise<Map<AssetSymbol, bigint>> {
  const { liens } = await gateway.get<{ liens: LienView[] }>(`/v1/clients/${client}/liens`);
  const { positions } = await gateway.get<{ positions: PositionView[] }>(`/v1/clients/${client}/positions`);
  return new Map(
    liens.map(({ asset }) => {
      const symbol = asset as AssetSymbol;
      const free = positions.find((each) => each.asset === asset)?.free ?? "0";
      return [symbol, parseAmount(free, registry.bySymbol.get(symbol)!.decimals)];
    }),
  );
}

function saving(client: string, { transfers, left }: ExitPlan, nodes: readonly ChainSender[]): Saved {
  const id = randomUUID();
  return {
    format: "portcullis/return-assets/v1",
    client,
    transfers: transfers.map((transfer, n) => ({
      idempotencyKey: `return-${id}-${n}`,
      chain: transfer.asset.chain,
      text: transferText(transfer),
      key: transfer.key,
      payload: payloadOf(
        transfer,
        nodes.find(({ reader }) => reader.chain === transfer.asset.chain)!,
      ),
    })),
    left: left.map(({ account, asset, amount, why }) => ({
      text: `${formatAmount(amount, asset.decimals)} ${asset.symbol} at ${addressOf(account)}: ${why}`,
    })),
  };
}

const transferText = ({ account, asset, amount, to }: ExitTransfer): string =>
  `${formatAmount(amount, asset.decimals)} ${asset.symbol} from ${addressOf(account)} to ${addressOf(to)}`;

/** The vault counts the nonce. */
function payloadOf({ asset, account, to, amount, gas }: ExitTransfer, { gasPriceMax, tip }: ChainSender): Payload {
  const what =
    asset.standard === "native"
      ? { to: addressOf(to), value: String(amount) }
      : { to: addressOf(asset.contract!), value: "0", data: transferData(to, amount) };
  const price = { gas: String(gas), maxFeePerGas: String(gasPriceMax), maxPriorityFeePerGas: String(tip) };
  const chainId = chainOf(account).slice("eip155:".length);
  return { type: "evm-transaction", transaction: { chainId, ...what, ...price } };
}

const planText = ({ client, transfers, left }: Saved): string =>
  [
    `${client}: ${transfers.length} transfers`,
    ...transfers.map(({ text }) => `  ${text}`),
    ...(left.length === 0 ? [] : ["not returned", ...left.map(({ text }) => `  ${text}`)]),
  ].join("\n");

// ---- the run ----------------------------------------------------------------------------------------------------

type Done = {
  readonly text: string;
  readonly state: "mined" | "reverted" | "broadcast" | "waits" | "refused";
  readonly request?: string;
  readonly transaction?: string;
  readonly why?: string;
};

/** A chain that is slow has the rest of it at the next run. */
const MINED_WITHIN_S = 60;

async function runOne(
  gateway: GatewayClient,
  client: string,
  { idempotencyKey, chain, text, key, payload }: Saved["transfers"][number],
  nodes: readonly ChainSender[],
): Promise<Done> {
  const body = { key, payload, reference: "return-assets" };
  let view: SigningRequestView;
  try {
    view = await gateway.sign(client, body, { idempotencyKey });
  } catch (error) {
    if (!(error instanceof GatewayError) || (error as RefusedError).problem === undefined) throw error;
    return { text, state: "refused", why: error.message };
  }
  const { id: request, result } = view;
  if (result?.signedTransaction === undefined || result.transactionHash === undefined)
    return { text, state: "waits", request };
  const { transactionHash: transaction, signedTransaction } = result;
  const node = nodes.find(({ reader }) => reader.chain === chain)!;
  await sendOnce(node, transaction, signedTransaction);
  const state = (await minedWithin(node, transaction, MINED_WITHIN_S)) ?? "broadcast";
  return { text, request, transaction, state };
}

const STATEMENTS_MAX = 5;

/** Of all time, with every transfer of this plan in it: what ends now by the gateway's own clock. */
async function finalStatement(client: string, flags: Flags, done: readonly Done[]): Promise<Statement> {
  const gateway = gatewayOf({ as: flags.statementAs! });
  for (let tries = 0; tries < STATEMENTS_MAX; tries++) {
    await sleep(1_000);
    const statement = await stateUntil(gateway, client, new Date().toISOString());
    const { movements } = readStatementText(statement.text)!.content as AccountStatement;
    const stated = new Set(movements.map(({ request }) => request));
    if (!done.every(({ request }) => stated.has(request))) continue;
    if (flags.out !== undefined) writeFileSync(flags.out, `${JSON.stringify(statement)}\n`);
    return statement;
  }
  throw new GatewayError("not-stated", "expected a statement with every transfer of this plan, found none", {
    hint: "run the same command again",
  });
}

/** Where the gateway's clock is behind this one, its own time is taken. */
async function stateUntil(gateway: GatewayClient, client: string, to: string): Promise<Statement> {
  const body = { from: "1970-01-01T00:00:00Z", to };
  const options = { body, idempotencyKey: randomUUID() };
  try {
    return await gateway.call<Statement>("POST", `/v1/clients/${client}/statements`, options);
  } catch (error) {
    const now = error instanceof GatewayError ? error.facts["now"] : undefined;
    if (typeof now !== "string" || now === to) throw error;
    return stateUntil(gateway, client, now);
  }
}

function doneText(done: readonly Done[], { client, left }: Saved, isStated: boolean): string {
  const rows = done.map(({ text, state, request, transaction, why }) => [
    state,
    text,
    why ?? transaction ?? request ?? "",
  ]);
  const waits = done.some(({ state }) => state === "waits");
  return [
    `${client}:`,
    ...(rows.length === 0 ? ["nothing to return"] : [table(rows)]),
    ...(left.length === 0 ? [] : ["not returned", ...left.map(({ text }) => `  ${text}`)]),
    ...(waits ? ["what waits for people or a delay is sent by the same command with the same plan"] : []),
    ...(isStated ? ["the final statement is signed"] : []),
  ].join("\n");
}
