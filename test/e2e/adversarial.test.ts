import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { encodeRlp, Interface, MaxUint256, Transaction } from "ethers";
import type { CallerFile } from "../../src/sdk/client.ts";
import { startDevGateway, type DevGateway } from "../support/gateway.ts";
import { isHeartbeat, leavesOf, requestsOf, type Leaf } from "../support/ledger.ts";
import {
  contentDigest,
  isVaultsAnswer,
  send,
  signed,
  type Signing,
  type WireAnswer,
  type WireRequest,
} from "../support/wire.ts";

// Goal: whatever somebody sends, nothing is signed that was not asked for, decoded and allowed; each attempt is refused
// by a code of its own, in an answer that the vault has signed, and the log says what happened.
// Method: attacks as data, written by a caller that shares no code with ours; after each one the store is read.

const TREASURY = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"; // `treasury` in the demo's address book
const STRANGER = "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720";
const TUSD = "0x5FbDB2315678afecb367f032d93F642f64180aa3"; // TUSD-LOCAL in policies/shared/assets.yaml
const UNPINNED = "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512";
const ETHER = 10n ** 18n;
const GWEI = 10n ** 9n;

const erc20 = new Interface([
  "function transfer(address to, uint256 amount)",
  "function transferFrom(address from, address to, uint256 amount)",
  "function approve(address spender, uint256 amount)",
]);

/** A payment that the demo's policy allows, as fields. */
const FIELDS = {
  to: TREASURY,
  value: "1",
  gas: "21000",
  maxFeePerGas: "30000000000",
  maxPriorityFeePerGas: "1000000000",
};

/** Another one, as bytes. */
const bytes = (change: Record<string, unknown> = {}): string =>
  Transaction.from({
    type: 2,
    chainId: 31337n,
    nonce: 1000,
    gasLimit: 100_000n,
    maxFeePerGas: 30n * GWEI,
    maxPriorityFeePerGas: 1n * GWEI,
    to: TREASURY,
    value: 1n,
    ...change,
  }).unsignedSerialized;

const call = (to: string, data: string, change: Record<string, unknown> = {}) => ({
  unsigned: bytes({ to, data, value: 0n, ...change }),
});

/** The items of a type 2 transaction, for encodings that no library writes. */
const items = (change: Record<number, string>): string => {
  const proper = ["0x7a69", "0x03e8", "0x3b9aca00", "0x06fc23ac00", "0x5208", TREASURY, "0x01", "0x", []];
  return `0x02${encodeRlp(proper.map((item, index) => change[index] ?? item)).slice(2)}`;
};

/** The same list with its length in the long form, which is for lists of 56 bytes and more. */
const longForm = (transaction: string): string =>
  transaction.replace(/^0x02(..)/, (_, head: string) => `0x02f8${(parseInt(head, 16) - 0xc0).toString(16)}`);

type Refusal = { readonly status: number; readonly code: string; readonly reason?: string };
const denied = (reason: string): Refusal => ({ status: 403, code: "denied-by-policy", reason });
const unreadable = (code: string): Refusal => ({ status: 422, code });

