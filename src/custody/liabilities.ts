import { createHash, randomBytes } from "node:crypto";
import { z } from "zod";
import { GatewayError } from "../domain/errors.ts";
import { ClientId, SubAccountName } from "../domain/names.ts";
import { leafOf, rootFrom, SumTree, type SumNode } from "./sum-tree.ts";

/*
 * Proof of liabilities: what is owed to all clients together, per asset, under one root each, published; and for each
 * client a file that shows its own position under these roots. Assets are named by what they are on their chain, since a
 * symbol is one client's word.
 */

const Hex32 = z.string().regex(/^[0-9a-f]{64}$/);
const Amount = z.string().regex(/^(0|[1-9][0-9]{0,77})$/);
const Count = z.int().min(0);

/** Public: the same for everybody, and a leaf of the log holds its hash. */
export const LiabilitySummary = z.strictObject({
  kind: z.literal("portcullis/liabilities/v1"),
  gateway: z.string(),
  /** The log whose leaves give the positions. */
  checkpoint: z.strictObject({ size: Count, root: z.string() }),
  assets: z.array(z.strictObject({ asset: z.string(), root: Hex32, sum: Amount, count: Count })),
  /** Positions that the register has below zero; they count as zero, so that they lower no sum. */
  belowZero: Count,
});
export type LiabilitySummary = z.infer<typeof LiabilitySummary>;

/** A client, or `client/sub-account`: also the name of a file, so nothing else. */
const Owner = z.string().refine(
  (text) => {
    const [client, subAccount, ...rest] = text.split("/");
    const isSubAccount = subAccount === undefined || SubAccountName.safeParse(subAccount).success;
    return ClientId.safeParse(client).success && isSubAccount && rest.length === 0;
  },
  { message: "expected a client, or `client/sub-account`" },
);

/** One client's own: secret to it, for its salts open what the tree hides. */
export const ProvenClient = z.strictObject({
  client: Owner,
  positions: z.array(
    z.strictObject({
      asset: z.string(),
      amount: Amount,
      salt: Hex32,
      index: Count,
      path: z.array(z.strictObject({ hash: Hex32, sum: Amount })).max(64),
    }),
  ),
});
export type ProvenClient = z.infer<typeof ProvenClient>;

/** With all that it takes to verify it. */
export const LiabilityProof = z.strictObject({
  kind: z.literal("portcullis/liability-proof/v1"),
  ...ProvenClient.shape,
  summary: LiabilitySummary,
  /** That the log has the summary's hash (C2SP tlog-proof). */
  receipt: z.string().nullable(),
});
export type LiabilityProof = z.infer<typeof LiabilityProof>;

export type Owed = { readonly client: string; readonly asset: string; readonly amount: bigint };

export type Liabilities = {
  readonly summary: LiabilitySummary;
  readonly provenOf: (client: string) => ProvenClient;
  readonly clients: readonly string[];
};

/** @throws {GatewayError} `liabilities-invalid` for a client's asset that is given twice, or sums of more than 256 bits */
export function proveLiabilities(
  owed: readonly Owed[],
  of: Pick<LiabilitySummary, "gateway" | "checkpoint">,
  newSalt: () => Uint8Array = () => randomBytes(32),
): Liabilities {
  const trees = [...groupBy(owed, ({ asset }) => asset)].sort(([a], [b]) => (a < b ? -1 : 1)).map(treeOf(newSalt));
  const summary: LiabilitySummary = {
    kind: "portcullis/liabilities/v1",
    gateway: of.gateway,
    checkpoint: of.checkpoint,
    assets: trees.map(({ asset, tree, leaves }) => ({
      asset,
      root: hex(tree.root.hash),
      sum: String(tree.root.sum),
      count: leaves.length,
    })),
    belowZero: owed.filter(({ amount }) => amount < 0n).length,
  };
  const places = groupBy(trees.flatMap(placesIn), ({ client }) => client);
  return {
    summary,
    clients: [...places.keys()].sort(),
    provenOf: (client) => ({ client, positions: (places.get(client) ?? []).map(positionOf) }),
  };
}

