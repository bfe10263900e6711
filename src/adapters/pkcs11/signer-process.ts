import { spawn, type ChildProcess } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { KeyRef, TokenRef } from "../../vault/ports.ts";
import { SignerLost } from "./errors.ts";
import {
  ANSWER,
  decodeThrown,
  encodeSignerFrame,
  encodeSignOrder,
  ORDER,
  takeSignerFrames,
  type CloseOrder,
  type Frame,
  type KeyOrder,
  type OpenOrder,
} from "./signer-frames.ts";

/** A process takes its time to start where processors are short; how long calls take counts from its first answer on. */
const START_WITHIN_MS = 30_000;

/** A signer that is told to end, and does not, is killed. */
const END_WITHIN_MS = 1_000;

type Waiting = {
  readonly resolve: (body: Buffer) => void;
  readonly reject: (error: Error) => void;
  readonly leftOpen: () => void;
};

/** What a signer has open for one login: by which numbers it knows keys, and how many orders are under way. */
type Opened = { readonly keys: Map<string, number>; underWay: number };

/** One signer, as the vault sees it: orders go out, answers come back, and it may end at any time. */
export class SignerProcess {
  readonly #child: ChildProcess;
  readonly #orders: Writable;
  readonly #waiting = new Map<number, Waiting>();
  readonly #opened = new Map<number, Opened>();
  readonly #ended: Promise<void>;
  #unsent: Buffer[] = [];
  #lastNumber = 0;
  #lastKey = 0;
  #quietSince = performance.now() + START_WITHIN_MS;
  #hasStarted = false;
  #state: "serving" | "leaving" | "ended" = "serving";

  constructor(modulePath: string) {
    // Where this file is run as it was written, so is the signer.
    const isSource = import.meta.url.endsWith(".ts");
    const program = fileURLToPath(new URL(isSource ? "./signer.ts" : "./signer.js", import.meta.url));
    this.#child = spawn(process.execPath, [...(isSource ? process.execArgv : []), program, modulePath], {
      // Its output is not ours, which tells a supervisor that the vault is ready.
      stdio: ["pipe", "ignore", "inherit", "pipe"],
    });
    this.#orders = this.#child.stdin!;
    this.#orders.on("error", () => undefined); // its end says what there is to say
    this.#ended = new Promise((resolve) => {
      const ended = () => resolve(this.#lost());
      // Not at its exit: what it wrote before is read first.
      this.#child.once("close", ended).once("error", ended);
    });
    let rest: Buffer = Buffer.alloc(0);
    (this.#child.stdio[3] as Readable).on("data", (chunk: Buffer) => {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      rest = takeSignerFrames(bytes, (frame) => this.#answered(frame));
    });
  }

  get isServing(): boolean {
    return this.#state === "serving";
  }

  get hasEnded(): boolean {
    return this.#state === "ended";
  }

  get underWay(): number {
    return this.#waiting.size;
  }

  underWayFor(login: number): number {
    return this.#opened.get(login)?.underWay ?? 0;
  }

  isOpenFor(login: number): boolean {
    return this.#opened.has(login);
  }

  /** For how long it has had orders and answered none. */
  silentMs(): number {
    return this.#waiting.size === 0 ? 0 : performance.now() - this.#quietSince;
  }

  async open(login: number, ref: TokenRef, pin: string): Promise<void> {
    const order: OpenOrder = { login, ref, pin };
    await this.#order(ORDER.open, json(order));
    this.#opened.set(login, { keys: new Map(), underWay: 0 });
  }

  /** @param leftOpen told before the error, where it does not exclude that a signature was made */
  async sign(login: number, key: KeyRef, message: Uint8Array, leftOpen: () => void): Promise<Uint8Array> {
    const opened = this.#opened.get(login);
    if (!opened) throw new SignerLost();
    const number = opened.keys.get(key.id) ?? this.#introduce(login, opened, key);
    opened.underWay += 1;
    try {
      return await this.#order(ORDER.sign, encodeSignOrder(number, message), leftOpen);
    } finally {
      opened.underWay -= 1;
    }
  }

  close(login: number): void {
    if (!this.#opened.delete(login) || !this.isServing) return;
    const order: CloseOrder = { login };
    this.#order(ORDER.close, json(order)).catch(() => undefined);
  }

  /** Takes no more orders, and ends when those it has are done. */
  leave(): void {
    if (!this.isServing) return;
    this.#state = "leaving";
    this.#send();
    this.#orders.end();
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  async end(): Promise<void> {
    this.leave();
    const patience = new AbortController();
    const tooLong = delay(END_WITHIN_MS, undefined, { signal: patience.signal }).then(
      () => this.kill(),
      () => undefined,
    );
    await this.#ended;
    patience.abort();
    await tooLong;
  }

  /** Sent ahead of the first order for it; what is wrong with the key is the answer to that one. */
  #introduce(login: number, { keys }: Opened, { id, label, curve }: KeyRef): number {
    const order: KeyOrder = { login, key: (this.#lastKey += 1), id, label, curve };
    this.#order(ORDER.key, json(order)).catch(() => undefined);
    keys.set(id, order.key);
    return order.key;
  }

  #order(kind: number, body: Uint8Array, leftOpen: () => void = () => undefined): Promise<Buffer> {
    if (!this.isServing) return Promise.reject(new SignerLost());
    return new Promise((resolve, reject) => {
      this.#lastNumber = (this.#lastNumber + 1) >>> 0;
      if (this.#waiting.size === 0 && this.#hasStarted) this.#quietSince = performance.now();
      this.#waiting.set(this.#lastNumber, { resolve, reject, leftOpen });
      // Orders of one moment leave together: a system call costs more than an order.
      if (this.#unsent.length === 0) setImmediate(() => this.#send());
      this.#unsent.push(encodeSignerFrame(this.#lastNumber, kind, body));
    });
  }

  #send(): void {
    if (this.#unsent.length > 0) this.#orders.write(Buffer.concat(this.#unsent));
    this.#unsent = [];
  }

  #answered({ number, kind, body }: Frame): void {
    this.#hasStarted = true;
    this.#quietSince = performance.now();
    const waiting = this.#waiting.get(number); // none for its first word, that it has started
    this.#waiting.delete(number);
    if (kind === ANSWER.done) return waiting?.resolve(body);
    if (kind === ANSWER.leftOpen) waiting?.leftOpen();
    waiting?.reject(decodeThrown(body));
  }

  #lost(): void {
    this.#state = "ended";
    for (const { leftOpen, reject } of this.#waiting.values()) {
      leftOpen();
      reject(new SignerLost());
    }
    this.#waiting.clear();
    this.#opened.clear();
  }
}

const json = (order: object): Buffer => Buffer.from(JSON.stringify(order));
