import { GatewayError } from "../../domain/errors.ts";
import { copyOf, uintOf } from "./bytes.ts";

/*
 * Recursive Length Prefix, strict in both directions: one value has one encoding, and every other is refused.
 * There is no tree in between: who reads says what comes next, so depth and number of items are bounded by the reader.
 * Source: Ethereum Yellow Paper, appendix B; go-ethereum `rlp` (ErrCanonSize, ErrCanonInt).
 */

/** No payload here is larger: nine blobs with their proofs have 1.2 MB. Four bytes of length reach it. */
const MAX_LENGTH_BYTES = 4;

const SHORT_STRING = 0x80;
const SHORT_LIST = 0xc0;
/** The longest payload whose length stands in the first byte. */
const MAX_SHORT = 55;

/** Reads the items of one list, in order. Every refusal names the field that was to be read. */
export class RlpReader {
  readonly #bytes: Uint8Array;
  #position: number;
  readonly #end: number;
  // The payload of the item read last: two fields instead of an object for each item.
  #payloadStart = 0;
  #payloadEnd = 0;

  private constructor(bytes: Uint8Array, position: number, end: number) {
    this.#bytes = bytes;
    this.#position = position;
    this.#end = end;
  }

  /**
   * Opens the list that takes up everything from `offset` to the end.
   * @throws {GatewayError} `rlp-expected-list`, `rlp-trailing-bytes`, `rlp-truncated`, `rlp-non-minimal`, `rlp-too-large`
   */
  static listIn(bytes: Uint8Array, offset: number, name: string): RlpReader {
    const outer = new RlpReader(bytes, offset, bytes.length);
    const list = outer.list(name);
    if (outer.hasMore) {
      throw new GatewayError(
        "rlp-trailing-bytes",
        `expected ${name} to end at byte ${outer.#position}, found ${bytes.length} bytes`,
      );
    }
    return list;
  }

  get hasMore(): boolean {
    return this.#position < this.#end;
  }

  /** Whether a list comes next: the only look ahead, for formats that two shapes share. */
  get nextIsList(): boolean {
    return this.hasMore && this.#bytes[this.#position]! >= SHORT_LIST;
  }

