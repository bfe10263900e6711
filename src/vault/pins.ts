import { randomBytes } from "node:crypto";
import { GatewayError, quoted } from "../domain/errors.ts";
import type { GatewayToken, PinRow, Store, StoreTransaction, TokenRef } from "./ports.ts";

/*
 * The tokens' PINs: random, sealed under the gateway token's key, kept in the store, so that every vault on it can log in.
 * A PIN that a token has refused is never offered to it again.
 */

/** 144 random bits: no PIN of a token is ever thought up by a person. */
export const randomPin = (): string => randomBytes(18).toString("base64url");

/** What a sealed PIN belongs to: it opens for this client, this token and this version only. */
const contextOf = (name: string, { label, serial }: TokenRef, version: number): string =>
  `portcullis/pin/v1\n${JSON.stringify([name, label, serial, version])}\n`;

export class Pins {
  readonly #store: Store;
  readonly #sealer: Pick<GatewayToken, "seal" | "unseal">;

  constructor(parts: { store: Store; sealer: Pick<GatewayToken, "seal" | "unseal"> }) {
    this.#store = parts.store;
    this.#sealer = parts.sealer;
  }

  /** A row to be put in the transaction that makes the token known. */
  async seal(name: string, token: TokenRef, pin: string, version = 1): Promise<PinRow> {
    const sealed = await this.#sealer.seal(Buffer.from(pin, "utf8"), contextOf(name, token, version));
    return { name, version, state: "kept", sealed };
  }

  /**
   * Opens the token with the PIN that is kept for it. Where a change was cut short there are two, and the token says which
   * is right; each is offered once.
   * @throws {GatewayError} `pin-missing`, `pin-refused`, `seal-broken` (no login was tried), or what `open` throws
   */
  async login<T>(name: string, token: TokenRef, open: (pin: string) => Promise<T>): Promise<T> {
    const rows = await this.#store.read((reader) => reader.pins(name));
    const candidates = rows.filter(({ state }) => state === "kept");
    if (candidates.length === 0) throw noPin(name, rows.at(-1));
    for (const row of candidates) {
      const pin = await this.#unseal(row, token);
      try {
        const opened = await open(pin);
        await this.#settle(name, row.version);
        return opened;
      } catch (error) {
        if (!isRefusedByToken(error)) throw error;
        await this.#store.write((transaction) => transaction.putPin({ ...row, state: "refused" }));
        if (row === candidates.at(-1)) throw error;
      }
    }
    throw new Error("unreachable: the last candidate returns or throws");
  }

  /**
   * Gives the token a new PIN. The new one is durable before the token is asked, so that a crash at any moment leaves the
   * right one in the store; called again, it goes on with the one that was meant before.
   * @param change tells the token
   * @param record put into the transaction that makes the new PIN the only one
   * @returns the new version
   */
  async rotate(
    name: string,
    token: TokenRef,
    change: (pin: string, newPin: string) => Promise<void>,
    record: (transaction: StoreTransaction, version: number) => Promise<unknown>,
  ): Promise<number> {
    const rows = await this.#store.read((reader) => reader.pins(name));
    const [current, meant] = rows.filter(({ state }) => state === "kept");
    if (!current) throw noPin(name, rows.at(-1));
    const next = meant ?? (await this.seal(name, token, randomPin(), rows.at(-1)!.version + 1));
    if (!meant) await this.#store.write((transaction) => transaction.putPin(next));
    const [pin, newPin] = [await this.#unseal(current, token), await this.#unseal(next, token)];
    await change(pin, newPin).catch(async (error: unknown) => {
      if (isCertainlyUnchanged(error)) {
        await this.#store.write((transaction) => transaction.removePin(name, next.version));
      }
      throw error;
    });
    await this.#store.write(async (transaction) => {
      await transaction.putPin(next);
      await removeBelow(transaction, name, next.version);
      await record(transaction, next.version);
    });
    return next.version;
  }

  /**
   * Keeps the PIN that administrators have set, after the token took it.
   * @param open offers it to the token
   */
  async replace(name: string, token: TokenRef, pin: string, open: (pin: string) => Promise<unknown>): Promise<number> {
    const rows = await this.#store.read((reader) => reader.pins(name));
    const row = await this.seal(name, token, pin, (rows.at(-1)?.version ?? 0) + 1);
    await open(pin);
    await this.#store.write(async (transaction) => {
      await transaction.putPin(row);
      await removeBelow(transaction, name, row.version);
    });
    return row.version;
  }

  async #unseal(row: PinRow, token: TokenRef): Promise<string> {
    const pin = await this.#sealer.unseal(row.sealed, contextOf(row.name, token, row.version));
    return Buffer.from(pin).toString("utf8");
  }

  /** What is right by now makes what came before it wrong. What comes after may be about to become right. */
  async #settle(name: string, version: number): Promise<void> {
    const below = (rows: readonly PinRow[]) => rows.some((row) => row.version < version);
    if (!below(await this.#store.read((reader) => reader.pins(name)))) return;
    await this.#store.write((transaction) => removeBelow(transaction, name, version));
  }
}

async function removeBelow(transaction: StoreTransaction, name: string, version: number): Promise<void> {
  for (const row of await transaction.pins(name)) {
    if (row.version < version) await transaction.removePin(name, row.version);
  }
}

/** The token's own word: what the adapter refuses without asking it says nothing about the PIN. */
const isRefusedByToken = (error: unknown): boolean =>
  error instanceof GatewayError && error.facts["ckr"] === "CKR_PIN_INCORRECT";

/** Some HSMs change PINs by tools of their own only, or take no PIN such as ours: nothing was begun. */
const isCertainlyUnchanged = (error: unknown): boolean =>
  error instanceof GatewayError &&
  (error.code === "pin-invalid" || error.facts["ckr"] === "CKR_FUNCTION_NOT_SUPPORTED");

function noPin(name: string, refused: PinRow | undefined): GatewayError {
  if (!refused)
    return new GatewayError("pin-missing", `expected a sealed PIN of ${quoted(name)} in the store, found none`);
  return new GatewayError("pin-refused", `the token of ${quoted(name)} has refused its PIN: it is not tried again`, {
    facts: { version: refused.version, ckr: "CKR_PIN_INCORRECT" },
    hint: "was it changed with another tool? give the right one: `portcullis client set-pin ID --pin-file FILE`",
  });
}