type Leaf = { readonly client: string; readonly amount: bigint; readonly salt: Uint8Array; readonly node: SumNode };
type Tree = { readonly asset: string; readonly leaves: readonly Leaf[]; readonly tree: SumTree };
type Place = Leaf & { readonly asset: string; readonly index: number; readonly tree: SumTree };

const treeOf =
  (newSalt: () => Uint8Array) =>
  ([asset, owed]: readonly [string, readonly Owed[]]): Tree => {
    requireOnce(asset, owed);
    const leaves = owed.map(({ client, amount: found }) => {
      const [amount, salt] = [found < 0n ? 0n : found, newSalt()];
      return { client, amount, salt, node: leafOf({ client, asset, amount, salt }) };
    });
    // By their salted hashes: the order says nothing of who is there, and shifts with every proof.
    leaves.sort((a, b) => Buffer.compare(a.node.hash, b.node.hash));
    return { asset, leaves, tree: new SumTree(leaves.map(({ node }) => node)) };
  };

function requireOnce(asset: string, owed: readonly Owed[]): void {
  if (new Set(owed.map(({ client }) => client)).size === owed.length) return;
  throw new GatewayError("liabilities-invalid", `expected each client once for ${asset}, found one twice`);
}

const placesIn = ({ asset, leaves, tree }: Tree): Place[] =>
  leaves.map((leaf, index) => ({ ...leaf, asset, index, tree }));

const positionOf = ({ asset, amount, salt, index, tree }: Place): LiabilityProof["positions"][number] => ({
  asset,
  amount: String(amount),
  salt: hex(salt),
  index,
  path: tree.proof(index).path.map(({ hash, sum }) => ({ hash: hex(hash), sum: String(sum) })),
});

export const liabilityProof = (
  proven: ProvenClient,
  summary: LiabilitySummary,
  receipt: string | null = null,
): LiabilityProof => ({ kind: "portcullis/liability-proof/v1", ...proven, summary, receipt });

/** What the log holds of it. */
export const summaryHash = (summary: LiabilitySummary): string =>
  createHash("sha256")
    .update(JSON.stringify(LiabilitySummary.parse(summary)))
    .digest("hex");

/**
 * @returns the proof, each of whose positions is counted under the summary's root of its asset
 * @throws {GatewayError} `liability-proof-invalid` with the first thing that does not hold
 */
export function verifyLiability(json: unknown): LiabilityProof {
  const parsed = LiabilityProof.safeParse(json);
  if (!parsed.success) throw invalid(`expected a client's proof of liabilities: ${issueIn(parsed.error)}`);
  const { client, summary, positions } = parsed.data;
  if (positions.length === 0) throw invalid(`expected a position of client \`${client}\`, found none`);
  const roots = new Map(summary.assets.map((each) => [each.asset, each]));
  if (roots.size !== summary.assets.length) throw invalid("expected each asset once in the summary, found one twice");
  const seen = new Set<string>();
  for (const { asset, amount, salt, index, path } of positions) {
    if (seen.has(asset)) throw invalid(`expected ${asset} once, found it twice`);
    seen.add(asset);
    const known = roots.get(asset);
    if (!known) throw invalid(`the summary has no ${asset}`);
    const leaf = leafOf({ client, asset, amount: BigInt(amount), salt: Buffer.from(salt, "hex") });
    const nodes = path.map(({ hash, sum }) => ({ hash: Buffer.from(hash, "hex"), sum: BigInt(sum) }));
    const root = rootFrom(leaf, { index, count: known.count, path: nodes });
    if (hex(root.hash) !== known.root) throw invalid(`the position in ${asset} does not lead to the published root`);
    if (String(root.sum) !== known.sum) throw invalid(`the sum of ${asset} is not the one under the published root`);
  }
  return parsed.data;
}

const invalid = (message: string): GatewayError => new GatewayError("liability-proof-invalid", message);

function issueIn({ issues }: z.ZodError): string {
  const [issue] = issues;
  return issue!.path.length === 0 ? issue!.message : `\`${issue!.path.join(".")}\`: ${issue!.message}`;
}
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

function groupBy<T>(values: Iterable<T>, by: (value: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const value of values) {
    const group = groups.get(by(value));
    if (group) group.push(value);
    else groups.set(by(value), [value]);
  }
  return groups;
}
