import { randomUUID } from "node:crypto";
import { connect as connectTcp, type Socket } from "node:net";
import { connect } from "../src/sdk/client.ts";
import { encodeUnsigned } from "../src/chains/evm/transaction.ts";

/*
 * The load generator: a process of its own, so that its share of the processor is known. Requests are signed and written
 * out before the clock starts; while it runs it only writes bytes and finds the ends of answers.
 */

/** From the bench, as one JSON argument. */
type Order = {
  readonly url: string;
  readonly callerFile: string;
  readonly key: string;
  readonly concurrency: number;
  readonly requests: number;
  readonly firstNonce: number;
  /** As batches of so many; one by one without it. */
  readonly batch?: number;
};

export type LoadResult = {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuUs: number;
};

function prepare({ url, callerFile, key, requests, firstNonce, batch }: Order): Buffer[] {
  const client = connect(callerFile);
  const path = `/v1/clients/${client.caller.client!}/signing-requests${batch === undefined ? "" : "/batch"}`;
  const bodies = Array.from({ length: requests }, (_, index) => {
    const unsigned = encodeUnsigned({
      type: "eip1559",
      chainId: 31337n,
      nonce: BigInt(firstNonce + index),
      gasLimit: 21000n,
      to: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
      value: 10n ** 15n,
      data: new Uint8Array(),
      maxFeePerGas: 30n * 10n ** 9n,
      maxPriorityFeePerGas: 10n ** 9n,
      accessList: [],
    });
    const payload = { type: "evm-transaction", unsigned: `0x${Buffer.from(unsigned).toString("hex")}` };
    return { key, payload };
  });
  const posts = batch === undefined ? bodies : grouped(bodies, batch).map((group) => ({ requests: group }));
  return posts.map((post) => {
    const body = Buffer.from(JSON.stringify(post));
    const { headers } = client.signRequest("POST", path, body, randomUUID());
    const head = Object.entries({ host: new URL(url).host, ...headers, "content-length": String(body.length) });
    return Buffer.concat([
      Buffer.from(`POST ${path} HTTP/1.1\r\n${head.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`),
      body,
    ]);
  });
}

const grouped = <T>(items: readonly T[], size: number): T[][] =>
  Array.from({ length: Math.ceil(items.length / size) }, (_, index) => items.slice(index * size, (index + 1) * size));

/** Sends one request on a kept connection and waits for the end of its answer. */
function exchange(socket: Socket, request: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let received: Buffer = Buffer.alloc(0);
    let end = -1;
    const onData = (chunk: Buffer): void => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      if (end < 0) {
        const headEnd = received.indexOf("\r\n\r\n");
        if (headEnd < 0) return;
        const length = /content-length: ([0-9]+)/i.exec(received.toString("latin1", 0, headEnd))?.[1];
        if (length === undefined) return void reject(new Error("an answer without a length"));
        end = headEnd + 4 + Number(length);
      }
      if (received.length < end) return;
      socket.off("data", onData);
      resolve(received);
    };
    socket.on("data", onData);
    socket.write(request);
  });
}

async function run(order: Order): Promise<LoadResult> {
  const requests = prepare(order);
  const { hostname, port } = new URL(order.url);
  const sockets = await Promise.all(
    Array.from(
      { length: order.concurrency },
      () =>
        new Promise<Socket>((resolve, reject) => {
          const socket = connectTcp(Number(port), hostname, () => resolve(socket)).setNoDelay(true);
          socket.once("error", reject);
        }),
    ),
  );
  const latencies: number[] = [];
  const answers: Buffer[] = [];
  let next = 0;
  const cpuBefore = process.cpuUsage();
  const startedAt = performance.now();
  await Promise.all(
    sockets.map(async (socket) => {
      for (let index = next++; index < requests.length; index = next++) {
        const sentAt = performance.now();
        answers.push(await exchange(socket, requests[index]!));
        latencies.push(performance.now() - sentAt);
      }
    }),
  );
  const elapsedMs = performance.now() - startedAt;
  const { user, system } = process.cpuUsage(cpuBefore);
  for (const socket of sockets) socket.destroy();
  const signed = answers.reduce((sum, answer) => sum + signedIn(answer, order.batch), 0);
  if (signed !== order.requests) throw new Error(`expected ${order.requests} signatures, found ${signed}`);
  latencies.sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))]!;
  return {
    perSecond: (order.requests / elapsedMs) * 1000,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    cpuUs: (user + system) / order.requests,
  };
}

function signedIn(answer: Buffer, batch: number | undefined): number {
  const text = answer.toString("latin1");
  const status = text.slice(9, 12);
  if (batch === undefined) return Number(status === "201");
  return status === "200" ? text.split('{"status":201,').length - 1 : 0;
}

process.stdout.write(`${JSON.stringify(await run(JSON.parse(process.argv[2]!) as Order))}\n`);
