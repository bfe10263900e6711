import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ApprovalView } from "../../../../src/domain/api.ts";
import type { Report } from "../../../../src/cli/log/verify.ts";
import { checkpointsOf, exported, verified } from "../../../support/exported-log.ts";
import {
  edPerson,
  p256Person,
  securityKeyPerson,
  signedBy,
  sshPerson,
  webauthnPerson,
  type Person,
} from "../../../support/people.ts";
import { acmePolicy, newKey, REQUESTS, testVault, transferBody, type TestVault } from "../../../support/vault.ts";

// Goal: from the exported log and public keys alone an auditor sees that every approval is its person's, and that what
// was signed had been approved by everybody whom the policy of that moment asked.
// Method: a real vault, people with every kind of key; then an export in which one thing is told otherwise.

const HOUR = 3_600_000;
type Opening = Record<string, unknown> & { type: string };
type Leaf = { at: number; opening: string };

const codes = ({ found }: Report): string[] => Object.keys(found);
const openingOf = (line: string): Opening | undefined => {
  const { leaf } = JSON.parse(line) as { leaf?: Leaf };
  return leaf && (JSON.parse(leaf.opening) as Opening);
};

describe("log verify, of approvals", () => {
  let vault: TestVault;
  let folder: string;
  let lines: string[];
  let people: Person[];

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-people-"));
    vault = await testVault();
    people = [
      edPerson("ann"),
      sshPerson("ben", folder),
      p256Person("cleo"),
      securityKeyPerson("dora"),
      webauthnPerson("emil"),
    ];
    const otto = edPerson("otto");
    const payouts = (vault.clientCallers as Record<string, object>)["payouts"];
    await vault.apply("acme", {
      ...acmePolicy,
      version: "2",
      callers: {
        ...vault.clientCallers,
        payouts: { ...payouts, operatedBy: ["otto"] },
        ...Object.fromEntries([...people, otto].map(({ name, key }) => [name, { role: "approver", keys: [key] }])),
      },
      groups: { all: { members: [...people.map(({ name }) => name), "otto"], via: ["console"] }, first: ["ann"] },
      rules: [
        {
          id: "large",
          allow: ["transfer"],
          to: ["anyone"],
          amount: { ETH: { max: "1000" } },
          approvals: { all: "4", first: "1", expireAfter: "24h" },
          delay: "1h",
        },
      ],
    });
    const ask = async () =>
      (await vault.call("payouts", "POST", REQUESTS, transferBody(5), "one")).body as { id: string; state: string };
    const { id } = await ask();
    for (const person of people) {
      const view = (await vault.call("alice", "GET", `${REQUESTS}/${id}/approvals`)).body as ApprovalView;
      const answer = await vault.call("alice", "POST", `${REQUESTS}/${id}/approvals`, signedBy(person, view), newKey());
      assert.equal(answer.status, 201, JSON.stringify(answer.body));
      vault.clock.now += 60_000;
    }
    vault.clock.now += HOUR;
    assert.equal((await ask()).state, "signed");
    await (await checkpointsOf(vault)).round();
    lines = await exported(vault);
  });
  after(async () => {
    await vault?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** The export with one opening told otherwise; the tree no longer fits, and that is found as well. */
  const told = (type: string, change: (opening: Opening, leaf: Leaf) => void, nth = 0): string[] => {
    const place = lines.flatMap((line, index) => (openingOf(line)?.type === type ? [index] : []))[nth]!;
    const line = JSON.parse(lines[place]!) as { leaf: Leaf };
    const opening = JSON.parse(line.leaf.opening) as Opening;
    change(opening, line.leaf);
    line.leaf.opening = JSON.stringify(opening);
    return lines.with(place, JSON.stringify(line));
  };
  const without = (nth: number): string[] => {
    const place = lines.flatMap((line, index) => (openingOf(line)?.type === "approved" ? [index] : []))[nth]!;
    return lines.toSpliced(place, 1);
  };

  it("an honest log verifies, every person's signature among the others", () => {
    const report = verified(lines);
    assert.deepEqual(report.findings, []);
    // Two policies by one officer, five approvals, one request by its caller, one released signature.
    assert.equal(report.signatures, 2 + 5 + 1 + 1);
  });

  const lies: Record<string, { code: string; lines: () => string[] }> = {
    "an approval that is not there": { code: "approval-quorum", lines: () => without(2) },
    "a person of the first group who is missing": { code: "approval-quorum", lines: () => without(0) },
    "a signature of another text": {
      code: "approval-signature",
      lines: () =>
        told("approved", (opening) => (opening["signature"] = openingOf(lines.at(-1)!)?.["signature"] ?? "AAAA")),
    },
    "an approval in another person's name": {
      code: "approval-signature",
      lines: () =>
        told(
          "approved",
          (opening) => (opening["text"] = (opening["text"] as string).replace("person: ann", "person: ben")),
        ),
    },
    "an approval for another request": {
      code: "approval-differs",
      lines: () =>
        told(
          "approved",
          (opening) => (opening["text"] = (opening["text"] as string).replace(/request: ../, "request: ff")),
        ),
    },
    "an approval under another policy": {
      code: "approval-differs",
      lines: () =>
        told(
          "approved",
          (opening) =>
            (opening["text"] = (opening["text"] as string).replace(/policy: sha256:../, "policy: sha256:ff")),
        ),
    },
    "an approval of another gateway": {
      code: "approval-differs",
      lines: () =>
        told(
          "approved",
          (opening) => (opening["text"] = (opening["text"] as string).replace("test-gateway", "staging")),
        ),
    },
    "an approval of whoever operates the calling service": {
      code: "approval-invalid",
      lines: () =>
        told(
          "approved",
          (opening) => (opening["text"] = (opening["text"] as string).replace("person: ann", "person: otto")),
        ),
    },
    "an approval by somebody who was frozen": {
      code: "approval-by-frozen",
      lines: () => {
        const place = lines.findIndex((line) => openingOf(line)?.type === "approved");
        const line = JSON.parse(lines[place]!) as { leaf: Leaf };
        const { client, number, previous } = openingOf(lines[place]!)!;
        const frozen = { type: "frozen", client, number, previous, target: "caller ann", by: "ben" };
        line.leaf.opening = JSON.stringify(frozen);
        return lines.toSpliced(place, 0, JSON.stringify(line));
      },
    },
    "another amount than what was approved": {
      code: "approval-quorum",
      lines: () =>
        told(
          "authorized",
          (opening) => ((opening["intent"] as { operations: { amount: string }[] }).operations[0]!.amount = "6"),
        ),
    },
    "an authorization before the delay was over": {
      code: "approval-early",
      lines: () => told("authorized", (_, leaf) => (leaf.at -= 2 * 60_000)),
    },
    "an authorization after the request had lapsed": {
      code: "approval-late",
      lines: () => told("authorized", (_, leaf) => (leaf.at += 24 * HOUR)),
    },
  };
  for (const [what, lie] of Object.entries(lies))
    it(`${what}: ${lie.code}`, () => {
      const found = codes(verified(lie.lines()));
      assert.ok(found.includes(lie.code), found.join(", "));
    });
});
