/** The five questions of `policy init`. */
export type Answers = {
  readonly client: string;
  /** Name and public key of the wallet service. */
  readonly service: { readonly name: string; readonly key: string };
  /** Names and public keys of the persons who approve. */
  readonly approvers: readonly { readonly name: string; readonly key: string }[];
  /** The first destination. */
  readonly destination: { readonly name: string; readonly address: string };
  /** Asset, what one payment may be without people, and what a day may be in all. */
  readonly asset: string;
  readonly paymentMax: string;
  readonly dailyMax: string;
  readonly feeAsset: string;
  readonly feeMax: string;
};

/** A commented document to begin with: small payments by a service, larger ones by two persons, each with a test. */
export function startingDocument(answers: Answers): string {
  const { client, service, approvers, destination, asset, paymentMax, dailyMax, feeAsset, feeMax } = answers;
  const quorum = Math.min(2, approvers.length);
  const fee = `fee: { ${feeAsset}: { max: "${feeMax}" } } # one transaction, at the worst price that its bytes permit`;
  return `# yaml-language-server: $schema=./schema.json
# What no rule allows is denied; one matching deny is final; order never matters. Amounts are decimal strings.
apiVersion: portcullis/v1
kind: ClientPolicy
client: ${client}
version: 1 # grows whenever this file or a file named in \`use\` changes
use: [shared/assets.yaml]

callers: # who may ask, who may approve: one role each
  ${service.name}: { role: wallet-service, keys: ["${service.key}"] }
${approvers.map(({ name, key }) => `  ${name}: { role: approver, keys: ["${key}"] }`).join("\n")}
groups: { officers: [${approvers.map(({ name }) => name).join(", ")}] }

addressBook: # a new address can be paid after its cool-off
  ${destination.name}: { address: "${destination.address}", coolOff: 24h }

${fee}

rules:
  - id: payments # by the service alone
    allow: [transfer]
    by: [${service.name}]
    to: [${destination.name}]
    amount: { ${asset}: { max: "${paymentMax}" } }
  - id: large-payments # with people
    allow: [transfer]
    by: [${service.name}]
    to: [${destination.name}]
    amount: { ${asset}: { over: "${paymentMax}", max: "${dailyMax}" } }
    approvals: { officers: ${quorum}, expireAfter: 24h }

limits: # count whatever rule allowed it
  daily: { sum: ${asset}, max: "${dailyMax}", window: { rolling: 24h } }

tests: # run before this document can be applied
  - name: a payment up to the maximum is signed at once
    now: "2026-01-01T12:00:00Z"
    request: { by: ${service.name}, from: hot-1, transfer: { asset: ${asset}, amount: "${paymentMax}", to: ${destination.name} } }
    expect: { decision: allow, rule: payments }
  - name: two of them do not pass the day's limit without people
    now: "2026-01-01T12:00:00Z"
    history: [{ at: "2026-01-01T11:00:00Z", from: hot-1, transfer: { asset: ${asset}, amount: "${dailyMax}", to: ${destination.name} } }]
    request: { by: ${service.name}, from: hot-1, transfer: { asset: ${asset}, amount: "${paymentMax}", to: ${destination.name} } }
    expect: { decision: deny, limit: daily }
  - name: more than the maximum waits for people
    now: "2026-01-01T12:00:00Z"
    request: { by: ${service.name}, from: hot-1, transfer: { asset: ${asset}, amount: "${dailyMax}", to: ${destination.name} } }
    expect: { decision: needs-approval, rule: large-payments }
`;
}
