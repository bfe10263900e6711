/*
 * Which file of a pack speaks to which control. By the headings of the frameworks, not by their wording: CCSS (C4, aspects
 * of version 9), SOC 2 (AICPA trust services criteria 2017), Regulation (EU) 2023/1114 (MiCA), and the NYDFS (23 NYCRR 200,
 * guidance on custodial structures of 2023, updated in 2025).
 */

type Control = {
  readonly control: string;
  readonly files: readonly string[];
  readonly shows: string;
  readonly not: string;
};

const CCSS: readonly Control[] = [
  {
    control: "1.01 Key/seed generation, 1.02 Wallet creation",
    files: ["keys.json", "attestations/", "log.jsonl"],
    shows:
      "each key was made in its client's token, with a signed challenge, its attributes and a record of the ceremony",
    not: "the random numbers of the HSM, nor who was in the room; SoftHSM has no hardware attestation",
  },
  {
    control: "1.03 Key storage",
    files: ["keys.json", "attestations/"],
    shows: "keys are sensitive, never extractable, and were never imported, as the token itself says",
    not: "the HSM's certification, its place, and how its backups are kept",
  },
  {
    control: "1.04 Key usage",
    files: ["log.jsonl", "verification.json", "policies/", "events.json"],
    shows:
      "every use was decided before by a policy that stood, under limits that are recomputed, with the approvals it asked for",
    not: "background checks of persons, and what the machines of approvers are",
  },
  {
    control: "1.05 Key compromise",
    files: ["events.json", "access.json", "reports.json"],
    shows: "freezes, disabled keys, changed PINs, and whether a reconciliation found a use of a key elsewhere",
    not: "that the custodian's procedure is written, known and practised",
  },
  {
    control: "1.06 Keyholder grant/revoke",
    files: ["access.json", "policies.json", "policies/"],
    shows: "who had which role with which key, since when, and whose signatures changed it",
    not: "why somebody was given it; who holds PIN shares and administers the HSM",
  },
  {
    control: "2.02 Data sanitization",
    files: [],
    shows: "nothing",
    not: "all of it: media are not in the log",
  },
  {
    control: "2.03 Proof of reserve",
    files: ["reports.json", "reports/", "statements/", "segregation.json"],
    shows: "what the chain held against the register, and the hashes of proofs of liabilities that were recorded",
    not: "control at this moment: ask for `prove-control` with a challenge of your own",
  },
  {
    control: "2.04 Audit logs",
    files: ["log.jsonl", "verification.json", "manifest.receipt"],
    shows: "the whole log, that nothing in it was changed or left out, checked again by you",
    not: "logs of the operating system, the network and the HSM",
  },
];

const SOC2: readonly Control[] = [
  {
    control: "CC6.1–CC6.3 Logical access",
    files: ["access.json", "policies/"],
    shows: "roles, keys, groups at the end of the period and every change within it, with those who signed",
    not: "access to hosts, the store, the network and the HSM's administration",
  },
  {
    control: "CC7.2–CC7.4 Monitoring, incidents",
    files: ["events.json", "reports.json"],
    shows: "freezes and their ends, emergencies, failed and withheld signatures, restores, breaks that were found",
    not: "that somebody was told and acted in time",
  },
  {
    control: "CC8.1 Change management",
    files: ["policies.json", "policies/", "events.json"],
    shows: "each version of each policy, its quorum, its delay, what was cancelled",
    not: "changes of the software and of machines",
  },
  {
    control: "PI1.2–PI1.5 Processing integrity",
    files: ["verification.json", "log.jsonl", "statements/"],
    shows: "each request was decided once, completely and under its limits; accounts follow from the log",
    not: "that what was asked for is what the client wanted",
  },
  {
    control: "A1.2–A1.3 Availability",
    files: ["events.json"],
    shows: "restores of the store, and what officers said was lost",
    not: "uptime, capacity, tests of recovery",
  },
];

const MICA: readonly Control[] = [
  {
    control: "Article 70 Safekeeping; Article 75(7) Segregation",
    files: ["segregation.json", "keys.json", "attestations/"],
    shows: "a token and addresses of each client's own, transfers between owners, legal bases that were declared",
    not: "that the legal basis holds in insolvency; funds in money",
  },
  {
    control: "Article 75(2) Register of positions",
    files: ["log.jsonl", "statements/"],
    shows: "every movement with its instruction, from which each position is computed again",
    not: "deposits that no observer has reported: a reconciliation shows those",
  },
  {
    control: "Article 75(3) Custody policy; 75(8) Loss",
    files: ["policies/", "verification.json", "events.json"],
    shows: "rules as they were enforced, and each decision under them",
    not: "the policy that the firm has written and published; its liability",
  },
  {
    control: "Article 75(5) Statements of position",
    files: ["statements/"],
    shows: "a signed statement of each client for the period, whose hash is in the log",
    not: "that it was sent, at least every three months",
  },
  {
    control: "Article 75(6) Return",
    files: ["policies/", "events.json"],
    shows: "the address fixed beforehand, the rule and quorum for it",
    not: "that the means suffice when it is needed: practise `return-assets`",
  },
  {
    control: "Article 68(9) Records",
    files: ["log.jsonl", "manifest.json"],
    shows: "records of orders and decisions of the period, complete and unchanged",
    not: "that they are kept for five years, or seven",
  },
];

const NYDFS: readonly Control[] = [
  {
    control: "Guidance, segregation and separate accounting",
    files: ["segregation.json", "statements/", "reports.json"],
    shows:
      "addresses of each customer apart from the custodian's own, what stands at venues, how lately it was reconciled",
    not: "sub-custodians that the log does not know",
  },
  {
    control: "Guidance, limited interest in and use of customer assets",
    files: ["log.jsonl", "segregation.json", "events.json"],
    shows: "every withdrawal with who asked and who approved; liens with both parties' signatures",
    not: "agreements outside",
  },
  {
    control: "Guidance, customer disclosure",
    files: [],
    shows: "nothing but the reference that `legalBasis` names",
    not: "terms and their disclosure",
  },
  {
    control: "23 NYCRR 200.9 Custody, 200.12 Books and records",
    files: ["statements/", "reports.json", "log.jsonl"],
    shows: "positions, transactions, and whether books agreed with them",
    not: "surety, trust account, reports to the superintendent",
  },
];

const tableOf = (title: string, controls: readonly Control[]): string =>
  [
    `## ${title}`,
    "",
    "| control | files | what they show | what they do not |",
    "| --- | --- | --- | --- |",
    ...controls.map(
      ({ control, files, shows, not }) =>
        `| ${control} | ${files.map((file) => `\`${file}\``).join(", ") || "none"} | ${shows} | ${not} |`,
    ),
    "",
  ].join("\n");

/** As every pack holds it. */
export const controlsText: string = [
  "# Controls",
  "",
  "Which file speaks to which control, and what it leaves open. A file is evidence of what the gateway did; whether a control is met is the auditor's judgement.",
  "",
  tableOf("CCSS", CCSS),
  tableOf("SOC 2", SOC2),
  tableOf("MiCA", MICA),
  tableOf("NYDFS", NYDFS),
].join("\n");
