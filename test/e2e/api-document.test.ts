// Goal: nothing that the gateway answers violates its OpenAPI document, and nothing that is sent to it, malformed, missing,
// extra or huge, is answered 500.
// Method: between the tests and a real edge stands ajv with the document as the edge serves it, closed: a field that the
// document does not name is a violation. Requests are generated from the document.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import fc from "fast-check";
import { EXAMPLE_ANSWERS } from "../../src/vault/api/example-answers.ts";
import { openApiDocument } from "../../src/vault/api/openapi.ts";
import { ROUTES } from "../../src/vault/api/routes.ts";
import { DocumentCheck, type ApiDocument, type Operation } from "../support/api-document.ts";
import { checkpointsOf } from "../support/exported-log.ts";
import { served, type ServedVault } from "../support/served-vault.ts";
import { acmePolicy, newKey, REQUESTS, testVault, transferBody, type TestVault } from "../support/vault.ts";
import { send, type WireAnswer } from "../support/wire.ts";

const RUNS = process.env["SOAK"] ? 400 : 12;
const ACME = "/v1/clients/acme";
const rules = [
  { id: "small", allow: ["transfer"], to: ["anyone"], amount: { ETH: { max: "5000000" } } },
  {
    id: "large",
    allow: ["transfer"],
    to: ["anyone"],
    amount: { ETH: { over: "5000000", max: "9000000" } },
    approvals: { people: "1", expireAfter: "24h" },
  },
];
const policy = {
  rules,
  groups: { people: ["alice"] },
  fee: { ETH: { max: "1000000" } },
  limits: { daily: { sum: "ETH", max: "100000000000", window: { rolling: "24h" } } },
};

