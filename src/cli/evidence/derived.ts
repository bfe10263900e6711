import { statementCsv, statementHtml, type Statement as AccountStatement } from "../../custody/statement.ts";
import { GatewayError } from "../../domain/errors.ts";
import type { SubAccountName } from "../../domain/names.ts";
import { readStatementText, type Statement } from "../../domain/statement.ts";
import type { LogFacts, OpenedLeaf, PolicyVersion } from "../assurance/log-facts.ts";
import { segregationReport } from "../assurance/segregation.ts";
import type { Report } from "../log/verify.ts";
import { controlsText } from "./controls.ts";
import { isPackPath } from "./manifest.ts";

/*
 * What follows from the sources of a pack: written when it is made, and made again when it is verified, byte for byte.
 */

export type Period = { readonly from: string; readonly to: string };

/** All that a pack rests on; `log.jsonl` is read into `facts` and `verification`. */
export type Sources = {
  readonly period: Period;
  readonly venueTag: string;
  readonly facts: LogFacts;
  readonly verification: Report;
  /** What each client's token showed when the pack was made; of one that was away: why. */
  readonly attestations: ReadonlyMap<string, Statement | string>;
  /** By the name of the account: see `accountsIn`. */
  readonly statements: ReadonlyMap<string, Statement>;
  /** Hashes of the reports that are in the pack, as files of that name. */
  readonly reports: ReadonlySet<string>;
};

export const LOG = "log.jsonl";
export const attestationPath = (client: string): string => `attestations/${client}.json`;
export const statementPath = (account: string): string => `statements/${account}.json`;
export const reportPath = (sha256: string): string => `reports/${sha256}.json`;

export const jsonText = (value: unknown): string => `${JSON.stringify(value, undefined, 1)}\n`;

export type AccountOf = { readonly client: string; readonly subAccount?: SubAccountName };

/** Every client's, and every sub-account's of an omnibus client, by a name that is a file's too. */
export const accountsIn = (facts: LogFacts): ReadonlyMap<string, AccountOf> =>
  new Map(
    facts.all().flatMap(({ client }): [string, AccountOf][] => {
      const subAccounts = [...(facts.policyOf(client)?.subAccounts ?? [])];
      const own = subAccounts.map((subAccount): [string, AccountOf] => [
        `${client}.${subAccount}`,
        { client, subAccount },
      ]);
      return [[client, { client }], ...own];
    }),
  );

/** @returns text by path */
export function derivedFiles(sources: Sources): ReadonlyMap<string, string> {
  const { facts, verification, attestations, venueTag, statements } = sources;
  const within = facts.leaves().filter(isWithin(sources.period));
  const versions = facts.policies.filter(({ at }) => at < Date.parse(sources.period.to));
  const { key: _, ...checked } = verification;
  return new Map([
    ["README.md", readmeText(sources)],
    ["controls.md", controlsText],
    ["verification.json", jsonText(checked)],
    ["keys.json", jsonText(keysOf(facts))],
    ["policies.json", jsonText(versions.map(versionOf))],
    ...versions.flatMap(documentsOf),
    ["access.json", jsonText(accessOf(versions, sources.period))],
    ["events.json", jsonText(eventsOf(within))],
    ["reports.json", jsonText(reportsOf(within, sources.reports))],
    ["segregation.json", jsonText(segregationReport(facts, attestations, venueTag))],
    ...[...statements].flatMap(([account, signed]) => readableStatement(account, signed)),
  ]);
}

const isWithin =
  ({ from, to }: Period) =>
  ({ at }: { readonly at: number }): boolean =>
    Date.parse(from) <= at && at < Date.parse(to);

const iso = (at: number): string => new Date(at).toISOString();

const keysOf = (facts: LogFacts) =>
  facts.all().map(({ client, token, addedIn, keys, leaves }) => ({
    client,
    token,
    addedIn,
    keys: [...keys.values()].map(({ createdAt, ...key }) => ({
      ...key,
      createdAt: iso(createdAt),
      ceremony: leaves.find(({ index }) => index === key.createdIn)?.["ceremony"] ?? null,
    })),
  }));

