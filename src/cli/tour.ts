import { randomUUID } from "node:crypto";
import type { Problem, SigningRequestView } from "../domain/api.ts";
import { connect, RefusedError } from "../sdk/client.ts";
import { requestText } from "./commands/request.ts";

export type TourClient = {
  readonly client: string;
  readonly keys: readonly { readonly name: string; readonly accounts: readonly string[] }[];
  readonly callers: Readonly<Record<string, string>>;
};

/** Four requests, as a wallet service would make them, with what came back. */
export type Tour = {
  readonly signed: SigningRequestView;
  readonly denied: Problem;
  readonly pending: SigningRequestView;
  readonly refused: Problem;
};

/** In the demo's address book as `treasury`. */
const TREASURY = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const UNKNOWN = "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720";
const ETHER = 10n ** 18n;

export const transfer = (key: string, to: string, ether: bigint) => ({
  key,
  payload: {
    type: "evm-transaction",
    transaction: {
      to,
      value: String(ether * ETHER),
      gas: "21000",
      maxFeePerGas: "30000000000",
      maxPriorityFeePerGas: "1000000000",
    },
  },
});

/** @param clients the demo's: the first pays out, the second is somebody else's */
export async function runTour([ours, theirs]: readonly TourClient[]): Promise<Tour> {
  const wallet = connect(Object.values(ours!.callers)[0]!);
  const key = ours!.keys[0]!.name;
  const ask = (client: string, body: Record<string, unknown>) =>
    wallet.sign(client, body, { idempotencyKey: randomUUID() });
  return {
    signed: await ask(ours!.client, transfer(key, TREASURY, 1n)),
    denied: await refusalOf(ask(ours!.client, transfer(key, UNKNOWN, 1n))),
    pending: await ask(ours!.client, transfer(key, TREASURY, 50n)),
    refused: await refusalOf(ask(ours!.client, transfer(theirs!.keys[0]!.name, TREASURY, 1n))),
  };
}

async function refusalOf(asked: Promise<SigningRequestView>): Promise<Problem> {
  try {
    await asked;
  } catch (error) {
    if (error instanceof RefusedError) return error.problem;
    throw error;
  }
  throw new Error("the demo policy let through what it must refuse");
}

const indented = (text: string): string => text.replace(/^/gm, "   ");

export const tourText = ({ signed, denied, pending, refused }: Tour): string =>
  [
    "1. acme-fund's wallet service asks for 1 ETH to the treasury: the policy allows it, the client's token signs.",
    indented(requestText(signed)),
    "2. It asks for 1 ETH to an address that nobody has put into the address book.",
    `   ${denied.code}: ${denied.detail}`,
    "3. It asks for 50 ETH to the treasury: more than 10 needs two officers.",
    indented(requestText(pending)),
    "4. It asks for a signature with another client's key.",
    `   ${refused.code}: ${refused.detail}`,
  ].join("\n");

type Ready = {
  readonly url: string;
  readonly proxyUrl: string;
  readonly folder: string;
  readonly isolation: string;
  readonly clients: readonly TourClient[];
};

export function howToCall(
  { url, proxyUrl, folder, isolation, clients }: Ready,
  { demo, kept }: { demo: boolean; kept: boolean },
): string {
  const [first] = clients;
  // Of a policy that is not the demo's nobody here knows whom it lets be paid.
  const body = JSON.stringify(transfer(first!.keys[0]!.name, demo ? TREASURY : "0x…", 1n));
  return [
    `listening on ${url}, isolation: ${isolation}`,
    `a signing proxy for ${first!.client}'s ${Object.keys(first!.callers)[0]} listens on ${proxyUrl}; so a plain curl signs:`,
    "",
    `  curl -sS ${proxyUrl}/v1/clients/${first!.client}/signing-requests \\`,
    `    -H 'Idempotency-Key: payout-1' -d '${body}'`,
    "",
    `callers' keys: ${folder}/callers   policies: ${folder}/policies`,
    kept
      ? `everything stays in ${folder}: \`dev --keep\` goes on from it`
      : "everything is gone when this ends (Ctrl-C)",
  ].join("\n");
}