/** What a proven caller asks the vault to sign: each is a request of its own, denied for ever, with a leaf. */
const PAYLOADS: readonly (readonly [string, Record<string, unknown>, Refusal])[] = [
  // Bytes that are not the one encoding of a transaction for this key.
  ["a byte behind the transaction", { unsigned: `${bytes()}00` }, unreadable("rlp-trailing-bytes")],
  [
    "a second transaction behind the first",
    { unsigned: `${bytes()}${bytes().slice(4)}` },
    unreadable("rlp-trailing-bytes"),
  ],
  ["a nonce of zero written as a byte", { unsigned: items({ 1: "0x00" }) }, unreadable("rlp-leading-zero")],
  ["a value with a leading zero", { unsigned: items({ 6: "0x0001" }) }, unreadable("rlp-leading-zero")],
  ["a list with its length in the long form", { unsigned: longForm(items({})) }, unreadable("rlp-non-minimal")],
  ["a value of 33 bytes", { unsigned: items({ 6: `0x${"ff".repeat(33)}` }) }, unreadable("number-too-large")],
  ["a list cut short", { unsigned: bytes().slice(0, -2) }, unreadable("rlp-truncated")],
  [
    "a transaction type that nobody has defined",
    { unsigned: bytes().replace("0x02", "0x7e") },
    unreadable("unknown-transaction-type"),
  ],
  ["no bytes", { unsigned: "0x" }, unreadable("empty-transaction")],
  ["the chain id of another network, in bytes", { unsigned: bytes({ chainId: 1n }) }, unreadable("wrong-chain")],
  [
    "a legacy transaction that any chain would take",
    { unsigned: bytes({ type: 0, chainId: 0n, maxFeePerGas: null, maxPriorityFeePerGas: null, gasPrice: GWEI }) },
    unreadable("no-replay-protection"),
  ],
  [
    "a tip above the fee that is to hold it",
    { unsigned: items({ 2: "0x0737be7600" }) },
    unreadable("priority-fee-above-max-fee"),
  ],

  // Fields that say more, less, or something else than a transaction.
  ["an unknown field", { transaction: { ...FIELDS, gasTip: "1" } }, unreadable("unknown-field")],
  [
    "the chain id of another network, as a field",
    { transaction: { ...FIELDS, chainId: "1" } },
    unreadable("wrong-chain"),
  ],
  [
    "an address with a broken checksum",
    {
      transaction: {
        ...FIELDS,
        to: TREASURY.replace("0x709979", "0x709979".toUpperCase().replace("0X", "0x")).replace("C51812dc", "c51812dc"),
      },
    },
    unreadable("address-checksum"),
  ],
  [
    "an address without a checksum",
    { transaction: { ...FIELDS, to: TREASURY.toLowerCase() } },
    unreadable("address-checksum"),
  ],
  ["an address of 19 bytes", { transaction: { ...FIELDS, to: TREASURY.slice(0, -2) } }, unreadable("invalid-address")],
  ["a number of 300 digits", { transaction: { ...FIELDS, value: "9".repeat(300) } }, unreadable("number-too-large")],
  [
    "a hexadecimal number of 300 digits",
    { transaction: { ...FIELDS, value: `0x${"f".repeat(300)}` } },
    unreadable("number-too-large"),
  ],
  [
    "a number as large as the word, and one more",
    { transaction: { ...FIELDS, value: String(2n ** 256n) } },
    unreadable("number-too-large"),
  ],
  ["a negative number", { transaction: { ...FIELDS, value: "-1" } }, unreadable("invalid-number")],
  ["a number with an exponent", { transaction: { ...FIELDS, value: "1e18" } }, unreadable("invalid-number")],
  ["a fraction of the smallest unit", { transaction: { ...FIELDS, value: "0.5" } }, unreadable("invalid-number")],
  ["fields of two types at once", { transaction: { ...FIELDS, gasPrice: "1" } }, unreadable("conflicting-fields")],
  ["nothing about the receiver", { transaction: { ...FIELDS, to: undefined } }, unreadable("missing-field")],

  // What can be read, and no rule allows.
  [
    "a destination that is not in the address book",
    { transaction: { ...FIELDS, to: STRANGER } },
    denied("no-rule-allows"),
  ],
  [
    "a token that the registry does not pin",
    call(UNPINNED, erc20.encodeFunctionData("transfer", [TREASURY, 1n])),
    denied("no-rule-allows"),
  ],
  [
    "a token's transfer to a stranger",
    call(TUSD, erc20.encodeFunctionData("transfer", [STRANGER, 1n])),
    denied("no-rule-allows"),
  ],
  [
    "a transferFrom of somebody else's account",
    call(TUSD, erc20.encodeFunctionData("transferFrom", [STRANGER, TREASURY, 1n])),
    denied("foreign-account"),
  ],
  ["an allowance", call(TUSD, erc20.encodeFunctionData("approve", [TREASURY, 1n])), denied("no-rule-allows")],
  [
    "an unlimited allowance",
    call(TUSD, erc20.encodeFunctionData("approve", [TREASURY, MaxUint256])),
    denied("no-rule-allows"),
  ],
  [
    "ether sent along with a token's transfer",
    call(TUSD, erc20.encodeFunctionData("transfer", [TREASURY, 1n]), { value: 1n }),
    denied("no-rule-allows"),
  ],
  ["a contract's creation", { unsigned: bytes({ to: null, data: "0x6000", value: 0n }) }, denied("no-rule-allows")],
  ["data sent to a destination in the book", { unsigned: bytes({ data: "0x01" }) }, denied("no-rule-allows")],
  [
    "a tip of 50 ETH",
    {
      unsigned: bytes({
        gasLimit: 21_000n,
        maxFeePerGas: (50n * ETHER) / 21_000n,
        maxPriorityFeePerGas: (50n * ETHER) / 21_000n,
      }),
    },
    denied("over-fee-cap"),
  ],
  ["more gas than the fee cap permits", { transaction: { ...FIELDS, gas: "30000000" } }, denied("over-fee-cap")],
];

