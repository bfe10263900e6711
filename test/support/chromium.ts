import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";

/* A real browser without a window, steered over its own pipe (Chrome DevTools Protocol): no driver, no port. */

type Message = {
  readonly id?: number;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
};

export class Chromium {
  readonly #process: ChildProcess;
  readonly #folder: string;
  readonly #waiting = new Map<
    number,
    { resolve: (result: Record<string, unknown>) => void; reject: (error: Error) => void }
  >();
  #next = 1;
  #session: string | undefined;

  /** With one page open, at that address. */
  static async open(url: string): Promise<Chromium> {
    const browser = new Chromium();
    const { targetId } = await browser.#send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await browser.#send("Target.attachToTarget", { targetId, flatten: true });
    browser.#session = sessionId as string;
    await browser.#send("Page.enable", {});
    await browser.#send("Page.navigate", { url });
    while ((await browser.evaluate("location.href + document.readyState")) !== `${url}complete`)
      await new Promise((resolve) => setTimeout(resolve, 50));
    return browser;
  }

  private constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), "portcullis-chromium-"));
    const flags = [
      ...["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"],
      // It asks nobody but the page that it is given.
      ...["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"],
    ];
    this.#process = spawn("chromium", [...flags, "--remote-debugging-pipe", `--user-data-dir=${this.#folder}`], {
      stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
      detached: true, // a group of its own, with all the processes that it starts
    });
    this.#process.on("error", (error) => this.#fail(error));
    this.#process.on("exit", () => this.#fail(new Error("the browser ended")));
    let rest = "";
    (this.#process.stdio[4] as Readable).setEncoding("utf8").on("data", (chunk: string) => {
      const messages = (rest + chunk).split("\0");
      rest = messages.pop()!;
      for (const message of messages) this.#take(JSON.parse(message) as Message);
    });
  }

  #take({ id, result, error }: Message): void {
    const waiting = this.#waiting.get(id ?? 0);
    this.#waiting.delete(id ?? 0);
    if (error) waiting?.reject(new Error(error.message));
    else waiting?.resolve(result ?? {});
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  #send(method: string, params: object): Promise<Record<string, unknown>> {
    const id = this.#next++;
    const session = this.#session === undefined ? {} : { sessionId: this.#session };
    (this.#process.stdio[3] as Writable).write(`${JSON.stringify({ id, method, params, ...session })}\0`);
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  /** An authenticator inside the machine, with a person who is there and, or not, proves it. */
  async addAuthenticator({ isUserVerified }: { isUserVerified: boolean }): Promise<void> {
    await this.#send("WebAuthn.enable", {});
    await this.#send("WebAuthn.addVirtualAuthenticator", {
      options: {
        protocol: "ctap2",
        transport: "usb",
        hasResidentKey: false,
        hasUserVerification: isUserVerified,
        isUserVerified,
        automaticPresenceSimulation: true,
      },
    });
  }

  /** @param expression of JavaScript; a promise is waited for @returns what it is worth, through JSON */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = (await this.#send("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
      userGesture: true,
    })) as { result: { value: T }; exceptionDetails?: { exception?: { description?: string } } };
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? "the page threw");
    return result.value;
  }

  async close(): Promise<void> {
    const isOver = this.#process.exitCode !== null || this.#process.signalCode !== null;
    const ended = isOver ? undefined : once(this.#process, "exit");
    if (!isOver) process.kill(-this.#process.pid!, "SIGKILL");
    await ended;
    // Those whom it has started end a moment later, and may still write.
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}
