// Goal: whoever owns the edge, and has recorded the traffic of a day, gets nothing that its senders did not ask for: no
// signature, no policy, no reading, no answer that anybody believes; and cannot fill the vault's memory, log or disk.
// Method: a program at the vault's real socket (a process of its own, SoftHSM, SQLite) with genuine frames to replay; each
// attempt has its own refusal; `log verify` over what is left.
import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Transaction } from "ethers";
import { AnswerVerifier } from "../../src/sdk/answers.ts";
import { newCaller, type CallerFile } from "../../src/sdk/caller-file.ts";
import { GatewayClient } from "../../src/sdk/client.ts";
import { encodeFrame, readFrames, type AnswerHead, type Frame } from "../../src/vault/protocol.ts";
import { KillableVault, type Connection, type RunningProcess } from "../support/killable-vault.ts";
import { checkLog } from "../support/log-check.ts";
import { REQUESTS, transferBody } from "../support/vault.ts";
import { assertVerifies, FOUNDING, furnish, GATEWAY, people } from "../support/withdrawals.ts";

/** RSS of the vault's process, whatever is done at its socket: 128 MiB of bodies and frames, and what Node itself takes. */
const RSS_MAX_BYTES = 512 * 1024 * 1024;
const MIB = 1024 * 1024;

type Recorded = {
  readonly head: { method: string; target: string; headers: Record<string, string>; [field: string]: unknown };
  readonly body: Buffer;
  readonly answer: Frame<AnswerHead>;
};
type Refusal = { readonly status: number; readonly code: string };