describe("the OpenAPI document", function () {
  let vault: TestVault;
  let gateway: ServedVault;
  let check: DocumentCheck;
  before(async () => {
    vault = await testVault({ policy });
    gateway = await served(vault);
    check = new DocumentCheck(openApiDocument(ROUTES, { closedAnswers: true }));
  });
  after(async () => {
    await gateway.close();
    await vault.close();
  });

  /** Through the validator. */
  const call = async (...of: Parameters<ServedVault["call"]>): Promise<WireAnswer> => {
    const request = gateway.signed(...of);
    const answer = await send(gateway.url, request);
    check.assertAnswer(of[1], of[2], answer);
    if (answer.status < 300) check.assertRequest(of[1], of[2], request);
    return answer;
  };
  const json = ({ body }: WireAnswer) => JSON.parse(body.toString()) as Record<string, never>;
  const open = async (target: string): Promise<WireAnswer> => {
    const answer = await send(gateway.url, { method: "GET", target, headers: {}, body: Buffer.alloc(0) });
    check.assertAnswer("GET", target, answer);
    return answer;
  };

  it("is served as it is printed, and names every route", async () => {
    const found = json(await open("/openapi.json")) as unknown as ApiDocument & { openapi: string };
    assert.deepEqual(found, JSON.parse(JSON.stringify(openApiDocument(ROUTES))));
    assert.equal(found.openapi, "3.1.0");
    for (const { method, path } of ROUTES)
      assert.ok(found.paths[path.replace("*}", "}")]?.[method.toLowerCase()], `${method} ${path}`);
    const ids = check.operations().map(({ operation }) => operation.operationId);
    assert.equal(new Set(ids).size, ids.length, "each operation has a name of its own");
  });

  it("a field, a status or a media type that it does not name is a violation", async () => {
    const answer = await call("payouts", "GET", `${ACME}/keys`);
    const with_ = (change: Partial<WireAnswer>) => () =>
      check.assertAnswer("GET", `${ACME}/keys`, { ...answer, ...change });
    with_({})();
    assert.throws(with_({ body: Buffer.from(JSON.stringify({ ...json(answer), further: 1 })) }), /additional/);
    assert.throws(with_({ body: Buffer.from("{}") }), /required/);
    assert.throws(with_({ status: 204 }), /not documented/);
    assert.throws(with_({ headers: { "content-type": "text/html" } }), /not documented/);
    const request = gateway.signed("payouts", "POST", REQUESTS, transferBody(1), newKey());
    const asked =
      (change: Partial<typeof request>, target = REQUESTS) =>
      () =>
        check.assertRequest("POST", target, { ...request, ...change });
    asked({})();
    assert.throws(asked({ body: Buffer.from(JSON.stringify({ ...transferBody(1), further: 1 })) }), /further/);
    assert.throws(asked({ headers: { ...request.headers, "idempotency-key": "" } }), /Idempotency-Key/);
    assert.throws(asked({}, `${REQUESTS}?surprise=1`), /surprise/);
    assert.throws(asked({}, REQUESTS.replace("acme", "A_C")), /path client/);
  });

  it("every answer of a day's work fits it", async () => {
    const signed = json(await call("payouts", "POST", REQUESTS, { ...transferBody(7), reference: "a" }, newKey()));
    assert.equal(signed["state"], "signed");
    const bumped = {
      ...transferBody(7, { maxFeePerGas: "2" }),
      replaces: signed["id"],
      notAfter: "2099-01-01T00:00:00Z",
    };
    assert.equal((await call("payouts", "POST", REQUESTS, bumped, newKey())).status, 201);
    await call("payouts", "POST", REQUESTS, transferBody(99_000_000), newKey());
    await call("payouts", "POST", REQUESTS, transferBody(1, { to: "0x1" }), newKey());
    await call("payouts", "POST", REQUESTS, transferBody(1, { gas: "99999999" }), newKey());
    const waiting = json(await call("payouts", "POST", REQUESTS, transferBody(6_000_000), newKey()));
    assert.equal(waiting["state"], "pending");
    await call("alice", "GET", `${REQUESTS}/${waiting["id"]}/approvals`);
    await call("alice", "POST", `${REQUESTS}/${waiting["id"]}/approvals`, { text: "x", signature: "y" }, newKey());
    await call("payouts", "POST", `${REQUESTS}/${waiting["id"]}/cancellation`, undefined, newKey());
    await call("payouts", "POST", `${REQUESTS}/${waiting["id"]}/cancellation`, undefined, newKey());
    await call(
      "payouts",
      "POST",
      `${REQUESTS}/batch`,
      { requests: [transferBody(1), transferBody(99_000_000)] },
      newKey(),
    );
    await call("payouts", "POST", `${ACME}/evaluations`, transferBody(6_000_000));
    await call("payouts", "GET", `${REQUESTS}?limit=2&state=signed`);
    await call("payouts", "GET", `${REQUESTS}/${signed["id"]}?wait=1s`);
    await call("operator", "POST", `${REQUESTS}/${signed["id"]}/settlement`, undefined, newKey());
    for (const path of ["keys", "policy", "policy/versions", "attestation", "freeze", "decisions", "openings"])
      await call("inspector", "GET", `${ACME}/${path}`);
    await call("payouts", "GET", `${ACME}/policy?version=9`);
    await call("operator", "POST", `${ACME}/keys`, { name: "hot-7", chains: ["eip155:31337"] }, newKey());
    await call("operator", "POST", `${ACME}/keys/hot-7/state`, { state: "retired" }, newKey());
    const next = await vault.signedPolicy("acme", {
      ...acmePolicy,
      ...policy,
      version: "2",
      callers: vault.clientCallers,
    });
    assert.equal((await call("officer", "PUT", `${ACME}/policy`, next, newKey())).status, 200);
    await call("officer", "PUT", `${ACME}/policy`, next, newKey());
    await call("alice", "POST", `${ACME}/freeze`, { key: "hot-1", reason: "a test" }, newKey());
    await call("payouts", "POST", REQUESTS, transferBody(7), newKey());
    await call("officer", "POST", `${ACME}/unfreeze`, { key: "hot-1", signatures: [] }, newKey());
    await call("operator", "POST", "/v1/clients", { client: "blue" }, newKey());
    await call("operator", "GET", "/v1/clients");
    await call("officer", "POST", "/v1/clock", { seen: new Date(vault.clock.now).toISOString() }, newKey());
    await open("/v1/log/checkpoint");
    await (await checkpointsOf(vault)).round();
    await open("/v1/log/checkpoint");
    await open("/v1/log/tile/0/000.p/5");
    await call("payouts", "GET", `${REQUESTS}/${signed["id"]}/receipt`);
    for (const path of ["/livez", "/readyz", "/upcheck", "/healthcheck"]) await open(path);
    const done = [...check.seen].filter((each) => / 20[0-2]$/.test(each));
    assert.ok(done.length >= 25, done.join("\n"));
  });

  it("everybody, on every route: whoever may not is told so as the document says", async () => {
    for (const { method, path, operation } of check.operations()) {
      const target = targetOf(path);
      for (const caller of ["payouts", "alice", "watcher", "lender", "checker", "officer", "operator", "inspector"])
        if (operation.requestBody === undefined || method === "GET")
          await call(caller, method, target, undefined, method === "GET" ? undefined : newKey());
      if (method !== "GET") await call("payouts", method, target, undefined);
    }
  });

  describe("its examples", () => {
    let another: TestVault;
    let fresh: ServedVault;
    before(async () => {
      another = await testVault({ policy });
      fresh = await served(another);
    });
    after(async () => {
      await fresh.close();
      await another.close();
    });
    const ask = async (caller: string, method: string, target: string, body?: object): Promise<WireAnswer> => {
      another.clock.now += 1; // requests of one millisecond are listed in no order
      const answer = await fresh.call(caller, method, target, body, method === "GET" ? undefined : newKey());
      check.assertAnswer(method, target, answer);
      return answer;
    };
    /** Answers of this day, by operation and status: those that the document shows are such. */
    const day: Record<string, unknown> = {};
    const keep = (method: string, target: string, answer: WireAnswer): void => {
      day[`${check.find(method, target)!.operationId} ${answer.status}`] ??= json(answer);
    };

    it("of requests are done as they stand there", async () => {
      let sent = 0;
      const inOrder = check
        .operations()
        .toSorted((one, other) => Number(one.path.endsWith("freeze")) - Number(other.path.endsWith("freeze")));
      for (const { method, path, operation } of inOrder) {
        for (const { value } of Object.values(operation.requestBody?.content["application/json"]?.examples ?? {})) {
          assert.ok(check.takes(operation, new URLSearchParams(), value), operation.operationId);
          const caller = /signing|evaluations$|^\/rpc/.test(path) ? "payouts" : "operator";
          if (path.endsWith("/freeze")) await askTheRest();
          const answer = await ask(caller, method, targetOf(path), value as object);
          assert.ok([200, 201].includes(answer.status), `${operation.operationId}: ${answer.body.toString()}`);
          keep(method, targetOf(path), answer);
          sent += 1;
        }
      }
      assert.ok(sent >= 8);
    });

    /** Before anything is frozen: what is refused, what waits, and what is there. */
    async function askTheRest(): Promise<void> {
      const refused = await ask("payouts", "POST", REQUESTS, transferBody(99_000_000));
      const waits = await ask("payouts", "POST", REQUESTS, {
        ...transferBody(6_000_000),
        reference: "withdrawal 4714",
      });
      for (const answer of [refused, waits]) keep("POST", REQUESTS, answer);
      const one = `${REQUESTS}/${json(waits)["id"]}`;
      for (const [caller, target] of [
        ["payouts", one],
        ["alice", `${one}/approvals`],
        ["payouts", `${REQUESTS}?limit=1&state=signed`],
        ["payouts", `${ACME}/keys`],
        ["payouts", `${ACME}/freeze`],
        ["operator", "/v1/clients"],
      ] as const)
        keep("GET", target, await ask(caller, "GET", target));
    }

    it("of answers are what a gateway answers (PORTCULLIS_WRITE=1 records them)", async () => {
      if (process.env["PORTCULLIS_WRITE"]) writeFileSync(ANSWERS, await asSource(day));
      else assert.deepEqual(shapeOf(EXAMPLE_ANSWERS), shapeOf(day));
      const shown = check
        .operations()
        .flatMap(({ method, path, operation }) =>
          Object.entries(operation.responses).flatMap(([status, { content }]) =>
            Object.entries(content).flatMap(([type, { examples = {} }]) =>
              Object.values(examples).map(({ value }) => ({ method, target: targetOf(path), status, type, value })),
            ),
          ),
        );
      assert.equal(shown.length, Object.keys(EXAMPLE_ANSWERS).length);
      for (const { method, target, status, type, value } of shown)
        check.assertAnswer(method, target, {
          status: Number(status),
          headers: { "content-type": type },
          body: Buffer.from(JSON.stringify(value)),
        });
    });
  });

  for (const { method, path, operation } of new DocumentCheck(openApiDocument(ROUTES)).operations()) {
    it(`${method} ${path}: what is not a request of it is no 500, and answered as the document says`, async () => {
      const caller = method === "GET" || operation.requestBody === undefined ? "inspector" : mayAsk(operation);
      await fc.assert(
        fc.asyncProperty(bodies(operation), queries(operation), keys, async (body, query, key) => {
          const target = `${targetOf(path)}${query}`;

          const answer = await call(
            caller,
            method,
            target,
            method === "GET" && body.length < 9 ? undefined : body,
            key,
          );
          assert.ok(answer.status !== 500, `${target} ${body.toString().slice(0, 500)}`);
          assert.doesNotMatch(answer.body.toString(), /at \S+ \(|\/src\/|node_modules|\.ts:\d/, "no trace, no path");
        }),
        { numRuns: RUNS },
      );
      assert.deepEqual(vault.faults, []);
    });
  }
});

const ANSWERS = new URL("../../src/vault/api/example-answers.ts", import.meta.url);

/** As the file stands in the sources. */
async function asSource(answers: object): Promise<string> {
  const head = `import type { Json } from "../../domain/json.ts";

/*
 * Answers of the OpenAPI document's examples, by operation and status, as a gateway gave them: recorded, and held against
 * a gateway of the day, by test/e2e/api-document.test.ts.
 */

export const EXAMPLE_ANSWERS: Readonly<Record<string, Json>> = `;
  const { format, resolveConfig } = await import("prettier");
  const config = await resolveConfig(ANSWERS);
  return format(`${head}${JSON.stringify(answers)};`, { ...config, parser: "typescript" });
}

/** Names and kinds, without what differs from day to day; of a list what its first member is. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(shapeOf);
  if (typeof value !== "object" || value === null) return value === null ? null : typeof value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([name, member]) => [/^eip155:/.test(name) ? "account" : name, shapeOf(member)] as const)
      .toSorted(([one], [other]) => (one < other ? -1 : 1)),
  );
}

const targetOf = (path: string): string =>
  path.replace("{client}", "acme").replace("{id}", "0".repeat(32)).replace("{key}", "hot-9").replace("{path}", "0/000");

/** Whoever reaches the body's schema. */
const mayAsk = (operation: Operation): string => {
  const roles = (operation as { description?: string }).description ?? "";
  if (roles.includes("wallet-service")) return "payouts";
  if (roles.includes("operator")) return "operator";
  if (roles.includes("policy-officer")) return "officer";
  if (roles.includes("observer")) return "watcher";
  return "inspector";
};

const nested = (depth: number): string => `${"[".repeat(depth)}${"]".repeat(depth)}`;

const ODD = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    0,
    -1,
    1e308,
    2 ** 53,
    "",
    "0x",
    "0".repeat(10_000),
    {},
    [],
    "\u0000",
    "\ud800",
    "__proto__",
  ),
  fc.jsonValue({ maxDepth: 3 }),
);