describe("attacks on signing requests", function () {
  let gateway: DevGateway;
  let payouts: CallerFile;
  let first: { request: WireRequest; answer: WireAnswer };

  before(async () => {
    gateway = await startDevGateway();
    payouts = gateway.as("acme-fund", "payouts").caller;
    const request = post(payment({ unsigned: bytes({ nonce: 0 }) }));
    first = { request, answer: await send(gateway.url, request) };
    assert.equal(first.answer.status, 201);
  });
  after(() => gateway?.stop());

  const SIGNING_REQUESTS = "/v1/clients/acme-fund/signing-requests";
  const payment = (payload: Record<string, unknown>, key = "hot-1") => ({
    key,
    payload: { type: "evm-transaction", ...payload },
  });

  type Posting = { as?: CallerFile; target?: string; idempotencyKey?: string; signing?: Signing };

  /** A proper request of the demo's wallet service, but for what is said otherwise. */
  function post(
    body: unknown,
    { as = payouts, target = SIGNING_REQUESTS, idempotencyKey = randomUUID(), signing }: Posting = {},
  ): WireRequest {
    const raw = body instanceof Uint8Array ? body : Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
    return signed(as, { method: "POST", target, body: raw, idempotencyKey }, signing);
  }

  type Expected = Refusal & {
    /** Which leaf the attempt leaves: strangers leave none, since they could fill the disk. */
    readonly leaf: "denied" | "refused" | "none";
    /** The edge's own word, which it cannot sign. */
    readonly byEdge?: true;
  };

  async function assertRefused(request: WireRequest, expected: Expected): Promise<void> {
    const before = leavesOf(gateway.folder).length;
    const answer = await send(gateway.url, request);
    const problem = JSON.parse(answer.body.toString()) as {
      code: string;
      status: number;
      reason?: string;
      detail: string;
    };
    assert.deepEqual(
      { status: answer.status, code: problem.code, reason: problem.reason },
      { status: expected.status, code: expected.code, reason: expected.reason },
    );
    assert.equal(answer.headers["content-type"], "application/problem+json");
    // Only a proven caller gets an answer that is bound to its request: whoever owns the edge could otherwise have any
    // refusal signed as the answer to a request that was executed.
    const proven = expected.status !== 401 && !["not-found", "method-not-allowed"].includes(expected.code);
    const bindable = /^[a-z0-9]+=:[^:]+:$/.test(String(request.headers["signature"] ?? ""));
    assert.equal(isVaultsAnswer(answer, request, payouts), (proven || !bindable) && expected.byEdge !== true);
    assert.equal(isVaultsAnswer(answer, { ...request, headers: {} }, payouts), !proven && expected.byEdge !== true);
    const leaves = leavesOf(gateway.folder, before);
    assert.deepEqual(
      leaves.filter((leaf) => !isHeartbeat(leaf)).map(told),
      expected.leaf === "none"
        ? []
        : [`${expected.leaf}: ${expected.code}${expected.reason === undefined ? "" : `, ${expected.reason}`}`],
    );
  }

  /** A leaf in short; denials say the problem, refusals the code. */
  const told = ({ type, code, problem }: Leaf): string => {
    const reason = problem?.facts?.reason;
    return `${type}: ${code ?? problem?.code}${reason === undefined ? "" : `, ${reason}`}`;
  };

  describe("a proven caller asks for what cannot be read, or is not allowed", () => {
    for (const [name, payload, refusal] of PAYLOADS) {
      it(`${name}: ${refusal.reason ?? refusal.code}`, () =>
        assertRefused(post(payment(payload)), { ...refusal, leaf: "denied" }));
    }

    it("nothing about gas, where no node helps: node-unavailable, for now", () =>
      assertRefused(post(payment({ transaction: { to: TREASURY, value: "1" } })), {
        status: 503,
        code: "node-unavailable",
        leaf: "none",
      }));

    it("a nonce that is authorized already: conflict", () =>
      assertRefused(post(payment({ unsigned: bytes({ nonce: 0, value: 2n }) })), {
        ...denied("conflict"),
        leaf: "denied",
      }));

    it("a nonce that is authorized already, for the very same transaction: conflict", () =>
      assertRefused(post(payment({ unsigned: bytes({ nonce: 0 }) })), { ...denied("conflict"), leaf: "denied" }));

    it("an address nested 10,000 deep: invalid-field", () => {
      const nested = JSON.stringify(payment({ transaction: FIELDS })).replace(
        `"${TREASURY}"`,
        "[".repeat(10_000) + "]".repeat(10_000),
      );
      return assertRefused(post(nested), { ...unreadable("invalid-field"), leaf: "denied" });
    });

    it("an address of another client of the house: foreign-account", async () => {
      const [, theirs] = gateway.clients;
      const to = theirs!.keys[0]!.accounts[0]!.replace("eip155:31337:", "");
      await assertRefused(post(payment({ transaction: { ...FIELDS, to } })), {
        ...denied("foreign-account"),
        leaf: "denied",
      });
    });
  });

  describe("a proven caller sends what is no request", () => {
    const text = JSON.stringify(payment({ transaction: FIELDS }));
    const BODIES: readonly (readonly [string, string | Uint8Array])[] = [
      ["an unknown field", JSON.stringify({ ...payment({ transaction: FIELDS }), urgent: true })],
      ["an unknown field of the payload", JSON.stringify(payment({ transaction: FIELDS, chain: 1 }))],
      [
        "a payload of an unknown type",
        JSON.stringify({ key: "hot-1", payload: { type: "evm-transactions", transaction: FIELDS } }),
      ],
      ["bytes and fields at once", JSON.stringify(payment({ transaction: FIELDS, unsigned: bytes() }))],
      ["neither bytes nor fields", JSON.stringify(payment({}))],
      ["half a byte", JSON.stringify(payment({ unsigned: "0x02f" }))],
      ["a name that stands twice", text.replace('"value":"1"', '"value":"1","value":"2"')],
      ["a name that stands twice, once with an escape", text.replace('"value":"1"', '"value":"1","valu\\u0065":"2"')],
      ["a member `__proto__`", text.replace('"value":"1"', '"value":"1","__proto__":{"value":"2"}')],
      ["a member `__proto__` around everything", text.replace('"key":', '"__proto__":{"reference":"x"},"key":')],
      ["bytes that are no UTF-8", Buffer.from(text.replace('"key"', '"reference":"\xff","key"'), "latin1")],
      ["a byte order mark", `\ufeff${text}`],
      ["two documents", `${text}${text}`],
      ["no JSON", "key=hot-1"],
      ["nothing", ""],
      ["a list", `[${text}]`],
      ["null", "null"],
      [
        "a reference of 257 characters",
        JSON.stringify({ ...payment({ transaction: FIELDS }), reference: "x".repeat(257) }),
      ],
      [
        "a number that JavaScript cannot hold",
        JSON.stringify(payment({ transaction: FIELDS })).replace(/"value":"[0-9]+"/, '"value":9007199254740993'),
      ],
      ["a key name that is a path", JSON.stringify(payment({ transaction: FIELDS }, "../log"))],
    ];
    for (const [name, body] of BODIES) {
      it(`${name}: invalid-body`, () =>
        assertRefused(post(body), { status: 400, code: "invalid-body", leaf: "refused" }));
    }

    it("a key of another client: key-not-found", () =>
      assertRefused(post(payment({ transaction: FIELDS }, "vault-1")), {
        status: 404,
        code: "key-not-found",
        leaf: "refused",
      }));

    it("a body larger than the edge takes: body-too-large", () =>
      assertRefused(post(Buffer.alloc(300 * 1024, " ")), {
        status: 413,
        code: "body-too-large",
        leaf: "none",
        byEdge: true,
      }));

    it("a compressed body: encoding-unsupported", async () => {
      const request = post(payment({ transaction: FIELDS }));
      await assertRefused(
        { ...request, headers: { ...request.headers, "content-encoding": "gzip" } },
        { status: 415, code: "encoding-unsupported", leaf: "none", byEdge: true },
      );
    });
  });

  describe("somebody is not who they say", () => {
    const stranger = { status: 401, leaf: "none" } as const;
    const body = payment({ transaction: FIELDS });
    const nowS = () => Math.floor(Date.now() / 1000);
    const withHeaders = (request: WireRequest, change: Record<string, string | string[] | undefined>): WireRequest => ({
      ...request,
      headers: Object.fromEntries(
        Object.entries({ ...request.headers, ...change }).filter(([, value]) => value !== undefined),
      ) as WireRequest["headers"],
    });
    const replacedBody = (request: WireRequest, changed: unknown): WireRequest => ({
      ...request,
      body: Buffer.from(JSON.stringify(changed)),
    });
    const as = (client: string, caller: string) => gateway.as(client, caller).caller;
    const all = ["@method", "@path", "@query", "content-digest", "idempotency-key"];

    const ATTEMPTS: readonly (readonly [string, string, () => WireRequest])[] = [
      [
        "no signature",
        "signature-missing",
        () => withHeaders(post(body), { signature: undefined, "signature-input": undefined }),
      ],
      [
        "a signature without its input",
        "signature-missing",
        () => withHeaders(post(body), { "signature-input": undefined }),
      ],
      ["an input without its signature", "signature-missing", () => withHeaders(post(body), { signature: undefined })],
      ["created 61 s ago", "signature-stale", () => post(body, { signing: { created: nowS() - 62 } })],
      ["created 61 s ahead", "signature-stale", () => post(body, { signing: { created: nowS() + 62 } })],
      ["the tag of another gateway", "wrong-gateway", () => post(body, { signing: { tag: "portcullis:staging" } })],
      ["no tag of ours", "wrong-gateway", () => post(body, { signing: { tag: "web-bot-auth" } })],
      ["another algorithm's name", "signature-algorithm", () => post(body, { signing: { alg: "hmac-sha256" } })],
      [
        "a body changed under a valid signature",
        "digest-mismatch",
        () => replacedBody(post(body), payment({ transaction: { ...FIELDS, value: "2" } })),
      ],
      [
        "a body changed together with its digest",
        "signature-invalid",
        () => {
          const changed = replacedBody(post(body), payment({ transaction: { ...FIELDS, value: "2" } }));
          return withHeaders(changed, { "content-digest": contentDigest(changed.body) });
        },
      ],
      [
        "an idempotency key changed on the way",
        "signature-invalid",
        () => withHeaders(post(body), { "idempotency-key": randomUUID() }),
      ],
      [
        "a query added on the way",
        "signature-invalid",
        () => ({ ...post(body), target: `${SIGNING_REQUESTS}?state=signed` }),
      ],
      [
        "a path changed on the way",
        "signature-invalid",
        () => ({ ...post(body), target: "/v1/clients/acme-fund/evaluations" }),
      ],
      [
        "a signature of which a bit fell over",
        "signature-invalid",
        () => {
          const request = post(body);
          return withHeaders(request, {
            signature: String(request.headers["signature"]).replace(
              /:(.)/,
              (_, one: string) => `:${one === "A" ? "B" : "A"}`,
            ),
          });
        },
      ],
      [
        "the own name under another client's key",
        "signature-invalid",
        () => post(body, { as: { ...as("blue-harbor", "desk"), caller: "payouts" } }),
      ],
      ["another client's caller", "unknown-caller", () => post(body, { as: as("blue-harbor", "desk") })],
      [
        "the own caller at another client's path",
        "unknown-caller",
        () => post(payment({ transaction: FIELDS }, "vault-1"), { target: "/v1/clients/blue-harbor/signing-requests" }),
      ],
      ["a name that nobody has", "unknown-caller", () => post(body, { signing: { keyid: "nobody" } })],
      [
        "the name of a member of every object",
        "unknown-caller",
        () => post(body, { signing: { keyid: "constructor" } }),
      ],
      [
        "a component too few: the body",
        "signature-components",
        () => post(body, { signing: { components: all.filter((name) => name !== "content-digest") } }),
      ],
      [
        "a component too few: the idempotency key",
        "signature-components",
        () => post(body, { signing: { components: all.slice(0, -1) } }),
      ],
      [
        "a component too many",
        "signature-components",
        () => post(body, { signing: { components: [...all, "@authority"] } }),
      ],
      [
        "a component twice",
        "signature-components",
        () => post(body, { signing: { components: [...all.slice(0, -1), "@method"] } }),
      ],
      ["no components", "signature-malformed", () => post(body, { signing: { components: [] } })],
      ["a further parameter", "signature-malformed", () => post(body, { signing: { further: ';nonce="1"' } })],
      [
        "a parameter twice",
        "signature-malformed",
        () => post(body, { signing: { further: ';tag="portcullis:other"' } }),
      ],
      [
        "two signatures in one header",
        "signature-malformed",
        () => {
          const [one, other] = [post(body), post(body, { signing: { label: "other" } })];
          return withHeaders(one, {
            signature: `${String(one.headers["signature"])}, ${String(other.headers["signature"])}`,
            "signature-input": `${String(one.headers["signature-input"])}, ${String(other.headers["signature-input"])}`,
          });
        },
      ],
      [
        "a second signature in a header of its own",
        "signature-malformed",
        () => {
          const [one, other] = [post(body), post(body, { signing: { label: "other" } })];
          return withHeaders(one, {
            signature: [String(one.headers["signature"]), String(other.headers["signature"])],
            "signature-input": [String(one.headers["signature-input"]), String(other.headers["signature-input"])],
          });
        },
      ],
      [
        "a signature under another label than its input",
        "signature-malformed",
        () => {
          const request = post(body);
          return withHeaders(request, { signature: String(request.headers["signature"]).replace("mine=", "other=") });
        },
      ],
    ];
    for (const [name, code, request] of ATTEMPTS) {
      it(`${name}: ${code}`, () => assertRefused(request(), { ...stranger, code }));
    }

    it("an approver asks for a signature: not-permitted", () =>
      assertRefused(post(body, { as: as("acme-fund", "alice") }), {
        status: 403,
        code: "not-permitted",
        leaf: "refused",
      }));

    it("the custodian's operator and officer ask for a signature: not-permitted", async () => {
      for (const person of ["operator", "officer"])
        await assertRefused(post(body, { as: as("house", person) }), {
          status: 403,
          code: "not-permitted",
          leaf: "refused",
        });
    });

    it("no idempotency key: idempotency-key-missing", async () => {
      const request = signed(payouts, {
        method: "POST",
        target: SIGNING_REQUESTS,
        body: Buffer.from(JSON.stringify(body)),
      });
      await assertRefused(request, { status: 400, code: "idempotency-key-missing", leaf: "refused" });
    });

    it("an idempotency key with a blank, or of 129 characters: idempotency-key-invalid", async () => {
      for (const idempotencyKey of ["two words", "x".repeat(129)])
        await assertRefused(post(body, { idempotencyKey }), {
          status: 400,
          code: "idempotency-key-invalid",
          leaf: "refused",
        });
    });

    it("a path and a method that the API does not have: not-found, method-not-allowed", async () => {
      await assertRefused(post(body, { target: "/v1/clients/acme-fund/signing-requests/" }), {
        status: 404,
        code: "not-found",
        leaf: "none",
      });
      await assertRefused(post(body, { target: "/v1/clients/../log" }), {
        status: 404,
        code: "not-found",
        leaf: "none",
      });
      await assertRefused(
        signed(payouts, {
          method: "PUT",
          target: SIGNING_REQUESTS,
          body: Buffer.from(JSON.stringify(body)),
          idempotencyKey: "a",
        }),
        { status: 405, code: "method-not-allowed", leaf: "none" },
      );
    });
  });

  describe("somebody says it again", () => {
    it("a replayed request is answered with the same bytes, and nothing happens", async () => {
      const before = leavesOf(gateway.folder).length;
      const replays = await Promise.all(Array.from({ length: 8 }, () => send(gateway.url, first.request)));
      for (const { status, body } of replays.filter(({ status }) => status !== 409)) {
        assert.equal(status, 201);
        assert.deepEqual(body, first.answer.body);
      }
      assert.deepEqual((await send(gateway.url, first.request)).body, first.answer.body);
      const later = leavesOf(gateway.folder, before).filter((leaf) => !isHeartbeat(leaf));
      assert.ok(
        later.every(({ type, code }) => type === "refused" && code === "request-in-progress"),
        later.map(told).join(),
      );
    });

    it("a denial is repeated as it was, also once the policy might decide otherwise", async () => {
      const request = post(payment({ transaction: { ...FIELDS, to: STRANGER } }));
      const [one, other] = [await send(gateway.url, request), await send(gateway.url, request)];
      assert.equal(one.status, 403);
      assert.deepEqual(other.body, one.body);
    });

    it("the same idempotency key with another body: idempotency-mismatch", async () => {
      const idempotencyKey = String(first.request.headers["idempotency-key"]);
      await assertRefused(post(payment({ unsigned: bytes({ nonce: 1, value: 2n }) }), { idempotencyKey }), {
        status: 422,
        code: "idempotency-mismatch",
        leaf: "refused",
      });
    });

    it("the same idempotency key with the same meaning in other bytes: idempotency-mismatch", async () => {
      const idempotencyKey = String(first.request.headers["idempotency-key"]);
      const spaced = JSON.stringify(JSON.parse(Buffer.from(first.request.body).toString()), undefined, 1);
      await assertRefused(post(spaced, { idempotencyKey }), {
        status: 422,
        code: "idempotency-mismatch",
        leaf: "refused",
      });
    });
  });

  describe("a policy officer sends a policy that would mean something else", () => {
    const policyWith = (change: (text: string) => string) => {
      const files = Object.fromEntries(
        ["examples/hot-wallet/acme-fund.yaml", "shared/assets.yaml", "shared/exchanges.yaml"].map((path) => [
          path,
          readFileSync(join(gateway.folder, "policies", path), "utf8"),
        ]),
      );
      const entry = "examples/hot-wallet/acme-fund.yaml";
      const changed = change(files[entry]!);
      assert.notEqual(changed, files[entry], "the example has changed");
      return { entry, files: { ...files, [entry]: changed }, signatures: [] };
    };
    const put = (body: unknown) =>
      signed(gateway.as("house", "officer").caller, {
        method: "PUT",
        target: "/v1/clients/acme-fund/policy",
        body: Buffer.from(JSON.stringify(body)),
        idempotencyKey: randomUUID(),
      });

    const CHANGES: readonly (readonly [string, RegExp, string])[] = [
      ["an amount with more decimals than the asset has", /max: "20000"/, 'max: "20000.0000001"'],
      ["an amount of 300 digits", /max: "20000"/, `max: "${"9".repeat(300)}"`],
      ["an address with a broken checksum", /0x70997970C51812dc/, "0x70997970c51812dc"],
      ["a field that stands twice", /max: "20000"/, 'max: "20000", max: "2"'],
      ["an unknown field", /by: \[ ?payouts ?\]/, "by: [payouts]\n    unless: [payouts]"],
    ];
    for (const [name, from, to] of CHANGES) {
      it(`${name}: policy-invalid`, () =>
        assertRefused(put(policyWith((text) => text.replace(from, to))), {
          status: 422,
          code: "policy-invalid",
          leaf: "refused",
        }));
    }

    it("a policy without a signature over it: policy-signatures", () =>
      assertRefused(put(policyWith((text) => text.replace(/^version: 1\b/m, "version: 2"))), {
        status: 403,
        code: "policy-signatures",
        leaf: "refused",
      }));
  });

  describe("at the end", () => {
    it("of all that, the store holds one signature: the one that was asked for and allowed", () => {
      const leaves = leavesOf(gateway.folder);
      const { id } = JSON.parse(first.answer.body.toString()) as { id: string };
      for (const type of ["authorized", "signed"])
        assert.deepEqual(
          leaves.filter((leaf) => leaf.type === type).map(({ request }) => request),
          [id],
        );
      const states = requestsOf(gateway.folder, "acme-fund").map(({ state }) => state);
      assert.deepEqual([...new Set(states)].sort(), ["denied", "signed"]);
      assert.equal(states.filter((state) => state === "signed").length, 1);
      assert.deepEqual(requestsOf(gateway.folder, "blue-harbor"), []);
    });

    it("five payments at once where one would need two officers: as many as the small band holds are signed, no more", async () => {
      const answers = await Promise.all(
        Array.from({ length: 5 }, () =>
          send(gateway.url, post(payment({ transaction: { ...FIELDS, value: String(4n * ETHER) } }))),
        ),
      );
      type Denial = { reason?: string; request: { decision: { reasons: { code: string; limit?: string }[] } } };
      const problems = answers.map(({ body }) => JSON.parse(body.toString()) as Denial);
      assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 201, 201, 403, 403]); // 3 × 4 of at most 15
      for (const { reason, request } of problems.filter((_, index) => answers[index]!.status === 403)) {
        assert.equal(reason, "over-limit");
        assert.deepEqual(
          request.decision.reasons.flatMap(({ code, limit }) => (code === "over-limit" ? [limit] : [])),
          ["small-daily"],
        );
      }
      const whole = await send(gateway.url, post(payment({ transaction: { ...FIELDS, value: String(20n * ETHER) } })));
      assert.equal(whole.status, 202);
      assert.equal((JSON.parse(whole.body.toString()) as { state: string }).state, "pending");
    });
  });
});
