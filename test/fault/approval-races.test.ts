import assert from "node:assert/strict";
import type { ApprovalView, SigningRequestView } from "../../src/domain/api.ts";
import type { Answer } from "../../src/vault/api/routes.ts";
import { checkpointsOf, exported, verified } from "../support/exported-log.ts";
import { checkLog, leavesOf, logOf } from "../support/log-check.ts";
import { edPerson, signedBy } from "../support/people.ts";
import { acmePolicy, newKey, REQUESTS, testVault, transferBody, type TestVault } from "../support/vault.ts";

// Goal: whoever comes first at the same instant, a request has one end, and nothing is signed that was not approved then.
// Method: approval, rejection, execution, the end of its time and a tighter policy, all at once and in every order; an
// auditor then checks the whole log.

const ROUNDS = process.env["SOAK"] ? 1000 : 25;

describe("what happens to a request at the same instant", function () {
  this.timeout(600_000);
  let vault: TestVault;
  let version = 1;
  const [ann, ben] = [edPerson("ann"), edPerson("ben")];

  const policy = (max = "1000") => ({
    ...acmePolicy,
    version: String(++version),
    callers: {
      ...vault.clientCallers,
      ...Object.fromEntries([ann, ben].map(({ name, key }) => [name, { role: "approver", keys: [key] }])),
    },
    groups: { officers: ["ann", "ben"] },
    rules: [
      {
        id: "large",
        allow: ["transfer"],
        to: ["anyone"],
        amount: { ETH: { max } },
        approvals: { officers: "2", expireAfter: "1h" },
      },
    ],
    limits: { daily: { sum: "ETH", max: "1000000000", window: { rolling: "24h" } } },
  });

  beforeEach(async () => {
    version = 1;
    vault = await testVault();
    await vault.apply("acme", policy());
  });
  afterEach(() => vault.close());

  const ask = async (key: string) => await vault.call("payouts", "POST", REQUESTS, transferBody(50), key);
  const stateOf = ({ body }: Answer): string =>
    (body as SigningRequestView).state ?? (body as { request?: SigningRequestView }).request?.state ?? "";
  const send = (id: string, where: string, body: unknown) =>
    vault.call("alice", "POST", `${REQUESTS}/${id}/${where}`, body, newKey());

  async function approvedOnce(key: string): Promise<{ id: string; view: ApprovalView }> {
    const { id } = (await ask(key)).body as SigningRequestView;
    const view = (await vault.call("alice", "GET", `${REQUESTS}/${id}/approvals`)).body as ApprovalView;
    assert.equal((await send(id, "approvals", signedBy(ann, view))).status, 201);
    return { id, view };
  }

  /** Fixed, and another one each round. */
  const shuffled = <T>(items: readonly T[], round: number): T[] =>
    items
      .map((item, index) => ({ item, order: (index * 7 + round * 13) % 11 }))
      .toSorted((a, b) => a.order - b.order)
      .map(({ item }) => item);

  async function assertOneEnd(): Promise<void> {
    const leaves = checkLog(await logOf(vault.store));
    const ended = ["signed", "rejected", "cancelled", "expired", "denied"].flatMap((type) =>
      leavesOf(leaves, type as never),
    );
    const requests = ended.map(({ opening }) => opening["request"]);
    assert.equal(new Set(requests).size, requests.length, "a request has ended twice");
    await (await checkpointsOf(vault)).round();
    assert.deepEqual(verified(await exported(vault)).findings, []);
  }

  it(`approve, reject, cancel and execute, ${ROUNDS} times`, async () => {
    const ends = new Map<string, number>();
    for (let round = 0; round < ROUNDS; round++) {
      const key = `w-${round}`;
      const { id, view } = await approvedOnce(key);
      const acts = [
        () => send(id, "approvals", signedBy(ben, view)),
        () => ask(key),
        ...(round % 3 === 0 ? [] : [() => send(id, "rejections", signedBy(ann, view, { verdict: "reject" }))]),
        ...(round % 4 === 0
          ? [() => vault.call("payouts", "POST", `${REQUESTS}/${id}/cancellation`, undefined, newKey())]
          : []),
      ];
      await Promise.all(shuffled(acts, round).map((act) => act()));
      const last = stateOf(await ask(key));
      ends.set(last, (ends.get(last) ?? 0) + 1);
    }
    assert.ok(ends.size > 1, "one order of events only");
    await assertOneEnd();
  });

  it(`approve and execute as the time runs out, ${ROUNDS} times`, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const key = `w-${round}`;
      const { id, view } = await approvedOnce(key);
      vault.clock.now = Date.parse(view.waiting!.expires!) - (round % 2);
      const [, asked] = await Promise.all(
        shuffled([() => send(id, "approvals", signedBy(ben, view)), () => ask(key)], 0).map((act) => act()),
      );
      assert.ok(asked);
      const state = stateOf(await ask(key));
      assert.equal(state, round % 2 === 1 ? "signed" : "expired");
    }
    await assertOneEnd();
  });

  it(`a policy that is tightened between approval and execution, ${ROUNDS} times`, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const key = `w-${round}`;
      const { id, view } = await approvedOnce(key);
      await send(id, "approvals", signedBy(ben, view));
      const tighter = policy("49");
      await Promise.all([vault.apply("acme", tighter), ask(key)]);
      assert.ok(["signed", "denied"].includes(stateOf(await ask(key))));
      await vault.apply("acme", policy());
    }
    await assertOneEnd();
  });
});