type Json = { readonly [name: string]: Json };

/** From the schema's own fields: present, absent, of another kind; with a field that it does not know. */
const bodies = ({ requestBody }: Operation): fc.Arbitrary<Buffer> => {
  const content = requestBody?.content["application/json"];
  const shape = (content?.schema ?? {}) as { properties?: Record<string, Json> };
  const examples = Object.values(content?.examples ?? {}).map(({ value }) => value as Json);
  const ofFields = fc.record(
    Object.fromEntries(Object.entries(shape.properties ?? { x: {} }).map(([name, schema]) => [name, valueOf(schema)])),
    { requiredKeys: [] },
  );
  const texts = fc.oneof(
    { weight: 4, arbitrary: ofFields.map((value) => JSON.stringify(value)) },
    {
      weight: 2,
      arbitrary: fc
        .tuple(ofFields, fc.string(), ODD)
        .map(([value, name, odd]) => JSON.stringify({ ...value, [name]: odd })),
    },
    { weight: 2, arbitrary: changed(examples).map((value) => JSON.stringify(value)) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        "",
        "{",
        "null",
        "[]",
        '"x"',
        "\ufeff{}",
        '{"a":1,"a":2}',
        nested(50_000),
        `"${"x".repeat(300_000)}"`,
      ),
    },
  );
  return fc.oneof(
    { weight: 9, arbitrary: texts.map((text) => Buffer.from(text)) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)) },
  );
};

