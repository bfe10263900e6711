import type { AssetRegistry } from "../../domain/assets.ts";
import type { Account, AssetSymbol } from "../../domain/chain.ts";
import { GatewayError } from "../../domain/errors.ts";
import { intentFromJson, type Intent } from "../../domain/intent.ts";
import { Register, type Opening } from "../../custody/register.ts";
import { compileClient, compileHouse, type CompiledHouse, type CompiledPolicy } from "../../policy/compile.ts";
import { parseCheckpoint } from "../../tlog/checkpoint.ts";
import { parseNote } from "../../tlog/note.ts";
import { linesOf, parseLine, type HeaderLine, type LeafLine, type PolicyLine } from "../log/format.ts";
import { resolvePolicy } from "../policy-check.ts";

/*
 * What an exported log says of clients, keys, policies and positions: the ground of every report, so that whoever has the
 * export can make the report again. Leaves that no checkpoint covers are left out.
 */

export type OpenedLeaf = Opening & { readonly client: string; readonly number: number };

export type KnownKey = {
  readonly key: string;
  readonly curve: string;
  readonly purpose: string;
  readonly publicKey: string;
  readonly chains: readonly string[];
  readonly accounts: readonly Account[];
  readonly attributes: unknown;
  readonly createdIn: number;
  readonly createdAt: number;
  readonly state: "active" | "disabled" | "retired";
};

export type PolicyVersion = PolicyLine & {
  readonly leaf: number;
  readonly at: number;
  readonly signatures: readonly { readonly person: string; readonly signature: string }[];
  readonly compiled: CompiledPolicy | CompiledHouse;
};

export type KnownClient = {
  readonly client: string;
  readonly token: { readonly label: string; readonly serial: string };
  readonly addedIn: number;
  readonly keys: Map<string, KnownKey>;
  readonly register: Register;
  readonly leaves: OpenedLeaf[];
};

/** A withdrawal that touches an account of another client or of the house. */
export type Crossing = {
  readonly leaf: number;
  readonly client: string;
  readonly request: string;
  readonly other: string;
  readonly account: Account;
  readonly side: "from" | "to";
  /** Whether a rule of the policy of that moment names the other. */
  readonly named: boolean;
};

export class LogFacts {
  readonly header: HeaderLine;
  readonly checkpoint: { readonly size: number; readonly root: string; readonly note: string };
  readonly clients = new Map<string, KnownClient>();
  readonly policies: PolicyVersion[] = [];
  readonly crossings: Crossing[] = [];
  /** When the last of its leaves was written, ms since 1970. */
  at = 0;
  genesis: OpenedLeaf | undefined;
  readonly #owners = new Map<Account, string>();
  readonly #documents = new Map<string, PolicyLine>();

  /** @throws {GatewayError} `malformed-export`; `export-partial` for one that is not open, or has no checkpoint */
  constructor(file: string) {
    const note = lastCheckpointIn(file);
    const { size, root } = parseCheckpoint(parseNote(Buffer.from(note)).text);
    this.checkpoint = { size, root: Buffer.from(root).toString("base64"), note };
    let [number, header] = [0, undefined as HeaderLine | undefined];
    for (const text of linesOf(file)) {
      const line = parseLine(text, ++number);
      if ("header" in line) header = line.header;
      else if ("policy" in line) this.#documents.set(`${line.policy.client}/${line.policy.hash}`, line.policy);
      else if ("leaf" in line && line.leaf.index < size) this.#take(line.leaf);
    }
    this.header = header!;
  }

  policyOf(client: string): CompiledPolicy | undefined {
    const compiled = this.policies.findLast((each) => each.client === client)?.compiled;
    return compiled?.of === "client" ? compiled : undefined;
  }

  registryOf(client: string): Pick<AssetRegistry, "bySymbol"> | undefined {
    return this.policyOf(client)?.registry;
  }

  /** As the gateway has it: an asset that no registry names any more is counted in its smallest unit. */
  decimalsOf = (client: string) => {
    const registry = this.registryOf(client);
    return (asset: AssetSymbol): number => registry?.bySymbol.get(asset)?.decimals ?? 0;
  };

  /** All clients but the house itself, which holds nothing: its own funds are those of a client with `owner: house`. */
  all(): KnownClient[] {
    return [...this.clients.values()].filter(({ client }) => client !== "house");
  }

