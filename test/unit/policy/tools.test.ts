import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { explainDecision } from "../../../src/policy/decision-text.ts";
import { dependentsOf } from "../../../src/policy/dependents.ts";
import { diffPolicies } from "../../../src/policy/diff.ts";
import { diffMarkdown, diffText } from "../../../src/policy/diff-text.ts";
import { evaluate } from "../../../src/policy/evaluate.ts";
import { checkPolicy } from "../../../src/policy/lint.ts";
import { absentNames } from "../../../src/policy/named.ts";
import { parsePolicy } from "../../../src/policy/parse.ts";
import { simulate, type RecordedRequest } from "../../../src/policy/simulate.ts";
import { startingDocument } from "../../../src/policy/starting-document.ts";
import {
  ACCOUNTS,
  CLIENT,
  NOW,
  checkAccount,
  clientPolicy,
  eth,
  factsFor,
  filesOf,
  intentOf,
  policies,
  transfer,
} from "./fixture.ts";

// Goal: what people see of a decision, a new document and a change is what the evaluator says.

describe("a decision for people", () => {
  it("sends nobody for another rule while an address cools off, and says from when it can be paid", () => {
    const policy = policies({
      rules: [{ ...CLIENT.rules[0], to: ["kraken"] }],
    });
    const intent = intentOf(transfer(ACCOUNTS.kraken, eth("1")));
    const facts = factsFor(policy, intent, { heldSince: new Map([[ACCOUNTS.kraken, NOW]]) });
    const text = explainDecision(evaluate(policy, intent, facts, { explain: true }));
    assert.doesNotMatch(text, /ask a policy officer/);
    assert.match(text, /its cool-off is 24h: from 2026-11-21T12:00:00\.000Z it can be paid/);
  });
  it("says what was decided, why, and how to go on", () => {
    const policy = policies({
      rules: [
        { ...CLIENT.rules[0], approvals: { officers: "2" } },
        { id: "stop", deny: ["call"] },
      ],
    });
    const intent = intentOf(transfer(ACCOUNTS.treasury, eth("1")));
    const text = explainDecision(evaluate(policy, intent, factsFor(policy, intent), { explain: true }));
    assert.deepEqual(text.split("\n").slice(0, -2), [
      "NEEDS APPROVAL",
      "  approvals are missing: 2 more of `officers` (0 of 2)",
      "",
      "Rules",
      "  · deny stop, operation 1: it is about `call`, not `transfer`",
      `  ✓ allow payouts, operation 1: \`transfer\` by \`payouts\` from key \`hot-1\`, to \`${ACCOUNTS.treasury}\` (treasury), transaction total 1 ETH`,
      "",
      "Limits",
      "  ✓ eth-daily (rolling 24h): 1.001 on top of 0, cap 600 ETH, 600 left",
      "",
      "Fee",
      "  at most 0.001 ETH, cap 0.02",
      "",
      "Next",
      "  ask 2 more of officers to approve",
      "  then send the same request again",
      "  it lapses at 2026-11-21T12:00:00.000Z",
      "",
    ]);
  });
});

describe("simulate", () => {
  const requests = [1, 2, 3].map((hour): RecordedRequest => {
    const intent = intentOf(transfer(ACCOUNTS.treasury, eth("9")));
    const { spent: _spent, ...facts } = factsFor(policies(), intent, { now: NOW + hour });
    return { id: `r${hour}`, intent, facts, outcome: "allow" };
  });
  it("nothing turns under the same policy", () => assert.deepEqual(simulate(policies(), requests), []));
  it("a limit bites at the request at which it would have", () => {
    const limits = { ...CLIENT.limits, daily: { sum: "ETH", max: "20", window: { rolling: "24h" } } };
    assert.deepEqual(
      simulate(policies({ limits }), requests).map(({ id, was, decision }) => [
        id,
        was,
        decision.outcome,
        decision.reasons[0]?.code,
      ]),
      [["r3", "allow", "deny", "over-limit"]],
    );
  });
});

describe("policy init", () => {
  it("writes a document without findings, whose own tests pass", () => {
    const key = (n: number) => `ed25519:${Buffer.alloc(32, n).toString("base64")}`;
    const text = startingDocument({
      client: "new-client",
      service: { name: "payouts", key: key(1) },
      approvers: ["ann", "ben", "cleo"].map((name, index) => ({ name, key: key(index + 2) })),
      destination: { name: "treasury", address: ACCOUNTS.treasury },
      asset: "ETH",
      paymentMax: "1",
      dailyMax: "10",
      feeAsset: "ETH",
      feeMax: "0.02",
    });
    const assets = readFileSync(new URL("../../../policies/shared/assets.yaml", import.meta.url), "utf8");
    assert.deepEqual(
      checkPolicy(
        "new-client.yaml",
        new Map([
          ["new-client.yaml", text],
          ["shared/assets.yaml", assets],
        ]),
        checkAccount,
      ),
      [],
    );
  });
});

describe("a diff for people", () => {
  const diff = diffPolicies(clientPolicy(), clientPolicy({ fee: { ETH: { max: "0.01" } } }));
  it("as text", () => {
    assert.equal(
      diffText(diff),
      "tightening: nothing is permitted, and nothing asks for less, that did not before\n  - the fee cap of `ETH` is lower",
    );
  });
  it("as a review comment", () => {
    assert.match(
      diffMarkdown("acme-fund", diff),
      /^### acme-fund\n\n\*\*tightening: .*\*\*\n\n.*\n.*\n\| tightening \| fee-tighter \| the fee cap/,
    );
  });
});

describe("a file that several documents use", () => {
  it("names them when it changes", () => {
    const files = new Map([
      ["a.yaml", "use: [shared/assets.yaml]"],
      ["b.yaml", "use: [other.yaml]"],
      ["shared/assets.yaml", "kind: AssetRegistry"],
      ["c.yaml", "use: [other.yaml, shared/assets.yaml]"],
    ]);
    assert.deepEqual(dependentsOf("shared/assets.yaml", files), ["a.yaml", "c.yaml"]);
  });
});

describe("names that only a gateway knows", () => {
  const document = {
    rules: [
      { ...CLIENT.rules[0], from: ["hot-1"] },
      { id: "no", deny: ["transfer"], from: ["hto-1", "account:safe"], to: ["client:other-fnd", "client:other-fund"] },
    ],
    limits: { ...CLIENT.limits, one: { sum: "ETH", key: ["cold-1"], max: "1", window: "lifetime" } },
  };
  it("are told where the gateway does not have them: a deny or a limit would hold nothing", () => {
    const resolved = parsePolicy("policy.yaml", filesOf({ ...CLIENT, ...document }), checkAccount);
    const existing = { keys: new Set(["hot-1"]), clients: new Set(["acme-fund", "other-fund"]) };
    assert.deepEqual(absentNames(resolved, existing), [
      "deny rule `no` names key `hto-1`, which `acme-fund` does not have",
      "deny rule `no` names client `other-fnd`, which is not there",
      "limit `one` names key `cold-1`, which `acme-fund` does not have",
    ]);
  });
});