/** One member of an example, wherever it is, is something else. */
const changed = (examples: readonly Json[]): fc.Arbitrary<unknown> =>
  fc.tuple(fc.constantFrom(...(examples.length > 0 ? examples : [{}])), fc.nat(20), ODD).map(([example, at, odd]) => {
    let left = at;
    const walk = (value: unknown): unknown => {
      if (left-- === 0) return odd;
      if (Array.isArray(value)) return value.map(walk);
      if (typeof value !== "object" || value === null) return value;
      return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, walk(member)]));
    };
    return walk(example);
  });

const valueOf = (schema: Json): fc.Arbitrary<unknown> => {
  const { enum: members, type, pattern } = schema as { enum?: unknown[]; type?: string; pattern?: string };
  if (members) return fc.oneof(fc.constantFrom(...members), ODD);
  if (typeof pattern === "string") return fc.oneof(fc.stringMatching(new RegExp(pattern)), ODD);
  if (type === "string") return fc.oneof(fc.string({ maxLength: 300 }), ODD);
  return ODD;
};

const queries = ({ parameters = [] }: Operation): fc.Arbitrary<string> => {
  const names = parameters.filter((parameter) => parameter.in === "query").map(({ name }) => name);
  const value = fc.oneof(
    fc.constantFrom("1", "0", "-1", "1s", "signed", "999999999999999999999", "%00", "a%20b", "2026-01-01T00:00:00Z"),
    fc.stringMatching(/^[a-z0-9%]{0,20}$/),
  );
  const one = fc.tuple(fc.constantFrom(...names, "unknown"), value).map(([name, text]) => `${name}=${text}`);
  return fc.oneof(
    fc.constant(""),
    fc.array(one, { minLength: 1, maxLength: 3 }).map((pairs) => `?${pairs.join("&")}`),
  );
};

const keys = fc.oneof(fc.uuid(), fc.constantFrom(undefined, "", " ", "x".repeat(129)));