  /** Of everybody, in the order of the log. */
  leaves(): OpenedLeaf[] {
    return [...this.clients.values()].flatMap(({ leaves }) => leaves).sort((one, other) => one.index - other.index);
  }

  #take(leaf: LeafLine): void {
    if ("commitment" in leaf)
      throw new GatewayError("export-partial", `expected every leaf open, found leaf ${leaf.index} closed`, {
        hint: "an auditor of the house exports all of them",
      });
    const opening = JSON.parse(leaf.opening) as OpenedLeaf;
    this.at = opening.at;
    if (opening.type === "genesis") this.genesis = opening;
    if (opening.type === "genesis" || opening.type === "client-added") this.#addClient(opening);
    const client = this.clients.get(opening.client)!;
    if (opening.type === "key-created") this.#addKey(client, opening);
    if (opening.type === "key-disabled" || opening.type === "key-retired") endKey(client, opening);
    if (opening.type === "genesis" || opening.type === "policy-applied") this.#applyPolicy(opening);
    if (opening.type === "authorized") this.#crossings(opening);
    client.register.apply(opening);
    client.leaves.push(opening);
  }

  #addClient(opening: OpenedLeaf): void {
    const { client, index } = opening;
    const token = opening["token"] as KnownClient["token"];
    this.clients.set(client, { client, token, addedIn: index, keys: new Map(), register: new Register(), leaves: [] });
  }

  #addKey({ client, keys }: KnownClient, opening: OpenedLeaf): void {
    const { key, curve, purpose, publicKey, chains, accounts, attributes, index, at } = opening as unknown as KnownKey &
      OpenedLeaf;
    const known = { key, curve, purpose, publicKey, chains, accounts, attributes: attributes ?? null };
    keys.set(key, { ...known, createdIn: index, createdAt: at, state: "active" });
    for (const account of accounts) if (!this.#owners.has(account)) this.#owners.set(account, client);
  }

  #applyPolicy(opening: OpenedLeaf): void {
    const { client, policy, index, at } = opening as OpenedLeaf & { policy: string };
    const document = this.#documents.get(`${client}/${policy}`);
    if (!document)
      throw new GatewayError("malformed-export", `expected the documents of leaf ${index} before it, found none`);
    const resolved = resolvePolicy(document);
    const compiled = client === "house" ? compileHouse(resolved) : compileClient(resolved);
    const signatures = (opening["signatures"] ?? []) as PolicyVersion["signatures"];
    this.policies.push({ ...document, leaf: index, at, signatures, compiled });
  }

  #crossings(opening: OpenedLeaf): void {
    const { client, index } = opening;
    const policy = this.policyOf(client);
    for (const operation of intentFromJson(opening["intent"]).operations)
      for (const side of ["from", "to"] as const) {
        const account = partyOf(operation, side);
        const other = account === undefined ? undefined : this.#owners.get(account);
        if (account === undefined || other === undefined || other === client) continue;
        // I13: nothing comes from another's account whatever a rule says.
        const named = side === "to" && policy !== undefined && names(policy, other);
        const request = opening["request"] as string;
        this.crossings.push({ leaf: index, client, request, other, account, side, named });
      }
  }
}

const partyOf = (operation: Intent["operations"][number], side: "from" | "to"): Account | undefined =>
  side in operation ? (operation as unknown as Record<"from" | "to", Account>)[side] : undefined;

const names = ({ allows }: CompiledPolicy, other: string): boolean =>
  allows.some(({ to }) => to !== undefined && (other === "house" ? to.house : to.clients.has(other)));

function endKey({ keys }: KnownClient, opening: OpenedLeaf): void {
  const name = opening["key"] as string;
  const state = opening.type === "key-disabled" ? "disabled" : "retired";
  keys.set(name, { ...keys.get(name)!, state });
}

function lastCheckpointIn(file: string): string {
  let [last, number] = [undefined as string | undefined, 0];
  for (const text of linesOf(file)) {
    number += 1;
    if (!text.startsWith('{"checkpoint"')) continue;
    const line = parseLine(text, number);
    if ("checkpoint" in line) last = line.checkpoint;
  }
  if (last !== undefined) return last;
  throw new GatewayError("export-partial", `expected a checkpoint in \`${file}\`, found none`, {
    hint: "the gateway signs one within about a second: `portcullis log export FILE` again",
  });
}
