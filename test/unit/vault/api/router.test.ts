import assert from "node:assert/strict";
import { GatewayError } from "../../../../src/domain/errors.ts";
import { GatewayClient } from "../../../../src/sdk/client.ts";
import { statusOf } from "../../../../src/vault/api/problems.ts";
import { bodyBytes, route } from "../../../../src/vault/api/router.ts";
import { ROUTES, type Answer } from "../../../../src/vault/api/routes.ts";
import { CHAIN, newKey, REQUESTS, testVault, transferBody, type TestVault } from "../../../support/vault.ts";

// Goal: the one way in lets each role do what its row says and nothing else, and answers whatever it is sent.
// Method: the matrix below is written by hand, from DESIGN's list of roles; the route table must agree with it.

const EVERYBODY = ["wallet-service", "approver", "policy-officer", "operator", "observer", "secured-party", "auditor"];
const MATRIX: Readonly<Record<string, readonly string[]>> = {
  "POST /v1/clients/{client}/signing-requests": ["wallet-service"],
  "POST /v1/clients/{client}/signing-requests/batch": ["wallet-service"],
  "GET /v1/clients/{client}/signing-requests": ["wallet-service", "approver", "operator", "auditor"],
  "GET /v1/clients/{client}/signing-requests/{id}": ["wallet-service", "approver", "operator", "auditor"],
  "GET /v1/clients/{client}/signing-requests/{id}/approvals": ["wallet-service", "approver", "operator", "auditor"],
  "POST /v1/clients/{client}/signing-requests/{id}/approvals": ["wallet-service", "approver", "operator", "auditor"],
  "POST /v1/clients/{client}/signing-requests/{id}/rejections": ["wallet-service", "approver", "operator", "auditor"],
  "POST /v1/clients/{client}/signing-requests/{id}/cancellation": ["wallet-service"],
  "GET /v1/clients/{client}/signing-requests/{id}/receipt": ["wallet-service", "approver", "auditor"],
  "GET /v1/clients/{client}/openings": ["approver", "policy-officer", "observer", "auditor"],
  "POST /v1/clients/{client}/evaluations": ["wallet-service", "policy-officer", "auditor"],
  "GET /v1/clients/{client}/keys": EVERYBODY,
  "POST /v1/clients/{client}/keys": ["operator"],
  "GET /v1/clients/{client}/policy": EVERYBODY,
  "GET /v1/clients/{client}/policy/versions": EVERYBODY,
  "GET /v1/clients/{client}/policy/scheduled": EVERYBODY,
  "POST /v1/clients/{client}/policy/cancellation": ["policy-officer", "operator"],
  "GET /v1/clients/{client}/decisions": ["policy-officer", "auditor"],
  "PUT /v1/clients/{client}/policy": ["policy-officer"],
  "GET /v1/clients": ["operator", "policy-officer", "observer", "auditor"],
  "POST /v1/clients/{client}/signing-requests/{id}/settlement": ["operator"],
  "POST /v1/clients": ["operator"],
  "GET /v1/log/openings": ["auditor"],
  "GET /v1/log/checkpoint": ["anyone"],
  "GET /v1/log/tile/{path*}": ["anyone"],
  "GET /openapi.json": ["anyone"],
  "GET /v1/clients/{client}/attestation": ["operator", "policy-officer", "auditor", "secured-party"],
  "POST /v1/clients/{client}/keys/{key}/state": ["operator"],
  "POST /v1/clients/{client}/pin": ["operator"],
  "POST /v1/clock": ["policy-officer"],
  "POST /rpc/{client}": ["wallet-service"],
  "GET /api/v1/eth1/publicKeys": ["wallet-service"],
  "POST /api/v1/eth1/sign/{identifier}": ["wallet-service"],
  "GET /v1/clients/{client}/positions": EVERYBODY,
  "POST /v1/clients/{client}/observations": ["observer"],
  "GET /v1/clients/{client}/liens": EVERYBODY,
  "POST /v1/clients/{client}/liens": ["policy-officer", "secured-party"],
  "POST /v1/clients/{client}/liens/{lien}/release": ["secured-party", "policy-officer", "operator"],
  "POST /v1/clients/{client}/reports": ["observer", "auditor"],
  "POST /v1/clients/{client}/statements": ["approver", "policy-officer", "operator", "secured-party", "auditor"],
  "GET /v1/recovery": ["policy-officer", "operator", "auditor"],
  "PUT /v1/recovery": ["policy-officer"],
  "GET /v1/clients/{client}/freeze": EVERYBODY,
  "POST /v1/clients/{client}/unfreeze": ["policy-officer"],
  "POST /v1/clients/{client}/freeze": EVERYBODY.filter((role) => role !== "wallet-service"),
};
const CALLERS = {
  payouts: "wallet-service",
  alice: "approver",
  watcher: "observer",
  lender: "secured-party",
  checker: "auditor",
  officer: "policy-officer",
  operator: "operator",
  inspector: "auditor",
} as const;
const OF_THE_HOUSE = ["officer", "operator", "inspector"];