  /** A copy: what the caller does to its bytes afterwards changes nothing here. */
  bytes(name: string): Uint8Array {
    this.#string(name);
    return copyOf(this.#bytes, this.#payloadStart, this.#payloadEnd);
  }

  /** @throws {GatewayError} `wrong-length` */
  fixedBytes(name: string, length: number): Uint8Array {
    this.#string(name);
    const found = this.#payloadEnd - this.#payloadStart;
    if (found !== length) {
      throw new GatewayError("wrong-length", `expected ${name} to have ${length} bytes, found ${found}`, {
        facts: { field: name, length: found },
      });
    }
    return copyOf(this.#bytes, this.#payloadStart, this.#payloadEnd);
  }

  /**
   * A positive integer or zero, big-endian without leading zeros; zero is the empty string.
   * @throws {GatewayError} `rlp-leading-zero`, `number-too-large` if it needs more than `maxBytes`
   */
  integer(name: string, maxBytes: number): bigint {
    this.#string(name);
    const length = this.#payloadEnd - this.#payloadStart;
    if (length > maxBytes) {
      throw new GatewayError(
        "number-too-large",
        `expected ${name} to have at most ${maxBytes} bytes, found ${length}`,
        {
          facts: { field: name },
        },
      );
    }
    if (length > 0 && this.#bytes[this.#payloadStart] === 0) {
      throw new GatewayError("rlp-leading-zero", `expected ${name} as an integer without leading zeros`, {
        facts: { field: name },
      });
    }
    return uintOf(this.#bytes, this.#payloadStart, this.#payloadEnd);
  }

  /** @throws {GatewayError} `rlp-expected-list` */
  list(name: string): RlpReader {
    if (!this.#header(name)) {
      throw new GatewayError("rlp-expected-list", `expected ${name} to be a list, found a byte string`, {
        facts: { field: name },
      });
    }
    return new RlpReader(this.#bytes, this.#payloadStart, this.#payloadEnd);
  }

  /** The next item as it stands, with its header: what a hash is taken over. */
  encoded(name: string): Uint8Array {
    const start = this.#position;
    this.#header(name);
    return copyOf(this.#bytes, start, this.#position);
  }

  /** @throws {GatewayError} `rlp-extra-items` if anything is left */
  end(name: string): void {
    if (this.hasMore) {
      throw new GatewayError("rlp-extra-items", `expected ${name} to have no further items`, {
        facts: { field: name },
        hint: "an unsigned transaction ends before yParity, r and s",
      });
    }
  }

  #string(name: string): void {
    if (this.#header(name)) {
      throw new GatewayError("rlp-expected-bytes", `expected ${name} to be a byte string, found a list`, {
        facts: { field: name },
      });
    }
  }

  /** Steps over the next item and leaves where its payload lies; true for a list. */
  #header(name: string): boolean {
    if (!this.hasMore) {
      throw new GatewayError("rlp-missing-item", `expected ${name}, found the end of the list`, {
        facts: { field: name },
      });
    }
    const first = this.#bytes[this.#position]!;
    if (first < SHORT_STRING) {
      this.#payload(name, this.#position, 1);
      return false;
    }
    const isList = first >= SHORT_LIST;
    const short = first - (isList ? SHORT_LIST : SHORT_STRING);
    if (short <= MAX_SHORT) this.#payload(name, this.#position + 1, short);
    else this.#longPayload(name, short - MAX_SHORT);
    // A single byte below 0x80 is its own encoding.
    if (!isList && short === 1 && this.#bytes[this.#payloadStart]! < SHORT_STRING) throw nonMinimal(name);
    return isList;
  }

  #longPayload(name: string, lengthBytes: number): void {
    const start = this.#position + 1 + lengthBytes;
    if (start > this.#end) throw truncated(name);
    if (this.#bytes[this.#position + 1] === 0) throw nonMinimal(name);
    if (lengthBytes > MAX_LENGTH_BYTES) {
      throw new GatewayError("rlp-too-large", `expected ${name} to have less than 4 GiB`, { facts: { field: name } });
    }
    let length = 0;
    for (let at = this.#position + 1; at < start; at++) length = length * 256 + this.#bytes[at]!;
    if (length <= MAX_SHORT) throw nonMinimal(name);
    this.#payload(name, start, length);
  }

  #payload(name: string, start: number, length: number): void {
    if (start + length > this.#end) throw truncated(name);
    this.#payloadStart = start;
    this.#payloadEnd = start + length;
    this.#position = this.#payloadEnd;
  }
}

const nonMinimal = (name: string) =>
  new GatewayError("rlp-non-minimal", `expected ${name} in its shortest encoding`, { facts: { field: name } });
const truncated = (name: string) =>
  new GatewayError("rlp-truncated", `expected ${name} to end within its list`, { facts: { field: name } });

export type RlpItem = Uint8Array | readonly RlpItem[];

const EMPTY = new Uint8Array(0);

/** The bytes of an integer item: big-endian, no leading zeros, zero is empty. */
export function integerBytes(value: bigint): Uint8Array {
  if (value === 0n) return EMPTY;
  const digits = value.toString(16);
  const bytes = new Uint8Array((digits.length + 1) >> 1);
  // From the end, six bytes at a time, as above.
  for (let at = bytes.length, stop = digits.length; at > 0; stop -= 12) {
    let chunk = parseInt(digits.slice(Math.max(0, stop - 12), stop), 16);
    for (let count = 0; count < 6 && at > 0; count++, chunk = Math.floor(chunk / 256)) bytes[--at] = chunk % 256;
  }
  return bytes;
}

/** @param prefix bytes that stand before the item, such as the type of an EIP-2718 envelope */
export function encodeRlp(item: RlpItem, prefix: readonly number[] = []): Uint8Array {
  const out = new Uint8Array(prefix.length + sizeOf(item));
  out.set(prefix);
  write(out, prefix.length, item);
  return out;
}

function write(out: Uint8Array, at: number, item: RlpItem): number {
  if (item instanceof Uint8Array) {
    if (item.length === 1 && item[0]! < SHORT_STRING) {
      out[at] = item[0]!;
      return at + 1;
    }
    const start = writeHeader(out, at, SHORT_STRING, item.length);
    out.set(item, start);
    return start + item.length;
  }
  let next = writeHeader(out, at, SHORT_LIST, payloadSize(item));
  for (const inner of item) next = write(out, next, inner);
  return next;
}

function writeHeader(out: Uint8Array, at: number, offset: number, length: number): number {
  if (length <= MAX_SHORT) {
    out[at] = offset + length;
    return at + 1;
  }
  const lengthBytes = lengthOfLength(length);
  out[at] = offset + MAX_SHORT + lengthBytes;
  for (let index = lengthBytes, rest = length; index > 0; index--, rest = Math.floor(rest / 256)) {
    out[at + index] = rest % 256;
  }
  return at + 1 + lengthBytes;
}

function lengthOfLength(length: number): number {
  let count = 0;
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) count++;
  return count;
}

function sizeOf(item: RlpItem): number {
  if (item instanceof Uint8Array && item.length === 1 && item[0]! < SHORT_STRING) return 1;
  const payload = item instanceof Uint8Array ? item.length : payloadSize(item);
  return payload + 1 + (payload > MAX_SHORT ? lengthOfLength(payload) : 0);
}

function payloadSize(items: readonly RlpItem[]): number {
  let size = 0;
  for (const item of items) size += sizeOf(item);
  return size;
}
