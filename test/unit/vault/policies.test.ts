import assert from "node:assert/strict";
import { sign as signText } from "node:crypto";
import { policySigningText, type PolicyBody } from "../../../src/domain/api.ts";
import type { CallerName, ClientId } from "../../../src/domain/names.ts";
import { privateKeyOf } from "../../../src/sdk/caller-file.ts";
import { StaleDirectory } from "../../../src/vault/directory.ts";
import { changePolicy } from "../../../src/vault/policies.ts";
import { checkLog, leavesOf, logOf } from "../../support/log-check.ts";
import {
  acmePolicy,
  GATEWAY,
  housePolicy,
  newKey,
  REQUESTS,
  testVault,
  transferBody,
  type TestVault,
} from "../../support/vault.ts";

// Goal: a policy becomes active only by the signatures of as many officers as the house asks for, over exactly this
// change of exactly this client at this gateway; and what it says of limits holds for the past as well.

describe("sentence 10: applying (vault/policies)", () => {
  let vault: TestVault;
  beforeEach(async () => (vault = await testVault()));
  afterEach(() => vault.close());

  const next = (changes: object = {}, version = "2") => ({
    ...acmePolicy,
    callers: vault.clientCallers,
    version,
    ...changes,
  });
  const houseWith = (changes: object, version = "2") => ({
    ...housePolicy,
    version,
    use: ["assets.yaml"],
    callers: vault.houseCallers,
    ...changes,
  });
  const put = (body: PolicyBody, client = "acme") => {
    const { store, directory } = vault.gateway;
    return changePolicy({ store, directory, origin: GATEWAY }, client as ClientId, body, "officer" as CallerName);
  };
  const refusedAs = (attempt: Promise<unknown>, code: string) =>
    assert.rejects(attempt, (error: unknown) => {
      assert.equal((error as { code?: string }).code, code, String(error));
      return true;
    });
  const activeVersion = async () => (await vault.store.read((reader) => reader.policy("acme" as ClientId)))!.version;

  it("is active from its leaf on", async () => {
    const row = await vault.apply("acme", next());
    assert.equal(await activeVersion(), 2);
    assert.equal(vault.gateway.directory.get("acme" as ClientId).policy!.hash, row.hash);
    const leaf = leavesOf(checkLog(await logOf(vault.store)), "policy-applied").at(-1)!;
    assert.deepEqual([leaf.index, leaf.opening["policy"], leaf.opening["version"]], [row.leaf, row.hash, 2]);
  });

  describe("signatures", () => {
    const signedAs = async (fields: Partial<Parameters<typeof policySigningText>[0]>): Promise<PolicyBody> => {
      const body = await vault.signedPolicy("acme", next());
      const row = (await vault.store.read((reader) => reader.policy("acme" as ClientId)))!;
      const { hash } = (await import("../../../src/vault/compilers.ts")).compilers.client(body);
      const text = policySigningText({
        origin: GATEWAY,
        client: "acme",
        version: 2,
        hash,
        previousHash: row.hash,
        ...fields,
      });
      const signature = signText(null, Buffer.from(text), privateKeyOf(vault.callers.get("officer")!)).toString(
        "base64",
      );
      return { ...body, signatures: [{ person: "officer" as CallerName, signature }] };
    };

    it("the text names gateway, client, version, policy and the policy before it", async () => {
      await put(await signedAs({}));
      assert.equal(await activeVersion(), 2);
    });

    for (const [what, fields] of [
      ["another gateway", { origin: "staging" }],
      ["another client", { client: "blue" }],
      ["another version", { version: 3 }],
      ["another document", { hash: "00".repeat(32) }],
      ["another previous policy", { previousHash: "00".repeat(32) }],
      ["no previous policy", { previousHash: null }],
    ] as const) {
      it(`one for ${what} does not count`, async () => {
        await refusedAs(put(await signedAs(fields)), "policy-signatures");
        assert.equal(await activeVersion(), 1);
      });
    }

    it("none is not enough", () => refusedAs(vault.apply("acme", next(), []), "policy-signatures"));

    it("only policy officers count, whoever else signs", async () => {
      for (const person of ["operator", "inspector", "payouts", "alice"])
        await refusedAs(vault.apply("acme", next(), [person]), "policy-signatures");
    });

    it("an officer's name over another's signature does not count", async () => {
      const body = await vault.signedPolicy("acme", next(), ["deputy"]);
      const { signature } = body.signatures[0]!;
      await refusedAs(
        put({ ...body, signatures: [{ person: "officer" as CallerName, signature }] }),
        "policy-signatures",
      );
    });

    it("one that does not verify refuses all, also beside enough that do", async () => {
      const body = await vault.signedPolicy("acme", next());
      const forged = { person: "deputy" as CallerName, signature: Buffer.alloc(64).toString("base64") };
      await refusedAs(put({ ...body, signatures: [...body.signatures, forged] }), "policy-signatures");
    });

    it("a file changed after it was signed is another document", async () => {
      const body = await vault.signedPolicy("acme", next());
      const files = { ...body.files, "policy.yaml": body.files["policy.yaml"]!.replace("1000000", "9000000") };
      await refusedAs(put({ ...body, files }), "policy-signatures");
    });

    it("a quorum of two is two persons: one who signs twice is one", async () => {
      await vault.apply("house", houseWith({ policyQuorum: "2" }));
      await refusedAs(vault.apply("acme", next(), ["officer"]), "policy-signatures");
      await refusedAs(vault.apply("acme", next(), ["officer", "officer"]), "policy-signatures");
      assert.equal(await activeVersion(), 1);
      await vault.apply("acme", next(), ["officer", "deputy"]);
      assert.equal(await activeVersion(), 2);
    });

    it("an officer whom a change of the same moment removes signs nothing after it", async () => {
      const { operator, inspector, deputy } = vault.houseCallers as Record<string, object>;
      const removal = await vault.signedPolicy("house", houseWith({ callers: { operator, inspector, deputy } }), [
        "deputy",
      ]);
      const byTheRemoved = await vault.signedPolicy("acme", next(), ["officer"]);
      const [first, second] = await Promise.allSettled([put(removal, "house"), put(byTheRemoved)]);
      assert.equal(first.status, "fulfilled");
      assert.equal(second.status, "rejected");
      assert.ok(second.reason instanceof StaleDirectory, String(second.reason));
      await refusedAs(put(byTheRemoved), "policy-signatures");
      assert.equal(await activeVersion(), 1);
    });
  });

  describe("versions", () => {
    it("only grow: the same and an older one are refused", async () => {
      await vault.apply("acme", next({}, "5"));
      for (const version of ["5", "4", "1"]) await refusedAs(vault.apply("acme", next({}, version)), "policy-conflict");
      await vault.apply("acme", next({}, "6"));
    });

    it("of two for one place one is applied", async () => {
      const [first, second] = [
        await vault.signedPolicy("acme", next({ fee: { ETH: { max: "7" } } })),
        await vault.signedPolicy("acme", next()),
      ];
      const outcomes = await Promise.allSettled([put(first), put(second)]);
      assert.deepEqual(
        outcomes.map(({ status }) => status),
        ["fulfilled", "rejected"],
      );
    });

    it("signatures over version 2 do not bring it back after version 3", async () => {
      const second = await vault.signedPolicy("acme", next());
      await vault.apply("acme", next({}, "3"));
      await refusedAs(put(second), "policy-conflict");
    });
  });

  describe("whose it is", () => {
    it("a policy for another client is refused", async () => {
      await refusedAs(put(await vault.signedPolicy("acme", next({ client: "blue" }))), "policy-invalid");
    });

    it("a client that nobody added has no policy", async () => {
      await refusedAs(put(await vault.signedPolicy("blue", next({ client: "blue" })), "blue"), "client-not-found");
    });

    const addBlue = async () => {
      const { status } = await vault.call("operator", "POST", "/v1/clients", { client: "blue" }, newKey());
      assert.equal(status, 201);
    };
    const bluePolicy = (callers: object) => next({ client: "blue", callers }, "1");

    it("a public key belongs to one client for ever, also when its client no longer declares it", async () => {
      await addBlue();
      const { payouts, ...others } = vault.clientCallers as Record<string, object>;
      await vault.apply("acme", next({ callers: others }));
      await refusedAs(vault.apply("blue", bluePolicy({ theirs: payouts })), "policy-conflict");
      await vault.apply("acme", next({}, "3"));
    });

    it("another spelling of a public key is no public key", async () => {
      await addBlue();
      const { payouts } = vault.clientCallers as Record<string, { role: string; keys: [string] }>;
      const [text] = payouts!.keys;
      const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
      const respelled = `${text.slice(0, -2)}${digits[digits.indexOf(text.at(-2)!) + 1]}=`;
      const bytes = (key: string) => Buffer.from(key.slice("ed25519:".length), "base64");
      assert.deepEqual(bytes(respelled), bytes(text));
      await assert.rejects(
        async () => vault.apply("blue", bluePolicy({ theirs: { ...payouts!, keys: [respelled] } })),
        {
          code: "policy-invalid",
        },
      );
    });

    it("a name of the house is no client's, and the other way round", async () => {
      const { officer, ...others } = vault.houseCallers as Record<string, { keys: string[] }>;
      const checker = { role: "auditor", keys: [`ed25519:${Buffer.alloc(32, 4).toString("base64")}`] };
      await refusedAs(
        vault.apply("acme", next({ callers: { ...vault.clientCallers, officer: checker } })),
        "policy-conflict",
      );
      const taking = houseWith({
        callers: {
          officer,
          ...others,
          payouts: { role: "auditor", keys: [`ed25519:${Buffer.alloc(32, 5).toString("base64")}`] },
        },
      });
      await refusedAs(vault.apply("house", taking), "policy-conflict");
    });

    it("clients may use the same names", async () => {
      await addBlue();
      const payouts = { role: "wallet-service", keys: [`ed25519:${Buffer.alloc(32, 6).toString("base64")}`] };
      await vault.apply("blue", bluePolicy({ payouts }));
    });
  });

  describe("limits count the past", () => {
    const pay = async (value: number) =>
      (await vault.call("payouts", "POST", REQUESTS, transferBody(value), newKey())).status;
    const daily = (max: string) => ({ sum: "ETH", max, window: { rolling: "24h" } });

    it("a limit that is added counts what was spent before it", async () => {
      for (const value of [10, 20]) assert.equal(await pay(value), 201);
      await vault.apply("acme", next({ limits: { ...acmePolicy.limits, added: daily("50") } }));
      assert.equal(await pay(18), 403); // 11 + 21 + 19 > 50
      assert.equal(await pay(17), 201);
    });

    it("a limit that is renamed forgets nothing", async () => {
      await vault.apply("acme", next({ limits: { before: daily("50") } }));
      assert.equal(await pay(30), 201);
      await vault.apply("acme", next({ limits: { after: daily("50") } }, "3"));
      assert.equal(await pay(30), 403);
    });

    it("a limit of the house that is added counts what all clients spent before it", async () => {
      assert.equal(await pay(30), 201);
      await vault.apply("house", houseWith({ limits: { total: daily("50") } }));
      assert.equal(await pay(30), 403);
      assert.equal(await pay(10), 201);
    });

    it("a limit of a day counts from the moment of the spend, not of the policy", async () => {
      assert.equal(await pay(30), 201);
      vault.clock.now += 20 * 3_600_000;
      await vault.apply("acme", next({ limits: { added: daily("50") } }));
      assert.equal(await pay(30), 403);
      vault.clock.now += 4 * 3_600_000;
      assert.equal(await pay(30), 201);
    });
  });
});