const folderOf = ({ client, version }: PolicyVersion): string => `policies/${client}/${version}`;

const versionOf = (policy: PolicyVersion) => ({
  client: policy.client,
  version: policy.version,
  hash: policy.hash,
  appliedIn: policy.leaf,
  appliedAt: iso(policy.at),
  signedBy: policy.signatures.map(({ person }) => person),
  folder: folderOf(policy),
  entry: policy.entry,
});

/** @throws {GatewayError} `pack-invalid` for a document whose name leads out of its folder */
const documentsOf = (policy: PolicyVersion): [string, string][] =>
  Object.entries(policy.files).map(([name, text]) => {
    const path = `${folderOf(policy)}/${name}`;
    if (isPackPath(path)) return [path, text];
    throw new GatewayError("pack-invalid", `a policy of \`${policy.client}\` names the file \`${name}\``);
  });

type Access = { readonly name: string; readonly role: string; readonly keys: readonly string[] };

const peopleOf = ({ compiled }: PolicyVersion): Access[] =>
  [...compiled.callers].map(([name, { role, keys }]) => ({ name, role, keys: [...keys] }));

const groupsOf = ({ compiled }: PolicyVersion): Record<string, string[]> =>
  compiled.of === "client"
    ? Object.fromEntries([...compiled.groups].map(([name, members]) => [name, [...members]]))
    : {};

/** Who may do what at the end of the period, and each change of that within it with those who signed it. */
function accessOf(versions: readonly PolicyVersion[], period: Period) {
  const last = new Map<string, PolicyVersion>();
  const changes = versions.flatMap((policy) => {
    const before = last.get(policy.client);
    last.set(policy.client, policy);
    return isWithin(period)(policy) ? [changeOf(before, policy)] : [];
  });
  const atEnd = [...last.values()].map((policy) => ({
    ...{ of: policy.client, version: policy.version, hash: policy.hash },
    people: peopleOf(policy),
    groups: groupsOf(policy),
  }));
  return { atEnd, changes };
}

function changeOf(before: PolicyVersion | undefined, after: PolicyVersion) {
  const [was, is] = [before ? peopleOf(before) : [], peopleOf(after)].map(
    (people) => new Map(people.map((person) => [person.name, JSON.stringify(person)])),
  ) as [Map<string, string>, Map<string, string>];
  const [groupsBefore, groups] = [before ? groupsOf(before) : {}, groupsOf(after)];
  return {
    ...{ of: after.client, version: after.version, leaf: after.leaf, at: iso(after.at) },
    signedBy: after.signatures.map(({ person }) => person),
    added: [...is.keys()].filter((name) => !was.has(name)),
    removed: [...was.keys()].filter((name) => !is.has(name)),
    changed: [...is].filter(([name, text]) => was.has(name) && was.get(name) !== text).map(([name]) => name),
    groupsChanged: [...new Set([...Object.keys(groupsBefore), ...Object.keys(groups)])].filter(
      (name) => JSON.stringify(groupsBefore[name]) !== JSON.stringify(groups[name]),
    ),
  };
}

/** Of these each is one act or one trouble that somebody asks about. The others are counted. */
const EVENTS: ReadonlySet<string> = new Set([
  ...["genesis", "client-added", "key-created", "key-disabled", "key-retired", "pin-changed"],
  ...["policy-scheduled", "policy-cancelled", "policy-applied", "frozen", "unfrozen", "break-glass"],
  ...["approved", "rejected", "withheld", "failed", "lien-placed", "lien-released", "restored", "clock-confirmed"],
]);

