import { createHash } from "node:crypto";
import type { ControlBundle } from "../custody/control-proof.ts";
import { controlText, requireChallenge } from "../domain/control.ts";
import { chainOf, type Account } from "../domain/chain.ts";
import { GatewayError } from "../domain/errors.ts";
import { RefusedError, type GatewayClient } from "../sdk/client.ts";
import { parseCheckpoint } from "../tlog/checkpoint.ts";
import { parseNote } from "../tlog/note.ts";
import { askNode } from "./json-rpc.ts";
import { publicLog } from "./log/public-log.ts";

/* Proofs of control are ordinary signing requests for an EIP-191 message, so a client's policy decides about each. */

export type Block = { readonly height: number; readonly hash: string };
type Proof = ControlBundle["proofs"][number];
type KeyView = {
  readonly name: string;
  readonly state: string;
  readonly purpose: string;
  readonly curve: string;
  readonly accounts: readonly string[];
  readonly usable: boolean;
};

/**
 * The texts to be signed, of every account of each of these callers' clients.
 * @param blocks by chain; accounts on other chains are not covered
 */
export async function draftControl(
  gateways: readonly GatewayClient[],
  challenge: string,
  blocks: ReadonlyMap<string, Block>,
): Promise<ControlBundle> {
  requireChallenge(challenge);
  const note = (await publicLog(gateways[0]!.caller.url).checkpoint()).toString();
  const { origin, size, root } = parseCheckpoint(parseNote(Buffer.from(note)).text);
  const checkpoint = { origin, size, root: Buffer.from(root).toString("base64") };
  const proofs: Proof[] = [];
  const notCovered: ControlBundle["notCovered"] = [];
  for (const gateway of gateways) {
    const client = ownClient(gateway);
    const { keys } = await gateway.get<{ keys: KeyView[] }>(`/v1/clients/${client}/keys`);
    for (const key of keys) {
      const why = reasonAgainst(key);
      if (why !== undefined) notCovered.push({ client, key: key.name, why });
      for (const account of why === undefined ? key.accounts : []) {
        const chain = chainOf(account as Account);
        const block = blocks.get(chain);
        if (!block) notCovered.push({ client, key: key.name, why: `no block of ${chain} was given` });
        else {
          const text = controlText({ challenge, client, account, block, checkpoint });
          proofs.push({ client, key: key.name, account, text, signature: null, request: null });
        }
      }
    }
  }
  return { kind: "portcullis/control-proof/v1", challenge, checkpoint: note, proofs, notCovered };
}

export function ownClient({ caller }: GatewayClient): string {
  if (caller.client !== undefined) return caller.client;
  throw new GatewayError("usage", "expected a client's own wallet service, found a caller of the house", {
    hint: "one `--as FILE` for each client in scope",
  });
}

function reasonAgainst({ state, purpose, curve, usable }: KeyView): string | undefined {
  if (purpose === "raw") return "it signs raw digests only, never a text";
  if (curve !== "secp256k1") return `it is a ${curve} key, which signs no EIP-191 message`;
  if (state !== "active") return `it is ${state}`;
  return usable ? undefined : "its token refuses it: see `portcullis key list`";
}

/** Asks for each signature that is not there yet; the same text is the same request, for ever. */
export async function signControl(bundle: ControlBundle, gateways: readonly GatewayClient[]): Promise<ControlBundle> {
  const byClient = new Map(gateways.map((gateway) => [ownClient(gateway), gateway]));
  const proofs: Proof[] = [];
  for (const proof of bundle.proofs) {
    const gateway = byClient.get(proof.client);
    proofs.push(proof.signature === null && gateway ? await signOne(proof, gateway) : proof);
  }
  return { ...bundle, proofs };
}

async function signOne(proof: Proof, gateway: GatewayClient): Promise<Proof> {
  const { client, key, account, text } = proof;
  const idempotencyKey = `control-${createHash("sha256").update(text).digest("hex").slice(0, 40)}`;
  const payload = { type: "evm-message", message: text, chain: chainOf(account as Account) };
  const view = await gateway.sign(client, { key, payload }, { idempotencyKey }).catch((error: unknown) => {
    if (!(error instanceof RefusedError) || error.code !== "denied-by-policy") throw error;
    throw new GatewayError("denied-by-policy", `${account} of client \`${client}\`: ${error.message}`, {
      facts: error.facts,
      hint: "the client's policy needs a rule with `allow: [message]` and `format: [control]`",
    });
  });
  return { ...proof, request: view.id, signature: view.result?.signature ?? null };
}

/** The newest block that cannot be undone any more, as a node of this chain says. */
export async function finalizedBlock(chain: string, url: string): Promise<Block> {
  await requireChain(chain, url);
  return blockFrom(await askNode(url, "eth_getBlockByNumber", ["finalized", false]));
}

/** @throws {GatewayError} `control-invalid` where the node has another block there, or none */
export async function requireBlock(chain: string, url: string, { height, hash }: Block): Promise<void> {
  await requireChain(chain, url);
  const found = blockFrom(await askNode(url, "eth_getBlockByNumber", [`0x${height.toString(16)}`, false]));
  if (found.hash === hash) return;
  throw new GatewayError("control-invalid", `expected block ${height} of ${chain} to be ${hash}, found ${found.hash}`);
}

async function requireChain(chain: string, url: string): Promise<void> {
  const found = `eip155:${BigInt((await askNode(url, "eth_chainId", [])) as string)}`;
  if (found === chain) return;
  throw new GatewayError("usage", `expected a node of ${chain} at \`${url}\`, found one of ${found}`);
}

function blockFrom(answer: unknown): Block {
  const { number, hash } = (answer ?? {}) as { number?: string; hash?: string };
  if (number === undefined || hash === undefined || !/^0x[0-9a-f]{64}$/.test(hash))
    throw new GatewayError("node-refused", "expected a block with number and hash, found none");
  return { height: Number(BigInt(number)), hash };
}