/** What those who may are told: nothing, or that what they ask for is not there. */
const HARMLESS = ["invalid-body", "request-not-found", "key-not-found", undefined];

const codeOf = ({ body }: Answer): string | undefined => (body as { code?: string }).code;

describe("vault/api/router", () => {
  let vault: TestVault;
  before(async () => (vault = await testVault()));
  after(() => vault.close());

  const raw = (method: string, target: string, body: Buffer, key?: string, caller = "payouts"): Promise<Answer> => {
    const { headers } = new GatewayClient(vault.callers.get(caller)!).signRequest(method, target, body, key);
    return route(vault.gateway, { method, target, headers, body });
  };

  it("the matrix has every route and every role", () => {
    assert.deepEqual(ROUTES.map(({ method, path }) => `${method} ${path}`).toSorted(), Object.keys(MATRIX).toSorted());
    assert.deepEqual(new Set(Object.values(CALLERS)), new Set(EVERYBODY));
  });

  for (const [name, roles] of Object.entries(MATRIX).filter(([, [first]]) => first !== "anyone")) {
    const [method, path] = name.split(" ") as [string, string];
    const target = path
      .replace("{client}", "acme")
      .replace("{id}", "0".repeat(32))
      .replace("{key}", "hot-1")
      .replace("{lien}", "loan-1")
      .replace("{identifier}", "0x00");
    for (const [caller, role] of Object.entries(CALLERS)) {
      // Web3Signer's paths name no client: the caller does.
      const isStranger = !/\{client\}|^\/api\//.test(path) && !OF_THE_HOUSE.includes(caller);
      const may = !isStranger && roles.includes(role);
      it(`${caller} (${role}) ${may ? "may" : "may not"} ${name}`, async () => {
        // A freeze that comes to pass would be met by all that follow.
        const body = method === "GET" ? undefined : path.endsWith("/freeze") ? { key: "hot-9" } : {};
        const answer = await vault.call(caller, method, target, body, method === "GET" ? undefined : newKey());
        if (isStranger) assert.deepEqual([answer.status, codeOf(answer)], [401, "unknown-caller"]);
        else if (!may) assert.deepEqual([answer.status, codeOf(answer)], [403, "not-permitted"]);
        else assert.ok(HARMLESS.includes(codeOf(answer)), codeOf(answer));
      });
    }
  }

  for (const name of Object.keys(MATRIX).filter((each) => MATRIX[each]![0] === "anyone")) {
    it(`anyone may ${name}, with a signature, a wrong one or none, and is told nothing of callers`, async () => {
      const target = name.split(" ")[1]!.replace("{path*}", "0/000");
      const answers = await Promise.all([
        route(vault.gateway, { method: "GET", target, headers: {}, body: Buffer.alloc(0) }),
        route(vault.gateway, { method: "GET", target, headers: { signature: "x" }, body: Buffer.alloc(0) }),
        vault.call("payouts", "GET", target),
      ]);
      for (const answer of answers) assert.deepEqual(answer, answers[0]);
      const there = name.endsWith("/openapi.json");
      const expected = there ? [200, undefined] : [404, "not-found"]; // there is no checkpoint yet
      assert.deepEqual([answers[0].status, codeOf(answers[0])], expected);
    });
  }

  describe("paths and methods", () => {
    for (const target of [
      "/",
      "/v1",
      "/v1/clients/",
      "/v1/clients/acme",
      "/v1/clients/acme/signing-requests/",
      "//v1/clients/acme/signing-requests",
      "/V1/clients/acme/signing-requests",
      "/v1/clients/ac%6De/signing-requests",
      "/v1/clients/acme/../acme/signing-requests",
      "/v1/clients/acme/signing-requests#x",
      `/v1/clients/${"a".repeat(65)}/signing-requests`,
      "/v1/clients/acme/approvals",
      "*",
      "",
    ]) {
      it(`\`${target.slice(0, 50)}\` is no path`, async () => {
        const answer = await raw("GET", target, Buffer.alloc(0));
        assert.deepEqual([answer.status, codeOf(answer)], [404, "not-found"]);
      });
    }
    for (const method of ["DELETE", "PATCH", "PUT", "HEAD", "OPTIONS", "get", "TRACE", ""]) {
      it(`\`${method}\` is no method of signing requests`, async () => {
        const answer = await raw(method, REQUESTS, Buffer.alloc(0));
        assert.deepEqual([answer.status, codeOf(answer)], [405, "method-not-allowed"]);
      });
    }
  });

  describe("whose callers", () => {
    it("a client's callers are strangers to every other client (I2)", async () => {
      await vault.call("operator", "POST", "/v1/clients", { client: "blue" }, newKey());
      for (const caller of ["payouts", "alice", "checker"]) {
        const answer = await vault.call(caller, "GET", "/v1/clients/blue/keys");
        assert.deepEqual([answer.status, codeOf(answer)], [401, "unknown-caller"]);
      }
    });

    it("nobody learns from a stranger's answer which clients there are", async () => {
      const [there, nowhere] = await Promise.all(
        ["blue", "green"].map((client) => vault.call("payouts", "GET", `/v1/clients/${client}/keys`)),
      );
      assert.deepEqual(there, nowhere);
    });

    it("the house's own people are told that a client does not exist", async () => {
      const answer = await vault.call("operator", "GET", "/v1/clients/green/keys");
      assert.deepEqual([answer.status, codeOf(answer)], [404, "client-not-found"]);
    });

    it("a wallet service reads its own requests, an auditor all of the client's", async () => {
      const { body } = await vault.call("payouts", "POST", REQUESTS, transferBody(5), newKey());
      const { id } = body as { id: string };
      const read = async (caller: string) => (await vault.call(caller, "GET", `${REQUESTS}/${id}`)).status;
      assert.deepEqual([await read("payouts"), await read("trading"), await read("checker")], [200, 404, 200]);
      const list = async (caller: string) =>
        ((await vault.call(caller, "GET", REQUESTS)).body as { requests: { id: string }[] }).requests.map(
          (each) => each.id,
        );
      assert.ok((await list("payouts")).includes(id) && (await list("checker")).includes(id));
      assert.ok(!(await list("trading")).includes(id));
    });

    it("two callers of one client may use the same idempotency key", async () => {
      const key = newKey();
      const ids = [];
      for (const caller of ["payouts", "trading"])
        ids.push(((await vault.call(caller, "POST", REQUESTS, transferBody(5), key)).body as { id: string }).id);
      assert.notEqual(ids[0], ids[1]);
    });
  });

  describe("what is sent", () => {
    for (const [what, key, code] of [
      ["no idempotency key", undefined, "idempotency-key-missing"],
      ["one with a blank", "a b", "idempotency-key-invalid"],
      ["one of 129 characters", "k".repeat(129), "idempotency-key-invalid"],
      ["one that is no ASCII", "ké", "idempotency-key-invalid"],
      ["one with a line end", "a\nb", "idempotency-key-invalid"],
    ] as const) {
      it(`${what}: 400`, async () => {
        const answer = await raw("POST", REQUESTS, Buffer.from(JSON.stringify(transferBody(5))), key);
        assert.deepEqual([answer.status, codeOf(answer)], [400, code]);
      });
    }

    const good = transferBody(5);
    for (const [what, text] of [
      ["nothing", ""],
      ["no JSON", "{"],
      ["an array", "[]"],
      ["null", "null"],
      ["an unknown field", JSON.stringify({ ...good, extra: 1 })],
      ["an unknown field of the payload", JSON.stringify({ ...good, payload: { ...good.payload, extra: 1 } })],
      ["an unknown payload type", JSON.stringify({ ...good, payload: { ...good.payload, type: "evm-transactions" } })],
      ["both forms of a payload", JSON.stringify({ ...good, payload: { ...good.payload, unsigned: "0x02" } })],
      ["neither form of a payload", JSON.stringify({ ...good, payload: { type: "evm-transaction" } })],
      ["a key that is no name", JSON.stringify({ ...good, key: "../hot-1" })],
      ["__proto__", `{"__proto__": {"key": "hot-1"}, "payload": {}}`],
      ["a reference of 257 characters", JSON.stringify({ ...good, reference: "x".repeat(257) })],
    ] as const) {
      it(`${what} is no body: 400`, async () => {
        const answer = await raw("POST", REQUESTS, Buffer.from(text), newKey());
        assert.deepEqual([answer.status, codeOf(answer)], [400, "invalid-body"]);
      });
    }

    it("a body that is no UTF-8: 400", async () => {
      const body = Buffer.concat([Buffer.from('{"key":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]);
      assert.equal(codeOf(await raw("POST", REQUESTS, body, newKey())), "invalid-body");
    });

    it("a GET has no body", async () => {
      assert.equal(codeOf(await raw("GET", REQUESTS, Buffer.from("{}"))), "invalid-body");
    });

    for (const query of ["wait=61s", "wait=-1s", "wait=1", "wait=1m", "wait=", "wait=1e1s"]) {
      it(`\`?${query}\` is no time to wait`, async () => {
        const answer = await vault.call("payouts", "GET", `${REQUESTS}/${"0".repeat(32)}?${query}`);
        assert.deepEqual([answer.status, codeOf(answer)], [400, "invalid-parameter"]);
      });
    }
    for (const query of ["limit=0", "limit=501", "limit=1.5", "limit=x", "state=done"]) {
      it(`\`?${query}\` lists nothing`, async () => {
        const answer = await vault.call("payouts", "GET", `${REQUESTS}?${query}`);
        assert.deepEqual([answer.status, codeOf(answer)], [400, "invalid-parameter"]);
      });
    }

    it("a list goes on where its cursor says, without a gap and without a repetition", async () => {
      for (let n = 0; n < 7; n++) await vault.call("trading", "POST", REQUESTS, transferBody(1), newKey());
      const ids: string[] = [];
      let cursor: string | null = null;
      do {
        const query: string = cursor === null ? "limit=3" : `limit=3&cursor=${cursor}`;
        const { body } = await vault.call("trading", "GET", `${REQUESTS}?${query}`);
        const page = body as { requests: { id: string }[]; cursor: string | null };
        ids.push(...page.requests.map(({ id }) => id));
        cursor = page.cursor;
      } while (cursor !== null);
      assert.equal(new Set(ids).size, ids.length);
      const { body } = await vault.call("trading", "GET", REQUESTS);
      assert.deepEqual(
        (body as { requests: { id: string }[] }).requests.map(({ id }) => id),
        ids,
      );
    });
  });

  describe("what comes back", () => {
    it("an evaluation changes nothing: no leaf, no spend, no nonce", async () => {
      const before = await vault.store.read((reader) => reader.leaves(0, 1_000_000));
      const evaluate = () => vault.call("payouts", "POST", "/v1/clients/acme/evaluations", transferBody(5));
      const [first, second] = [await evaluate(), await evaluate()];
      assert.deepEqual([first.status, first.body], [200, second.body]);
      assert.equal((await vault.store.read((reader) => reader.leaves(0, 1_000_000))).length, before.length);
    });

    it("an evaluation for a client without a policy says so", async () => {
      await vault.call("operator", "POST", "/v1/clients", { client: "empty" }, newKey());
      await vault.call("operator", "POST", "/v1/clients/empty/keys", { name: "hot-1", chains: [CHAIN] }, newKey());
      const answer = await vault.call("officer", "POST", "/v1/clients/empty/evaluations", transferBody(5));
      assert.deepEqual([answer.status, codeOf(answer)], [404, "policy-not-found"]);
    });

    it("a final answer has the same bytes for ever, a denial too", async () => {
      for (const [value, status] of [
        [5, 201],
        [9_999_999, 403],
      ] as const) {
        const key = newKey();
        const first = await vault.call("payouts", "POST", REQUESTS, transferBody(value), key);
        vault.clock.now += 3_600_000;
        const second = await vault.call("payouts", "POST", REQUESTS, transferBody(value), key);
        assert.equal(first.status, status);
        assert.deepEqual([second.status, bodyBytes(second.body)], [status, bodyBytes(first.body)]);
      }
    });

    it("a fault inside says nothing of the inside, and the operator hears of it", async () => {
      const broken = {
        ...vault.gateway,
        store: { ...vault.store, write: () => Promise.reject(new Error("secret path")) },
      };
      const body = Buffer.from(JSON.stringify(transferBody(5)));
      const { headers } = new GatewayClient(vault.callers.get("payouts")!).signRequest(
        "POST",
        REQUESTS,
        body,
        newKey(),
      );
      const answer = await route(broken, { method: "POST", target: REQUESTS, headers, body });
      assert.deepEqual([answer.status, codeOf(answer)], [500, "internal-error"]);
      assert.ok(!bodyBytes(answer.body).toString().includes("secret"));
      assert.equal((vault.faults.pop() as Error).message, "secret path");
    });

    it("whatever says `later` says when", async () => {
      const away = () => Promise.reject(new GatewayError("store-unavailable", "away"));
      const gateway = { ...vault.gateway, store: { ...vault.store, write: away } };
      const body = Buffer.from(JSON.stringify(transferBody(5)));
      const { headers } = new GatewayClient(vault.callers.get("payouts")!).signRequest(
        "POST",
        REQUESTS,
        body,
        newKey(),
      );
      const answer = await route(gateway, { method: "POST", target: REQUESTS, headers, body });
      assert.deepEqual([answer.status, answer.headers?.["retry-after"]], [503, "1"]);
    });

    it("a code that no list names refuses what the payload says", () => assert.equal(statusOf("wrong-chain"), 422));
  });
});