describe("a hostile edge", function () {
  let vault: KillableVault;
  let running: RunningProcess;
  let genuine: Connection;
  let edge: HostileEdge;
  let signing: Recorded;
  let reading: Recorded;
  let policy: Recorded;
  const expected = { signatures: 0, authenticated: [] as string[], strangers: new Map<string, number>() };

  before(async () => {
    vault = await KillableVault.founded(GATEWAY, FOUNDING);
    running = await vault.start();
    genuine = await vault.connect();
    edge = await HostileEdge.at(vault.socketOf());
    await furnish(genuine);
    expected.authenticated.push(...(await refused()));
    await record();
    expected.signatures += 1;
  });
  // What is older than a minute would be refused for its age alone.
  beforeEach(() => record());
  after(async () => {
    edge.end();
    await running.kill();
    vault.remove();
  });

  /** The same request each time, signed anew, and so with the same answer. */
  async function record(): Promise<void> {
    signing = await edge.pass(people.payouts, "POST", REQUESTS, transferBody(5), "withdrawal-1");
    assert.equal(signing.answer.head.status, 201);
    const { id } = JSON.parse(signing.answer.body.toString()) as { id: string };
    reading = await edge.pass(people.payouts, "GET", `${REQUESTS}/${id}`);
    const unsigned = { entry: "x", files: {}, signatures: [] };
    policy = await edge.pass(people.officer, "PUT", "/v1/clients/acme/policy", unsigned, "policy-2");
    expected.authenticated.push("policy-invalid");
  }
  const refused = async (): Promise<string[]> =>
    checkLog(await vault.log())
      .filter(({ opening }) => opening.type === "refused")
      .map(({ opening }) => opening["code"] as string);
  const refusalOf = ({ head, body }: Frame<AnswerHead>): Refusal => {
    const { code } = JSON.parse(body.toString()) as { code: string };
    return { status: head.status, code };
  };
  /** Nobody's: refused by its own code, counted, in no leaf, and the answer is bound to no request. */
  const strange = async (code: string, head: object, body: Buffer): Promise<void> => {
    const answer = await edge.send(head, body);
    assert.deepEqual(refusalOf(answer), { status: code === "not-found" ? 404 : 401, code });
    assert.throws(() => verifierOf().verify({ ...answer.head, body: answer.body }, bound(signing)), {
      code: "answer-untrusted",
    });
    expected.strangers.set(code, (expected.strangers.get(code) ?? 0) + 1);
  };
  const withHeaders = ({ head }: Recorded, headers: Record<string, string>) => ({
    ...head,
    headers: { ...head.headers, ...headers },
  });
  const digestOf = (body: Buffer) => `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
  const verifierOf = (): AnswerVerifier =>
    new AnswerVerifier(JSON.parse(readFileSync(vault.callerFile(people.payouts), "utf8")) as CallerFile);
  const bound = ({ head }: Recorded) => ({ label: "sig1", base64: /:(.*):/.exec(head.headers["signature"]!)![1]! });

  it("replays: the same bytes again, and nothing happens", async () => {
    for (const recorded of [signing, reading]) {
      const { head, body } = await edge.send(recorded.head, recorded.body);
      assert.deepEqual([head.status, body], [recorded.answer.head.status, recorded.answer.body]);
    }
  });

  it("replays what an officer sent: refused, as it was, and in the log", async () => {
    assert.deepEqual(refusalOf(await edge.send(policy.head, policy.body)), refusalOf(policy.answer));
    expected.authenticated.push("policy-invalid");
  });

  it("replays what is a day old: signature-stale", async () => {
    const old = new GatewayClient({ ...people.payouts }).signRequest(
      "POST",
      REQUESTS,
      signing.body,
      "withdrawal-0",
      Date.now() - 86_400_000,
    );
    await strange("signature-stale", { ...signing.head, headers: old.headers }, signing.body);
  });

  it("replays at another path, method or key: signature-invalid", async () => {
    await strange("signature-invalid", { ...signing.head, target: "/v1/clients/acme/freeze" }, signing.body);
    await strange("signature-invalid", { ...signing.head, target: `${REQUESTS}?x=1` }, signing.body);
    await strange(
      "signature-invalid",
      { ...signing.head, method: "PUT", target: "/v1/clients/acme/policy" },
      signing.body,
    );
    await strange("signature-invalid", withHeaders(signing, { "idempotency-key": "withdrawal-2" }), signing.body);
  });

  it("swaps the body: digest-mismatch, or signature-invalid with a digest that fits", async () => {
    const other = Buffer.from(JSON.stringify(transferBody(500)));
    await strange("digest-mismatch", signing.head, other);
    await strange("signature-invalid", withHeaders(signing, { "content-digest": digestOf(other) }), other);
  });

  it("forges callers: no signature, a name that nobody has, a name with a key of its own", async () => {
    const { method, target } = signing.head;
    await strange("signature-missing", { method, target, headers: {} }, signing.body);
    const forged = (name: string) => {
      const { gateway, url, answersKey } = people.payouts;
      const client = new GatewayClient(newCaller({ gateway, url, answersKey }, name));
      return { method, target, headers: client.signRequest(method, target, signing.body, randomUUID()).headers };
    };
    await strange("unknown-caller", forged("nobody"), signing.body);
    await strange("signature-invalid", forged("payouts"), signing.body);
    await strange(
      "signature-invalid",
      { ...forged("officer"), method: "PUT", target: "/v1/clients/acme/policy" },
      signing.body,
    );
  });

  it("says who the caller is, in every place that a frame has: nobody listens", async () => {
    const { method, target } = signing.head;
    for (const headers of [
      { authorization: "Bearer payouts", "x-forwarded-user": "officer", "x-client-cert": "CN=payouts" },
      { "@method": "GET", "@path": "/livez", "x-caller": "payouts" },
    ])
      await strange(
        "signature-missing",
        { method, target, headers, caller: "payouts", role: "operator", authenticated: true },
        signing.body,
      );
  });

  it("changes what a caller signs for: a component less, a gateway more", async () => {
    const input = signing.head.headers["signature-input"]!;
    await strange(
      "signature-components",
      withHeaders(signing, { "signature-input": input.replace(' "content-digest"', "") }),
      signing.body,
    );
    await strange(
      "wrong-gateway",
      withHeaders(signing, { "signature-input": input.replace(GATEWAY, "staging") }),
      signing.body,
    );
    await strange(
      "signature-algorithm",
      withHeaders(signing, { "signature-input": input.replace("ed25519", "none") }),
      signing.body,
    );
  });

  it("reads another client's requests with what this one's caller sent: unknown-caller, signature-invalid", async () => {
    await strange(
      "unknown-caller",
      { ...reading.head, target: reading.head.target.replace("acme", "blue") },
      reading.body,
    );
    await strange("signature-invalid", { ...reading.head, target: REQUESTS }, reading.body);
  });

  it("changes a policy with an officer's signed request: digest-mismatch, signature-invalid", async () => {
    const own = Buffer.from(policy.body.toString().replace('"x"', '"y"'));
    await strange("digest-mismatch", policy.head, own);
    await strange("signature-invalid", withHeaders(policy, { "content-digest": digestOf(own) }), own);
  });

  it("helps with what was never left out, or with a fee for itself: the body stands, and the fee cap holds", async () => {
    const assist = [
      {
        gas: "0xffffff",
        maxFeePerGas: "0xffffff",
        maxPriorityFeePerGas: "0xffffff",
        nonce: "0x63",
        to: "0x1",
        value: "0x1",
      },
    ];
    const told = await edge.pass(people.payouts, "POST", REQUESTS, transferBody(3), randomUUID(), { assist });
    expected.signatures += 1;
    const { result } = JSON.parse(told.answer.body.toString()) as { result: { signedTransaction: string } };
    const made = Transaction.from(result.signedTransaction);
    assert.deepEqual([made.value, made.gasLimit, made.maxFeePerGas, made.nonce], [3n, 1n, 1n, 1]);
    const { payload } = transferBody(3);
    const rest = { key: "hot-1", payload: { ...payload, transaction: { to: `0x${"1".repeat(40)}`, value: "3" } } };
    const left = await edge.pass(people.payouts, "POST", REQUESTS, rest, randomUUID(), { assist });
    assert.ok([403, 422].includes(left.answer.head.status), left.answer.body.toString());
    for (const odd of [
      [null],
      [[]],
      [{ gas: -1 }],
      [{ gas: { toString: 1 } }],
      Array.from({ length: 1000 }, () => ({})),
    ])
      assert.deepEqual((await edge.send({ ...signing.head, assist: odd }, signing.body)).body, signing.answer.body);
  });

  it("fills in a JSON-RPC call as it likes: within the fee cap it may, over it nothing is signed", async () => {
    const keys = await genuine.send(people.payouts, "GET", "/v1/clients/acme/keys");
    const [account] = (keys.json as { keys: { accounts: string[] }[] }).keys[0]!.accounts;
    const transaction = { from: account!.split(":")[2], to: `0x${"1".repeat(40)}`, value: "0x3" };
    const call = { jsonrpc: "2.0", id: 1, method: "eth_signTransaction", params: [transaction] };
    const filled = (price: string) => ({
      gas: "0x1",
      maxFeePerGas: price,
      maxPriorityFeePerGas: "0x1",
      value: "0x9",
      to: "0x9",
    });
    const ask = async (price: string) => {
      const { answer } = await edge.pass(people.payouts, "POST", "/rpc/acme", call, randomUUID(), {
        assist: [filled(price)],
      });
      return JSON.parse(answer.body.toString()) as {
        result?: { raw: string };
        error?: { code: number; data: { reason: string } };
      };
    };
    const dear = await ask("0xffffffffff");
    assert.equal(dear.error?.code, -32003);
    assert.match(dear.error.data.reason, /^over-(limit|fee-cap)$/);
    const fair = await ask("0x5");
    expected.signatures += 1;
    const made = Transaction.from(typeof fair.result === "string" ? fair.result : fair.result!.raw);
    assert.deepEqual([made.value, made.to, made.maxFeePerGas], [3n, transaction.to, 5n]);
  });

  it("forges answers: nobody believes them", async () => {
    const verifier = verifierOf();
    const { head, body } = signing.answer;
    verifier.verify({ ...head, body }, bound(signing));
    const untrusted = (change: Partial<AnswerHead>, bytes: Uint8Array = body, of = signing) =>
      assert.throws(() => verifier.verify({ ...head, ...change, body: bytes }, bound(of)), {
        code: "answer-untrusted",
      });
    untrusted({ status: 403 });
    untrusted({}, Buffer.from(body.toString().replace("signed", "denied")));
    const denial = Buffer.from('{"code":"denied-by-policy"}');
    untrusted({ status: 403, headers: { ...head.headers, "content-digest": digestOf(denial) } }, denial);
    untrusted({ headers: {} });
    // A genuine answer, to another request of the same caller.
    untrusted({}, body, reading);
    const { "portcullis-answer-key": certificate } = reading.answer.head.headers;
    untrusted({ headers: { ...head.headers, "portcullis-answer-key": certificate!.replace(/^./, "A") } });
  });

  it("whoever is proven and may not leaves a leaf", async () => {
    for (const [caller, method, target, code] of [
      [people.operator, "POST", REQUESTS, "not-permitted"],
      [people.payouts, "GET", "/v1/clients/acme/decisions", "not-permitted"],
      [people.payouts, "GET", `${REQUESTS}/${"0".repeat(32)}`, "request-not-found"],
    ] as const) {
      const { answer } = await edge.pass(
        caller,
        method,
        target,
        undefined,
        method === "POST" ? randomUUID() : undefined,
      );
      assert.equal(refusalOf(answer).code, code);
      expected.authenticated.push(code);
    }
  });

  it("heads that are none end the connection, and no other", async () => {
    for (const head of [
      { id: "1" },
      { id: 1, method: {}, target: "/", headers: {} },
      { id: 1, method: "GET", target: "/", headers: null },
      { id: 1, method: "GET", target: "/", headers: { a: 1 } },
      { ...signing.head, id: 1, assist: "x" },
      [],
    ]) {
      const socket = await edge.open();
      socket.write(encodeFrame(head as never, Buffer.alloc(0)));
      await once(socket, "close");
    }
    assert.equal((await genuine.send(people.payouts, "GET", REQUESTS)).status, 200);
  });

  describe("what it can make the vault keep", () => {
    const rss = (): number =>
      Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${running.child.pid}/status`, "utf8"))![1]) * 1024;
    const peak = (): number =>
      Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${running.child.pid}/status`, "utf8"))![1]) * 1024;
    /** As an edge does: on a machine that is busy the queue of those who knock may be full for a moment. */
    const connectAgain = async (): ReturnType<typeof vault.connect> => {
      for (let tries = 100; ; tries--) {
        try {
          return await vault.connect();
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== "EAGAIN" || tries === 0) throw error;
          await sleep(50);
        }
      }
    };
    afterEach(async () => {
      for (const socket of edge.sockets.splice(1)) socket.destroy();
      const answer = await genuine.send(people.payouts, "GET", REQUESTS).catch(async () => {
        genuine = await connectAgain(); // it was the one that was heard least
        return genuine.send(people.payouts, "GET", REQUESTS);
      });
      assert.equal(answer.status, 200, "another connection is answered");
      assert.ok(peak() < RSS_MAX_BYTES, `${Math.round(peak() / MIB)} MiB`);
    });

    it("a frame of 4 GiB ends its connection before a byte of it is kept", async () => {
      for (const [head, body] of [
        [0xffff_ffff, 0],
        [2, 0xffff_ffff],
        [0xffff_ffff, 0xffff_ffff],
      ] as const) {
        const socket = await edge.open();
        const lengths = Buffer.alloc(8);
        lengths.writeUInt32BE(head, 0);
        lengths.writeUInt32BE(body, 4);
        socket.write(lengths);
        await once(socket, "close");
      }
    });

    it("frames that are never finished", async () => {
      const before = rss();
      const half = encodeFrame(
        { id: 1, method: "POST", target: REQUESTS, headers: {} },
        Buffer.alloc(3 * MIB),
      ).subarray(0, 2 * MIB);
      for (let n = 0; n < 100; n++) (await edge.open()).write(half);
      await sleep(500);
      assert.ok(rss() - before < 200 * MIB, `${Math.round((rss() - before) / MIB)} MiB more`);
    });

    it("10,000 connections", async () => {
      for (let opened = 0; opened < 10_000; opened += 250) {
        await Promise.all(Array.from({ length: 250 }, () => edge.open().catch(() => undefined)));
        if (opened % 1000 === 0)
          assert.equal((await (await connectAgain()).send(people.payouts, "GET", REQUESTS)).status, 200);
      }
    });

    it("decoys of 1 MB that nobody signed", async () => {
      const decoy = Buffer.alloc(1_000_000, "x");
      const codes = new Map<string, number>();
      for (let round = 0; round < 5; round++) {
        const answers = await Promise.all(Array.from({ length: 60 }, () => edge.send({ ...signing.head }, decoy)));
        for (const answer of answers) codes.set(refusalOf(answer).code, (codes.get(refusalOf(answer).code) ?? 0) + 1);
      }
      for (const code of codes.keys()) assert.ok(["digest-mismatch", "vault-busy"].includes(code), code);
      expected.strangers.set(
        "digest-mismatch",
        expected.strangers.get("digest-mismatch")! + codes.get("digest-mismatch")!,
      );
    });
  });

  it("of all that, the log holds the genuine signatures, a leaf of every proven refusal, and the rest is a count", async () => {
    genuine = await vault.connect();
    const metrics = (
      await edge.send({ method: "GET", target: "/metrics", headers: {} }, Buffer.alloc(0))
    ).body.toString();
    for (const [code, count] of expected.strangers)
      assert.match(
        metrics,
        new RegExp(`portcullis_unauthenticated_refusals_total\\{code="${code}"\\} ${count}\n`),
        code,
      );
    await assertVerifies(genuine);
    const signed = checkLog(await vault.log()).filter(({ opening }) => opening.type === "signed");
    assert.equal(signed.length, expected.signatures);
    assert.deepEqual(await refused(), expected.authenticated);
  });
});

/** Speaks frames to the vault's socket, passes genuine requests on and keeps them. */
class HostileEdge {
  readonly #path: string;
  readonly #waiting = new Map<number, (answer: Frame<AnswerHead>) => void>();
  readonly sockets: Socket[] = [];
  #nextId = 1;

  static async at(path: string): Promise<HostileEdge> {
    const edge = new HostileEdge(path);
    await edge.open();
    return edge;
  }

  private constructor(path: string) {
    this.#path = path;
  }

  async open(): Promise<Socket> {
    const socket = connect(this.#path);
    socket.on("error", () => socket.destroy());
    this.sockets.push(socket);
    readFrames<AnswerHead>(socket, (answer) => this.#waiting.get(answer.head.id)?.(answer));
    await once(socket, "connect");
    return socket;
  }

  /** On the first connection, which is made again where it was ended. */
  async send(head: object, body: Buffer): Promise<Frame<AnswerHead>> {
    if (this.sockets[0]?.destroyed !== false) {
      this.sockets.shift();
      await this.open();
      this.sockets.unshift(this.sockets.pop()!);
    }
    const id = this.#nextId++;
    const answer = new Promise<Frame<AnswerHead>>((resolve) => this.#waiting.set(id, resolve));
    this.sockets[0]!.write(encodeFrame({ ...head, id } as never, body));
    return answer.finally(() => this.#waiting.delete(id));
  }

  async pass(
    caller: CallerFile,
    method: string,
    target: string,
    json?: unknown,
    key?: string,
    more: object = {},
  ): Promise<Recorded> {
    const body = json === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(json));
    const { headers } = new GatewayClient(caller).signRequest(method, target, body, key);
    const head = { method, target, headers, ...more };
    return { head, body, answer: await this.send(head, body) };
  }

  end(): void {
    for (const socket of this.sockets) socket.destroy();
  }
}
