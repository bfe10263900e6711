import { randomUUID } from "node:crypto";
import type { Command } from "commander";
import { anchorText, type LogAnchor } from "../../domain/anchor.ts";
import type { Payload } from "../../domain/api.ts";
import { addressOf, chainOf, evmChainId, type Account } from "../../domain/chain.ts";
import { GatewayError } from "../../domain/errors.ts";
import type { GatewayClient } from "../../sdk/client.ts";
import { parseCheckpoint } from "../../tlog/checkpoint.ts";
import { parseNote } from "../../tlog/note.ts";
import { minedWithin, selfCallGas, senderOn, sendOnce, type ChainSender } from "../chain-sender.ts";
import type { ChainHost } from "../host.ts";
import { publicLog } from "../log/public-log.ts";
import { asOption, clientOf, clientOption, gatewayOf, jsonOption, type CommonOptions } from "../options.ts";
import { output } from "../output.ts";

type Flags = CommonOptions & { readonly account: string; readonly node: string };

/** A slow chain has it later: `log verify --anchor` says. */
const MINED_WITHIN_S = 60;

/** `log anchor`: the newest checkpoint in a transaction of a key to itself, decided like every other signing request. */
export function anchorCommand(log: Command, host: ChainHost): void {
  log
    .command("anchor")
    .description("write the log's newest checkpoint to a chain, under the rule that the client's policy has for that")
    .requiredOption("--account <address>", "from which and to which the transaction goes: an account of the client")
    .requiredOption("--node <url>", "JSON-RPC of a node of the chain")
    .addOption(clientOption())
    .addOption(asOption())
    .addOption(jsonOption())
    .action((flags: Flags) => anchor(host, flags));
}

async function anchor(host: ChainHost, flags: Flags): Promise<void> {
  const gateway = gatewayOf(flags);
  const client = clientOf(gateway, flags);
  const node = await senderOn(host, flags.node);
  const { key, account } = await keyOf(gateway, client, node, flags.account);
  const checkpoint = await newest(gateway);
  const payload = await payloadOf(node, account, checkpoint);
  const { id: request, result } = await gateway.sign(
    client,
    { key, payload, reference: "log anchor" },
    { idempotencyKey: randomUUID() },
  );
  if (result?.signedTransaction === undefined || result.transactionHash === undefined)
    throw new GatewayError("not-signed", `the policy wants people to approve request ${request}`, {
      hint: "an anchor is of one moment: give its rule no `approvals` and no `delay`",
    });
  const { transactionHash: transaction, signedTransaction } = result;
  await sendOnce(node, transaction, signedTransaction);
  const state = (await minedWithin(node, transaction, MINED_WITHIN_S)) ?? "broadcast";
  const text = `${checkpoint.size} leaves of ${checkpoint.origin} anchored in ${node.reader.chain}: ${transaction} (${state})`;
  output(flags.json).result({ ...checkpoint, chain: node.reader.chain, transaction, request, state }, text);
  if (state === "reverted") process.exitCode = 1;
}

async function keyOf(
  gateway: GatewayClient,
  client: string,
  { reader }: ChainSender,
  address: string,
): Promise<{ readonly key: string; readonly account: Account }> {
  const { keys } = await gateway.get<{ keys: { name: string; accounts: Account[] }[] }>(`/v1/clients/${client}/keys`);
  for (const { name, accounts } of keys) {
    const account = accounts.find((each) => chainOf(each) === reader.chain && addressOf(each) === address);
    if (account !== undefined) return { key: name, account };
  }
  throw new GatewayError(
    "foreign-account",
    `expected an account of \`${client}\` on ${reader.chain}, found ${address}`,
  );
}

async function newest({ caller }: GatewayClient): Promise<LogAnchor> {
  const note = await publicLog(caller.url).checkpoint();
  const { origin, size, root } = parseCheckpoint(parseNote(note).text);
  return { origin, size, root: Buffer.from(root).toString("base64") };
}

/** The vault counts the nonce. */
async function payloadOf(node: ChainSender, account: Account, checkpoint: LogAnchor): Promise<Payload> {
  const data = `0x${Buffer.from(anchorText(checkpoint)).toString("hex")}`;
  const transaction = {
    chainId: String(evmChainId(node.reader.chain)),
    to: addressOf(account),
    value: "0",
    data,
    gas: String(await selfCallGas(node, account, data)),
    maxFeePerGas: String(node.gasPriceMax),
    maxPriorityFeePerGas: String(node.tip),
  };
  return { type: "evm-transaction", transaction };
}
