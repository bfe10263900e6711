import { connect, type Socket } from "node:net";
import {
  encodeFrame,
  MAX_ANSWER_HEAD_BYTES,
  readFrames,
  writeFrame,
  type AnswerHead,
  type Frame,
  type RequestHead,
} from "../vault/protocol.ts";

export type VaultAnswer = Frame<AnswerHead>;

type Waiting = {
  readonly frame: Buffer;
  readonly repeatable: boolean;
  readonly poll: boolean;
  losses: number;
  readonly resolve: (answer: VaultAnswer) => void;
  readonly reject: (error: Error) => void;
};

/** Connections that a request may lose before it is given up. */
const LOSSES_MAX = 3;

const RECONNECT_MS = { first: 20, longest: 1000 } as const;

/** How long a request waits for a vault that is away (restarting, say) before the edge gives up on it. */
const PATIENCE_MS = 10_000;

/** A policy that is applied counts the past anew, and that may be long. */
const PATIENCE_FOR_POLICY_MS = 300_000;

export class VaultUnreachable extends Error {}

/**
 * One connection to the vault's socket for all requests, made again whenever it breaks. What was under way and may be
 * repeated (the vault knows it by its idempotency key, or it changes nothing) is sent again; the rest is given up.
 */
export class VaultLink {
  readonly #path: string;
  readonly #waiting = new Map<number, Waiting>();
  #socket: Socket | undefined;
  #connected = false;
  #nextId = 1;
  #delayMs: number = RECONNECT_MS.first;
  #closed = false;

  constructor(path: string) {
    this.#path = path;
    this.#connect();
  }

  /**
   * @returns `answer`, which fails with `VaultUnreachable` where the vault may or may not have seen the request; and
   * `abandon`, for when nobody waits for it any more
   * @throws {RangeError} the request is over a bound of a frame
   */
  send(
    head: Omit<RequestHead, "id">,
    body: Buffer,
    repeatable: boolean,
  ): { readonly answer: Promise<VaultAnswer>; readonly abandon: () => void } {
    const id = this.#nextId++;
    const frame = encodeFrame({ id, ...head }, body);
    const answer = new Promise<VaultAnswer>((resolve, reject) => {
      const timer = setTimeout(() => this.#giveUp(id), patienceFor(head));
      const settle =
        <A>(with_: (value: A) => void) =>
        (value: A) => {
          clearTimeout(timer);
          this.#waiting.delete(id);
          with_(value);
        };
      const waiting: Waiting = {
        frame,
        poll: waitOf(head) > 0,
        losses: 0,
        repeatable,
        resolve: settle(resolve),
        reject: settle(reject),
      };
      this.#waiting.set(id, waiting);
      if (this.#connected) this.#write(waiting);
    });
    return {
      answer,
      abandon: () => this.#waiting.get(id)?.reject(new VaultUnreachable("the sender has gone")),
    };
  }

  /** Gives up on those who only wait: an orderly stop does not last as long as they asked for. */
  dropPolls(): void {
    for (const waiting of [...this.#waiting.values()]) {
      if (waiting.poll) waiting.reject(new VaultUnreachable("the gateway is stopping"));
    }
  }

  close(): void {
    this.#closed = true;
    this.#socket?.destroy();
  }

  #write({ frame }: Waiting): void {
    writeFrame(this.#socket!, frame);
  }

  #giveUp(id: number): void {
    this.#waiting.get(id)?.reject(new VaultUnreachable("the vault did not answer in time"));
  }

  #connect(): void {
    const socket = connect(this.#path);
    this.#socket = socket;
    socket.on("connect", () => {
      this.#connected = true;
      this.#delayMs = RECONNECT_MS.first;
      for (const waiting of this.#waiting.values()) this.#write(waiting);
    });
    readFrames<AnswerHead>(
      socket,
      (answer) => this.#waiting.get(answer.head.id)?.resolve(answer),
      MAX_ANSWER_HEAD_BYTES,
    );
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#onClose());
  }

  #onClose(): void {
    if (this.#connected) {
      for (const waiting of [...this.#waiting.values()]) {
        waiting.losses += 1;
        // What loses one connection after another may be what ends them: it is not sent for ever.
        if (!waiting.repeatable || waiting.losses >= LOSSES_MAX)
          waiting.reject(new VaultUnreachable("the vault went away while the request was under way"));
      }
    }
    this.#connected = false;
    if (this.#closed) return;
    setTimeout(() => this.#connect(), this.#delayMs);
    this.#delayMs = Math.min(this.#delayMs * 2, RECONNECT_MS.longest);
  }
}

const patienceFor = (head: Pick<RequestHead, "method" | "target">): number =>
  head.method === "PUT" ? PATIENCE_FOR_POLICY_MS : PATIENCE_MS + waitOf(head);

/** A long-poll may take as long as it asked for, up to what the vault allows. */
export function waitOf({ method, target }: Pick<RequestHead, "method" | "target">): number {
  const seconds =
    method === "GET" ? /\/signing-requests\/[^/?]+\?(?:.*&)?wait=([0-9]{1,2})s/.exec(target)?.[1] : undefined;
  return Math.min(Number(seconds ?? 0), 60) * 1000;
}
