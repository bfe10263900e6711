import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ApprovalView, SigningRequestView } from "../../../src/domain/api.ts";
import { approvalText, type ApprovalFields } from "../../../src/domain/approval.ts";
import type { Answer } from "../../../src/vault/api/routes.ts";
import { sign } from "../../../src/vault/sign.ts";
import { checkLog, logOf } from "../../support/log-check.ts";
import {
  edPerson,
  fieldsOf,
  opensshVerifies,
  p256Person,
  securityKeyPerson,
  signedBy,
  sshPerson,
  webauthnPerson,
  type Person,
} from "../../support/people.ts";
import { acmePolicy, newKey, REQUESTS, testVault, transferBody, type TestVault } from "../../support/vault.ts";

// Goal: an approval counts for exactly what its person signed, once, and nothing else makes a request ready (I10).
// Method: a vault with its real router and store; every kind of key signs by its own tool; every wrong use has its own code.

const HOUR = 3_600_000;

describe("approvals", () => {
  let vault: TestVault;
  let folder: string;
  let people: Record<"ann" | "ben" | "cleo" | "dora" | "otto", Person>;
  let version: number;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-people-"));
    people = {
      ann: edPerson("ann"),
      ben: sshPerson("ben", folder),
      cleo: p256Person("cleo"),
      dora: securityKeyPerson("dora"),
      otto: edPerson("otto"),
    };
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const approver = (...persons: Person[]) => ({ role: "approver", keys: persons.map(({ key }) => key) });
  const policyWith = (changed: object = {}) => ({
    ...acmePolicy,
    callers: {
      ...vault.clientCallers,
      payouts: { ...(vault.clientCallers as Record<string, object>)["payouts"], operatedBy: ["otto"] },
      ...Object.fromEntries(Object.values(people).map((person) => [person.name, approver(person)])),
    },
    groups: { officers: ["ann", "ben", "cleo", "dora", "otto"], desk: ["ann", "alice"] },
    rules: [
      { id: "small", allow: ["transfer"], to: ["anyone"], amount: { ETH: { max: "10" } } },
      {
        id: "large",
        allow: ["transfer"],
        to: ["anyone"],
        amount: { ETH: { over: "10", max: "1000" } },
        approvals: { officers: "2", expireAfter: "24h" },
      },
    ],
    ...changed,
  });
  const apply = (changed: object = {}) => vault.apply("acme", { ...policyWith(changed), version: String(++version) });

  beforeEach(async () => {
    vault = await testVault();
    version = 1;
    await apply();
  });
  afterEach(() => vault.close());

  const ask = (key: string, value = 50, fields = {}) =>
    vault.call("payouts", "POST", REQUESTS, transferBody(value, fields), key);
  const idOf = ({ body }: Answer): string => (body as { id: string }).id;
  const codeOf = ({ status, body }: Answer) => [status, (body as { code?: string }).code];
  const viewOf = async (id: string): Promise<ApprovalView> =>
    (await vault.call("alice", "GET", `${REQUESTS}/${id}/approvals`)).body as ApprovalView;
  const send = (id: string, body: unknown, where = "approvals") =>
    vault.call("alice", "POST", `${REQUESTS}/${id}/${where}`, body, newKey());
  const approve = async (id: string, person: Person, changed: Partial<ApprovalFields> = {}) =>
    send(id, signedBy(person, await viewOf(id), changed));
  const stateOf = ({ body }: Answer): string => (body as SigningRequestView).state;
  const leafTypes = async () =>
    checkLog(await logOf(vault.store)).flatMap(({ opening }) => (opening["request"] ? [opening.type] : []));

  it("two of them make a request ready, and the caller's same POST signs it", async () => {
    const pending = await ask("w-1");
    assert.deepEqual([pending.status, stateOf(pending)], [202, "pending"]);
    const id = idOf(pending);
    assert.deepEqual((await viewOf(id)).waiting?.missing, [
      { group: "officers", have: 0, need: 2, from: ["ann", "ben", "cleo", "dora"] },
    ]);
    assert.deepEqual([stateOf(await approve(id, people.ann)), stateOf(await ask("w-1"))], ["pending", "pending"]);
    const second = await approve(id, people.ben);
    assert.deepEqual([second.status, stateOf(second)], [201, "ready"]);
    const signed = await ask("w-1");
    assert.deepEqual([signed.status, stateOf(signed)], [201, "signed"]);
    assert.deepEqual(await leafTypes(), ["pending", "approved", "approved", "authorized", "signed"]);
    assert.deepEqual(
      (signed.body as SigningRequestView).approvals?.map(({ person }) => person),
      ["ann", "ben"],
    );
  });

  it("a vault that starts anew counts what was approved before", async () => {
    const id = idOf(await ask("w-1"));
    await approve(id, people.ann);
    const gateway = await vault.restarted();
    Object.assign(vault.gateway, { directory: gateway.directory });
    assert.equal(stateOf(await approve(id, people.cleo)), "ready");
  });

  describe("every kind of key", () => {
    const kinds: Record<string, () => Person> = {
      Ed25519: () => edPerson("alice"),
      "P-256": () => p256Person("alice"),
      "SSH Ed25519": () => sshPerson("alice", mkdtempSync(join(folder, "k-"))),
      "SSH P-256": () => sshPerson("alice", mkdtempSync(join(folder, "k-")), { type: "ecdsa" }),
      "SSH security key": () => securityKeyPerson("alice"),
      WebAuthn: () => webauthnPerson("alice"),
    };
    for (const [kind, make] of Object.entries(kinds)) {
      it(`${kind} approves; a text that differs by one letter is not approved by that signature`, async () => {
        const person = make();
        await apply({
          callers: { ...policyWith().callers, alice2: approver({ ...person, name: "alice2" }) },
          groups: { officers: { members: ["alice2"], via: ["console"] } },
          rules: [{ ...policyWith().rules[1], approvals: { officers: "1" } }],
        });
        const id = idOf(await ask("w-1"));
        const good = signedBy({ ...person, name: "alice2" }, await viewOf(id));
        const bad = { ...good, text: good.text.replace("verdict: approve", "verdict: reject") };
        assert.deepEqual(codeOf(await send(id, bad, "rejections")), [403, "person-signature-invalid"]);
        assert.equal(stateOf(await send(id, good)), "ready");
      });
    }

    it("what the security key of the tests signs, OpenSSH verifies", () => {
      const text = "portcullis\n";
      assert.ok(opensshVerifies(people.dora, text, people.dora.sign(text) as string, folder));
      assert.ok(!opensshVerifies(people.dora, "other\n", people.dora.sign(text) as string, folder));
    });

    it("a security key that nobody touched does not count", async () => {
      const dora = securityKeyPerson("dora", { flags: 0 });
      await apply({ callers: { ...policyWith().callers, dora: approver(dora) } });
      assert.deepEqual(codeOf(await approve(idOf(await ask("w-1")), dora)), [403, "person-signature-invalid"]);
    });

    const assertions: Record<string, Parameters<typeof webauthnPerson>[1]> = {
      "of another relying party": { rpId: "evil.example" },
      "asked for by another origin": { from: "https://evil.example" },
      "without a person who was verified": { flags: 0x01 },
      "without a person who was present": { flags: 0x04 },
      "that was made to register": { type: "webauthn.create" },
    };
    for (const [what, options] of Object.entries(assertions)) {
      it(`a WebAuthn assertion ${what} does not count`, async () => {
        const wilma = webauthnPerson("wilma", options);
        await apply({
          callers: { ...policyWith().callers, wilma: approver(wilma) },
          groups: { officers: { members: ["wilma", "ann"], via: ["console"] } },
        });
        assert.deepEqual(codeOf(await approve(idOf(await ask("w-1")), wilma)), [403, "person-signature-invalid"]);
      });
    }
  });

  it("an approval from a web page counts only for groups that say so", async () => {
    const wilma = webauthnPerson("wilma");
    const callers = { ...policyWith().callers, wilma: approver(wilma) };
    const rule = { ...policyWith().rules[1], approvals: { officers: "1", desk: "1", expireAfter: "24h" } };
    const groups = { officers: ["wilma", "ann"], desk: { members: ["wilma", "ann"], via: ["console"] } };
    await apply({ callers, rules: [rule], groups });
    const id = idOf(await ask("w-1"));
    assert.equal(stateOf(await approve(id, people.ann)), "pending");
    assert.equal(stateOf(await approve(id, wilma)), "ready");
    await apply({ callers, groups: { officers: ["wilma", "ann"] } });
    assert.deepEqual(codeOf(await approve(idOf(await ask("w-2")), wilma)), [403, "approval-not-asked"]);
  });

  describe("is refused, each with its own code:", () => {
    const refused = (title: string, status: number, code: string, act: (id: string) => Promise<Answer>) =>
      it(`${title}: ${code}`, async () => {
        const id = idOf(await ask("w-1"));
        assert.deepEqual(codeOf(await act(id)), [status, code]);
        assert.notEqual(stateOf(await ask("w-1")), "signed");
      });

    refused("one for another request of the same meaning", 403, "approval-for-another-request", async (id) => {
      const other = idOf(await ask("w-2"));
      return send(id, signedBy(people.ann, await viewOf(other)));
    });
    refused("one for a second deployment", 403, "approval-for-another-gateway", (id) =>
      approve(id, people.ann, { origin: "staging" }),
    );
    refused("one for another client", 403, "approval-for-another-client", (id) =>
      approve(id, people.ann, { client: "beta" }),
    );
    refused("one of another meaning", 403, "approval-for-another-intent", (id) =>
      approve(id, people.ann, { intent: `sha256:${"0".repeat(64)}` }),
    );
    refused("an SSH signature for another namespace", 403, "wrong-namespace", async (id) => {
      const ben = sshPerson("ben", mkdtempSync(join(folder, "k-")), { namespace: "file" });
      await apply({ callers: { ...policyWith().callers, ben: approver(ben) } });
      return approve(id, ben);
    });
    refused("one of a person who operates the calling service", 403, "approval-by-operator", (id) =>
      approve(id, people.otto),
    );
    refused("one by whoever is no approver", 403, "approval-person-unknown", (id) =>
      approve(id, { ...people.ann, name: "payouts" }),
    );
    refused("one in another person's name", 403, "person-signature-invalid", (id) =>
      approve(id, { ...people.ann, name: "ben" }),
    );
    refused("one after a change of the policy", 403, "approval-under-another-policy", async (id) => {
      const signed = signedBy(people.ann, await viewOf(id));
      await apply();
      return send(id, signed);
    });
    refused("one of a person who has left the group", 403, "approval-not-asked", async (id) => {
      await apply({ groups: { officers: ["ben", "cleo"], desk: ["ann"] } });
      return approve(id, people.ann);
    });
    refused("a second one of one person, with another key", 409, "approval-repeated", async (id) => {
      const second = p256Person("ann");
      await apply({ callers: { ...policyWith().callers, ann: approver(people.ann, second) } });
      assert.equal((await approve(id, people.ann)).status, 201);
      return approve(id, second);
    });
    refused("one that would outlive the request", 403, "approval-outlives-request", async (id) =>
      approve(id, people.ann, { expires: new Date(vault.clock.now + 25 * HOUR).toISOString() }),
    );
    refused("a rejection sent as an approval", 403, "approval-verdict-differs", (id) =>
      approve(id, people.ann, { verdict: "reject" }),
    );
    refused("a text that is no approval", 422, "approval-malformed", async (id) => {
      const text = approvalText(fieldsOf(await viewOf(id), "ann")).replace("\nverdict", "\nnote: x\nverdict");
      return send(id, { text, signature: people.ann.sign(text) });
    });
    refused("one that the policy would deny now", 409, "denied-now", async (id) => {
      await apply({ limits: { daily: { sum: "ETH", max: "20", window: { rolling: "24h" } } } });
      return approve(id, people.ann, { expires: new Date(vault.clock.now + HOUR).toISOString() });
    });
    refused("one for a request that has lapsed", 409, "request-expired", async (id) => {
      const signed = signedBy(people.ann, await viewOf(id));
      vault.clock.now += 24 * HOUR;
      return send(id, signed);
    });
  });

  it("counts until its own expiry, and not a millisecond longer", async () => {
    for (const [early, state] of [
      [1, "signed"],
      [0, "pending"],
    ] as const) {
      const key = `w-${early}`;
      const id = idOf(await ask(key));
      const expires = vault.clock.now + HOUR;
      await approve(id, people.ann, { expires: new Date(expires).toISOString() });
      await approve(id, people.cleo);
      vault.clock.now = expires - early;
      assert.equal(stateOf(await ask(key)), state);
    }
  });

  it("is taken a second before its expiry and refused a second after", async () => {
    const id = idOf(await ask("w-1"));
    const expires = vault.clock.now + HOUR;
    const [early, late] = [people.ann, people.cleo].map(async (person) =>
      signedBy(person, await viewOf(id), { expires: new Date(expires).toISOString() }),
    );
    const [first, second] = [await early, await late];
    vault.clock.now = expires - 1000;
    assert.equal((await send(id, first)).status, 201);
    vault.clock.now = expires + 1000;
    assert.deepEqual(codeOf(await send(id, second)), [403, "approval-expired"]);
  });

  it("the same act again is the same act", async () => {
    const id = idOf(await ask("w-1"));
    const signed = signedBy(people.ann, await viewOf(id));
    assert.deepEqual(
      [await send(id, signed), await send(id, signed)].map(({ status }) => status),
      [201, 201],
    );
    assert.deepEqual(await leafTypes(), ["pending", "approved"]);
  });

  it("one person fills one place, also as a member of two groups", async () => {
    const rule = { ...policyWith().rules[1], approvals: { officers: "1", desk: "1", expireAfter: "24h" } };
    await apply({ rules: [rule] });
    const id = idOf(await ask("w-1"));
    assert.equal(stateOf(await approve(id, people.ann)), "pending");
    assert.equal(stateOf(await approve(id, people.cleo)), "ready");
    assert.deepEqual(codeOf(await approve(id, people.dora)), [409, "approval-not-needed"]);
  });

  it("a change of the policy asks everybody again", async () => {
    const id = idOf(await ask("w-1"));
    await approve(id, people.ann);
    await approve(id, people.ben);
    await apply();
    assert.equal(stateOf(await ask("w-1")), "pending");
    assert.deepEqual((await viewOf(id)).waiting?.missing[0]?.have, 0);
    await approve(id, people.ann);
    assert.equal(stateOf(await approve(id, people.ben)), "ready");
    assert.equal(stateOf(await ask("w-1")), "signed");
  });

  it("the delay counts from the last approval that was needed", async () => {
    const rule = { ...policyWith().rules[1], approvals: { officers: "2", expireAfter: "24h" }, delay: "1h" };
    await apply({ rules: [rule] });
    const id = idOf(await ask("w-1"));
    await approve(id, people.ann);
    vault.clock.now += 2 * HOUR;
    await approve(id, people.ben);
    vault.clock.now += HOUR - 1;
    assert.equal(stateOf(await ask("w-1")), "pending");
    vault.clock.now += 1;
    assert.equal(stateOf(await ask("w-1")), "signed");
  });

  it("one rejection ends it, also one of somebody who had approved", async () => {
    const id = idOf(await ask("w-1"));
    await approve(id, people.ann);
    await approve(id, people.ben);
    const rejection = signedBy(people.ann, await viewOf(id), { verdict: "reject" });
    const rejected = await send(id, rejection, "rejections");
    assert.deepEqual([rejected.status, stateOf(rejected)], [201, "rejected"]);
    const answer = await ask("w-1");
    assert.deepEqual(codeOf(answer), [403, "rejected"]);
    assert.deepEqual((await ask("w-1")).body, answer.body);
    assert.deepEqual(codeOf(await send(id, rejection)), [409, "request-decided"]);
    assert.deepEqual(await leafTypes(), ["pending", "approved", "approved", "rejected"]);
  });

  it("its caller takes it back while it waits, and nobody else does", async () => {
    const id = idOf(await ask("w-1"));
    const cancel = (caller: string) =>
      vault.call(caller, "POST", `${REQUESTS}/${id}/cancellation`, undefined, newKey());
    assert.deepEqual(codeOf(await cancel("trading")), [404, "request-not-found"]);
    assert.deepEqual([stateOf(await cancel("payouts")), stateOf(await cancel("payouts"))], ["cancelled", "cancelled"]);
    assert.deepEqual(codeOf(await ask("w-1")), [409, "cancelled"]);
    assert.deepEqual(codeOf(await ask("w-1", 51)), [422, "idempotency-mismatch"]);
  });

  it("a nonce that was left out is chosen when it is signed, and the approval still counts", async () => {
    const id = idOf(await ask("w-1"));
    await approve(id, people.ann);
    await approve(id, people.ben);
    assert.equal(stateOf(await ask("between", 5)), "signed");
    assert.equal(stateOf(await ask("w-1")), "signed");
  });

  describe("gas and prices that were left out", () => {
    const at = (price: bigint) =>
      sign(vault.gateway, {
        client: "acme" as never,
        caller: "payouts" as never,
        idempotencyKey: "open",
        bodyHash: "00",
        body: {
          key: "hot-1" as never,
          payload: { type: "evm-transaction", transaction: { to: `0x${"1".repeat(40)}`, value: "50" } },
        },
        evidence: {},
        assist: { gas: 1n, maxFeePerGas: price, maxPriorityFeePerGas: 0n },
      });
    for (const [price, state] of [
      [1000n, "signed"],
      [1001n, "denied"],
    ] as const)
      it(`are filled anew when it is signed, up to the cap of 1000 that was approved: at ${price} it is ${state}`, async () => {
        const { id } = await at(3n);
        await approve(id, people.ann);
        await approve(id, people.ben);
        assert.equal((await at(price)).state, state);
      });
  });

  it("a request that nobody signed in time is shown as expired, and ends so", async () => {
    const id = idOf(await ask("w-1"));
    await approve(id, people.ann);
    vault.clock.now += 24 * HOUR;
    assert.equal(stateOf(await vault.call("payouts", "GET", `${REQUESTS}/${id}`)), "expired");
    const answer = await ask("w-1");
    assert.deepEqual(codeOf(answer), [403, "denied-by-policy"]);
    assert.equal((answer.body as { request: SigningRequestView }).request.state, "expired");
  });
});
