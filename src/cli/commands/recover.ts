import { randomUUID } from "node:crypto";
import { Option, type Command } from "commander";
import type { SigningRequestView } from "../../domain/api.ts";
import { GatewayError } from "../../domain/errors.ts";
import type { GatewayClient } from "../../sdk/client.ts";
import type { Host } from "../host.ts";
import { signaturesOption } from "../officers.ts";
import {
  asOption,
  clientOf,
  clientOption,
  gatewayOf,
  jsonOption,
  socketOption,
  type CommonOptions,
} from "../options.ts";
import { output, table } from "../output.ts";
import { recoverStore, type RecoveryFlags } from "../recovery.ts";

type RecoverFlags = CommonOptions &
  RecoveryFlags & {
    readonly settle?: string;
    readonly settleAll: boolean;
    readonly afterRestore: boolean;
    readonly afterFailover: boolean;
    readonly socket?: string;
  };

/** A request between its authorization and its outcome. */
type Left = Pick<SigningRequestView, "id" | "client" | "caller" | "key"> & {
  readonly authorizedAt: string;
  readonly ageS: number;
  readonly attempts: number;
  readonly unsigned: number;
  /** What settling does with its spend. */
  readonly settling: "given-back" | "counted";
  /** A minute after its authorization: until then its caller may still finish it. */
  readonly settleable: boolean;
};

/** DESIGN section 3: a request not signed within 60 s of its authorization is decided again. */
const SETTLEABLE_AFTER_S = 60;
const PAGE = 500;

/** `recover`: what was authorized and has no outcome; nothing of it is signed by asking. */
export function recoverCommand(program: Command, host: Host): void {
  program
    .command("recover")
    .description(
      "requests that were authorized and have no outcome: list them, or end them as failed; go on after a restore or a failover",
    )
    .option("--settle <id>", "end this one")
    .option("--settle-all", "end every one that is older than a minute and gives its spend back", false)
    .addOption(
      new Option("--after-restore", "officers: go on with an older store; every client starts frozen, limits as used")
        .default(false)
        .conflicts(["afterFailover", "settle", "settleAll"]),
    )
    .addOption(
      new Option("--after-failover", "officers: go on with another server of the database, which lacks nothing")
        .default(false)
        .conflicts(["settle", "settleAll"]),
    )
    .option("--checkpoint <file>", "with --after-…: one that another vault's anchor or an auditor kept", many, [])
    .option("--sign", "with --after-…: print your signature for another officer, and change nothing", false)
    .addOption(signaturesOption())
    .addOption(socketOption())
    .addOption(clientOption())
    .addOption(asOption())
    .addOption(jsonOption())
    .action(async (options: RecoverFlags) => {
      const gateway = gatewayOf(options, options.socket === undefined ? undefined : host.onSocket(options.socket));
      if (options.afterRestore) return recoverStore(gateway, "unknown", options);
      if (options.afterFailover) return recoverStore(gateway, "nothing", options);
      if (options.settle !== undefined && options.settleAll)
        throw new GatewayError("usage", "expected `--settle ID` or `--settle-all`, found both");
      if (options.settle !== undefined) return settleOne(gateway, options, options.settle);
      const left = await leftOf(gateway, options);
      if (!options.settleAll) return output(options.json).result({ requests: left }, listText(left));
      const settled = [];
      // One of unknown outcome keeps its nonce, which may hold up the account on the chain: somebody has to name it.
      for (const request of left.filter(isSafe)) settled.push(await settle(gateway, request));
      output(options.json).result({ settled }, settled.map(settledText).join("\n") || "nothing to settle");
    });
}

const many = (value: string, before: readonly string[]): string[] => [...before, value];

const isSafe = ({ settleable, settling }: Left): boolean => settleable && settling === "given-back";

async function settleOne(gateway: GatewayClient, options: RecoverFlags, id: string): Promise<void> {
  const settled = await settle(gateway, { client: clientOf(gateway, options), id });
  output(options.json).result({ settled: [settled] }, settledText(settled));
}

const settle = (gateway: GatewayClient, { client, id }: Pick<Left, "client" | "id">): Promise<SigningRequestView> =>
  gateway.call<SigningRequestView>(
    "POST",
    `/v1/clients/${client}/signing-requests/${encodeURIComponent(id)}/settlement`,
    {
      idempotencyKey: randomUUID(),
    },
  );

/** Of one client; of all that there are where nobody names one. */
async function leftOf(gateway: GatewayClient, options: RecoverFlags): Promise<Left[]> {
  const left = [];
  for (const client of await clientsOf(gateway, options)) left.push(...(await leftOfClient(gateway, client)));
  return left;
}

async function clientsOf(gateway: GatewayClient, options: RecoverFlags): Promise<string[]> {
  if (options.client !== undefined || gateway.caller.client !== undefined) return [clientOf(gateway, options)];
  const { clients } = await gateway.get<{ clients: { client: string }[] }>("/v1/clients");
  return clients.map(({ client }) => client);
}

async function leftOfClient(gateway: GatewayClient, client: string): Promise<Left[]> {
  const left: Left[] = [];
  for (let cursor: string | null = ""; cursor !== null;) {
    const page: string = cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const listed: { requests: SigningRequestView[]; cursor: string | null } = await gateway.get(
      `/v1/clients/${client}/signing-requests?state=authorized&limit=${PAGE}${page}`,
    );
    left.push(...listed.requests.map(leftFrom));
    cursor = listed.cursor;
  }
  return left;
}

function leftFrom({ id, client, caller, key, authorization }: SigningRequestView): Left {
  const { at, ...rest } = authorization!;
  const ageS = Math.max(0, Math.floor((Date.now() - Date.parse(at)) / 1000));
  return { id, client, caller, key, authorizedAt: at, ageS, ...rest, settleable: ageS > SETTLEABLE_AFTER_S };
}

const EFFECT = {
  "given-back": "gives its spend and nonce back (no attempt made a signature)",
  counted: "leaves its spend counted and its nonce taken (whether a signature was made is not known)",
};

function listText(left: readonly Left[]): string {
  if (left.length === 0) return "no request stands between its authorization and its outcome";
  const rows = left.map(({ client, id, caller, ageS, attempts, unsigned, settling, settleable }) => [
    client,
    id,
    caller,
    `${ageS} s`,
    `${attempts} attempts, ${unsigned} without a signature`,
    settleable ? `settling ${EFFECT[settling]}` : "too young to settle",
  ]);
  return [
    table(rows),
    "to finish one, its own caller sends the same POST with the same idempotency key again: nothing is signed otherwise",
    "to end one as failed: `portcullis recover --client CLIENT --settle ID`, or `--settle-all` for those that give back",
  ].join("\n");
}

function settledText({ id, client, state, problem }: SigningRequestView): string {
  return `${client} ${id}: ${state}${problem ? `; ${problem.detail}` : ""}`;
}
