import { createHash, hash, randomBytes } from "node:crypto";
import { GatewayError } from "../domain/errors.ts";
import type { CounterId } from "../domain/decision.ts";
import type {
  Act,
  ActAnswer,
  GatewayToken,
  LeafRow,
  NonceRow,
  PinRow,
  RequestRow,
  RowStore,
  SealedRequest,
  SpendEntry,
} from "./ports.ts";

/*
 * The key under which rows are sealed: random, made with leaf 0, the same for every vault of the gateway. The store holds
 * it sealed by the gateway's token, so that whoever can write to the store can neither read it nor replace it (I19).
 */

const KEY_BYTES = 32;
/** Reserved: no client has this name. */
const NAME = "gateway";
const CONTEXT = "portcullis/row-key/v1\n";

type Sealer = Pick<GatewayToken, "seal" | "unseal">;

/** @returns the key, and the row to be put in the transaction that writes leaf 0 */
export async function newRowKey(sealer: Sealer): Promise<{ readonly key: Uint8Array; readonly row: PinRow }> {
  const key = randomBytes(KEY_BYTES);
  return { key, row: { name: NAME, version: 1, state: "kept", sealed: await sealer.seal(key, CONTEXT) } };
}

/** @throws {GatewayError} `row-key-missing`; `seal-broken` for another than the one that leaf 0 was sealed with */
export async function openRowKey(store: RowStore, sealer: Sealer): Promise<Uint8Array> {
  const [row] = await store.read((reader) => reader.pins(NAME));
  if (row) return sealer.unseal(row.sealed, CONTEXT);
  throw new GatewayError("row-key-missing", "expected the sealed key of this store's rows, found none", {
    hint: "it was removed (bring back the newest copy of the store), or the store is older than sealed rows: begin anew",
  });
}

/** 128 bits in base64url. */
const TAG_LENGTH = 22;

/**
 * Seals of rows: a MAC over everything that a decision reads of them. Texts that may hold a line end stand last.
 * SHA-512/256 (FIPS 180-4) over key and text: half of its state is cut off, so that nobody extends a text whose seal he
 * has seen, as with SHA-256; no object is made for it, which makes it ten times cheaper here than HMAC.
 */
export class Seals {
  readonly #key: string;

  constructor(key: Uint8Array) {
    this.#key = Buffer.from(key).toString("hex");
  }

  /** The hash covers content and time. */
  leaf({ index, client, number, hash }: Pick<LeafRow, "index" | "client" | "number" | "hash">): string {
    return this.#tag(`leaf\n${index}\n${client}\n${number}\n${Buffer.from(hash).toString("base64")}`);
  }

  /** @param state as decided: an outcome has a seal of its own */
  request(row: RequestRow & Pick<SealedRequest, "leaf">, state: string): string {
    const { client, id, caller, key, idempotencyKey, bodyHash, submittedAt, decisionLeaf, leaf, record } = row;
    return this.#tag(
      `request\n${client}\n${id}\n${caller}\n${key}\n${idempotencyKey}\n${bodyHash}\n${state}\n${submittedAt}\n${decisionLeaf}\n${leaf}\n${record}`,
    );
  }

  outcome({
    client,
    id,
    state,
    decisionLeaf,
    outcome,
  }: Pick<RequestRow, "client" | "id" | "state" | "decisionLeaf" | "outcome">): string {
    return this.#tag(`outcome\n${client}\n${id}\n${state}\n${decisionLeaf}\n${outcome}`);
  }

  nonce(account: string, { next, leaf }: NonceRow): string {
    return this.#tag(`nonce\n${account}\n${next}\n${leaf}`);
  }

  /** @param since the leaf with which the counter was built */
  spend(counter: CounterId, since: number, { at, leaf, amount, total }: SpendEntry): string {
    return this.#tag(`spend\n${counter}\n${since}\n${at}\n${leaf}\n${amount}\n${total}`);
  }

  answer({ client, caller, idempotencyKey, asked }: Act, { status, body }: ActAnswer): string {
    return this.#tag(`answer\n${client}\n${caller}\n${idempotencyKey}\n${asked}\n${status}\n${body}`);
  }

  /** @param head what the bytes are, in one line */
  snapshot(head: string, bytes: Uint8Array): string {
    const digest = createHash("sha512-256").update(`${this.#key}snapshot\n${head}\n`).update(bytes).digest("base64url");
    return digest.slice(0, TAG_LENGTH);
  }

  /** Another secret, for what this process keeps in its memory. */
  keyFor(purpose: string): string {
    return hash("sha512-256", `${this.#key}key\n${purpose}`, "hex");
  }

  #tag(text: string): string {
    return hash("sha512-256", this.#key + text, "base64url").slice(0, TAG_LENGTH);
  }
}
