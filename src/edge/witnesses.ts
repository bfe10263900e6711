import type { Logger } from "pino";
import { WITNESS_TARGET } from "../vault/protocol.ts";
import type { VaultLink } from "./vault-link.ts";

/*
 * Takes checkpoints to C2SP witnesses (tlog-witness, `add-checkpoint`) and brings their cosignatures back. Nothing here is
 * believed by anybody: the vault verifies what it is brought, a witness what it is sent.
 */

export type Witness = { readonly name: string; readonly url: string };

const PATIENCE_MS = 10_000;
const ANSWER_BYTES_MAX = 16 * 1024;

export class WitnessRounds {
  readonly #link: VaultLink;
  readonly #log: Logger;
  /** The largest size that each has cosigned, as it says. */
  readonly #known = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(link: VaultLink, log: Logger) {
    this.#link = link;
    this.#log = log;
  }

  run(witnesses: readonly Witness[], everyMs: number): void {
    const next = async (): Promise<void> => {
      await Promise.all(witnesses.map((witness) => this.#ask(witness)));
      this.#timer = setTimeout(() => void next(), everyMs).unref();
    };
    if (witnesses.length > 0) void next();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  async #ask(witness: Witness): Promise<void> {
    try {
      // Of a witness that is ahead of what we remember, its answer says how far: once more from there.
      if (!(await this.#submit(witness))) await this.#submit(witness);
    } catch (error) {
      this.#log.warn({ witness: witness.name, error: (error as Error).message }, "a witness did not cosign");
    }
  }

  /** @returns false if the witness knows another size than we thought */
  async #submit({ name, url }: Witness): Promise<boolean> {
    const old = this.#known.get(name) ?? 0;
    const request = await this.#vault("GET", String(old));
    if (request === undefined) return true; // no checkpoint yet, or none that is larger
    const size = Number(request.split("\n\n")[1]?.split("\n")[1]);
    if (size === old) return true;
    const response = await fetch(`${url.replace(/\/$/, "")}/add-checkpoint`, {
      method: "POST",
      body: request,
      redirect: "error",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    const answer = (await response.text()).slice(0, ANSWER_BYTES_MAX);
    if (response.status === 409 && /^(?:0|[1-9][0-9]{0,15})\n?$/.test(answer) && Number(answer) !== old) {
      this.#known.set(name, Number(answer));
      return false;
    }
    if (response.status !== 200) throw new Error(`it answered ${response.status}`);
    if ((await this.#vault("POST", "", `${size}\n${answer}`)) === undefined)
      throw new Error("its cosignature was not taken");
    this.#known.set(name, size);
    return true;
  }

  async #vault(method: string, rest: string, body = ""): Promise<string | undefined> {
    const head = { method, target: `${WITNESS_TARGET}${rest}`, headers: {} };
    const { answer } = this.#link.send(head, Buffer.from(body), true);
    const { head: said, body: bytes } = await answer;
    return said.status === 200 ? bytes.toString("utf8") : undefined;
  }
}
