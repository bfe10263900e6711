import type { Socket } from "node:net";
import { readFrames, type Frame, type RequestHead, type Unfinished } from "./protocol.ts";

/*
 * What the other ends of the vault's socket can make it keep: frames that were begun and not finished, answers that
 * nobody reads. Both are bounded over all connections; what is over a bound costs the connection that has kept it
 * longest, or the most, and nobody else.
 */

export type ConnectionBounds = {
  readonly connections: number;
  /** Of frames that are not whole yet, over all connections. */
  readonly unfinishedBytes: number;
  readonly unfinishedMs: number;
  /** Of answers that wait for one reader, before nothing more is read from it. */
  readonly unreadBytes: number;
  /** Of answers that wait for their readers, over all connections. */
  readonly allUnreadBytes: number;
};

const MIB = 1024 * 1024;

export const CONNECTION_BOUNDS: ConnectionBounds = {
  connections: 128,
  unfinishedBytes: 64 * MIB,
  unfinishedMs: 10_000,
  unreadBytes: MIB,
  allUnreadBytes: 64 * MIB,
};

type Connection = { readonly socket: Socket; lastHeardAt: number; readonly unfinished: () => Unfinished };

export class Connections {
  readonly #bounds: ConnectionBounds;
  readonly #open = new Map<Socket, Connection>();
  readonly #sweep: NodeJS.Timeout;

  constructor(bounds: ConnectionBounds = CONNECTION_BOUNDS) {
    this.#bounds = bounds;
    this.#sweep = setInterval(() => this.#endOverdue(), bounds.unfinishedMs / 4).unref();
  }

  add(socket: Socket, onFrame: (frame: Frame<RequestHead>) => void): void {
    // Not the new one: whoever fills all places and is silent would keep the others out.
    if (this.#open.size >= this.#bounds.connections) this.#endFirst(({ lastHeardAt }) => lastHeardAt);
    const { unfinished } = readFrames<RequestHead>(socket, onFrame);
    const connection: Connection = { socket, lastHeardAt: performance.now(), unfinished };
    this.#open.set(socket, connection);
    socket.on("close", () => this.#open.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.on("drain", () => socket.resume());
    socket.on("data", () => {
      connection.lastHeardAt = performance.now();
      if (unfinished().bytes > 0) this.#boundUnfinished();
    });
  }

  /** To be called after something was written to the socket. */
  wrote(socket: Socket): void {
    if (socket.writableLength <= this.#bounds.unreadBytes) return;
    socket.pause();
    if (this.#sum((each) => each.socket.writableLength) > this.#bounds.allUnreadBytes)
      this.#endFirst((each) => -each.socket.writableLength);
  }

  end(): void {
    clearInterval(this.#sweep);
    for (const socket of this.#open.keys()) socket.end();
  }

  get size(): number {
    return this.#open.size;
  }

  #boundUnfinished(): void {
    if (this.#sum((each) => each.unfinished().bytes) <= this.#bounds.unfinishedBytes) return;
    this.#endFirst((each) => (each.unfinished().bytes > 0 ? each.unfinished().since : Infinity));
  }

  #endOverdue(): void {
    const began = performance.now() - this.#bounds.unfinishedMs;
    for (const { socket, unfinished } of this.#open.values()) {
      const { bytes, since } = unfinished();
      // What we do not read ourselves is not the sender's delay.
      if (bytes > 0 && since < began && !socket.isPaused()) this.#destroy(socket);
    }
  }

  #sum(of: (connection: Connection) => number): number {
    let sum = 0;
    for (const connection of this.#open.values()) sum += of(connection);
    return sum;
  }

  #endFirst(order: (connection: Connection) => number): void {
    let first: Connection | undefined;
    for (const connection of this.#open.values()) {
      if (!first || order(connection) < order(first)) first = connection;
    }
    if (first) this.#destroy(first.socket);
  }

  /** At once out of the count: its `close` comes only later. */
  #destroy(socket: Socket): void {
    this.#open.delete(socket);
    socket.destroy();
  }
}