function eventsOf(leaves: readonly OpenedLeaf[]) {
  const counts: Record<string, Record<string, number>> = {};
  for (const { client, type } of leaves) {
    const of = (counts[client] ??= {});
    of[type] = (of[type] ?? 0) + 1;
  }
  const events = leaves
    .filter(({ type }) => EVENTS.has(type))
    .map((leaf) => ({
      ...{ leaf: leaf.index, at: iso(leaf.at), client: leaf.client, type: leaf.type },
      persons: personsOf(leaf),
      ...(leaf["request"] === undefined ? {} : { request: leaf["request"] }),
      ...(leaf["key"] === undefined ? {} : { key: leaf["key"] }),
      ...(leaf["lien"] === undefined ? {} : { lien: leaf["lien"] }),
    }));
  return { counts, events };
}

/** Whoever signed for it, and whoever brought it. */
function personsOf(leaf: OpenedLeaf): string[] {
  const signatures = (leaf["signatures"] ?? []) as readonly { readonly person: string }[];
  const said = [leaf["person"], leaf["by"]].filter((name): name is string => typeof name === "string");
  return [...new Set([...signatures.map(({ person }) => person), ...said])];
}

/** What was computed elsewhere and recorded; its file is null where the pack does not hold the report. */
const reportsOf = (leaves: readonly OpenedLeaf[], held: ReadonlySet<string>) =>
  leaves
    .filter(({ type }) => type === "reported")
    .map(({ index, at, client, ...said }) => {
      const { kind, outcome, sha256, by } = said as unknown as Record<"kind" | "outcome" | "sha256" | "by", string>;
      const file = held.has(sha256) ? reportPath(sha256) : null;
      return { leaf: index, at: iso(at), client, kind, outcome, by, sha256, file };
    });

function readableStatement(account: string, signed: Statement): [string, string][] {
  const stated = accountIn(signed);
  const path = statementPath(account).replace(/\.json$/, "");
  return [
    [`${path}.csv`, statementCsv(stated)],
    [`${path}.html`, statementHtml(stated, signed)],
  ];
}

/** @throws {GatewayError} `statement-invalid` */
export function accountIn(signed: Statement): AccountStatement & { readonly gateway: string } {
  const read = readStatementText(signed.text);
  if (read?.kind === "account-statement") return read.content as AccountStatement & { readonly gateway: string };
  throw new GatewayError("statement-invalid", "expected the statement of an account");
}

const readmeText = ({ facts, period, verification }: Sources): string => `# Evidence of ${facts.header.origin}

${period.from} to ${period.to} (the end is not included), from its log of ${facts.checkpoint.size} leaves.

| file | what |
| --- | --- |
| \`manifest.json\`, \`manifest.receipt\` | every file with its SHA-256; the proof that the log holds the manifest's own |
| \`log.jsonl\` | every leaf with what opens it, policies, checkpoints |
| \`verification.json\` | what \`log verify\` found: ${verification.ok ? "the log verifies" : "THE LOG DOES NOT VERIFY"} |
| \`keys.json\`, \`attestations/\` | clients, tokens, keys, attributes, ceremonies from the log; what the tokens showed when asked, signed |
| \`policies.json\`, \`policies/\` | every version of every policy, whose signatures made it active, and its documents |
| \`access.json\` | who may do what at the end of the period, and every change within it |
| \`events.json\` | approvals, freezes, emergencies, keys, liens and troubles of the period; all other leaves counted |
| \`reports.json\`, \`reports/\` | reconciliations and other reports that were recorded, and those whose text is here |
| \`statements/\` | each client's account over the period (and each sub-account's of an omnibus client), signed; the same as CSV and as a page |
| \`segregation.json\` | whose is what: breaches, figures |
| \`controls.md\` | which file speaks to which control of CCSS, SOC 2, MiCA and the NYDFS, and to what it does not |

All but the log, what tokens showed, signed statements and reports follows from those: the check makes it again. It needs nothing but Node.js and the log's key, which you have from somewhere else than from here:

\`\`\`sh
node portcullis-audit.cjs evidence verify FOLDER --key VKEY
\`\`\`
`;
