/* Arrays as the wire has them (PostgreSQL, array_recv): bytes instead of texts that both ends would have to quote and to parse. */

const OID = { bigint: 20, bytea: 17, text: 25 } as const;

export type ElementType = keyof typeof OID;

const HEADER_BYTES = 20;
const NULL_LENGTH = -1;
const LOWER_BOUND = 1;

/** @param values numbers for `bigint`, bytes for `bytea`, else texts; `null` anywhere. @returns an array of one dimension */
export function binaryArray(type: ElementType, values: readonly unknown[]): Buffer {
  const hasNull = values.includes(null);
  const bytes = Buffer.allocUnsafe(
    HEADER_BYTES + values.reduce((sum: number, value) => sum + 4 + sizeOf(type, value), 0),
  );
  bytes.writeInt32BE(1, 0);
  bytes.writeInt32BE(hasNull ? 1 : 0, 4);
  bytes.writeInt32BE(OID[type], 8);
  bytes.writeInt32BE(values.length, 12);
  bytes.writeInt32BE(LOWER_BOUND, 16);
  let at = HEADER_BYTES;
  for (const value of values) at = writeElement(bytes, at, type, value);
  return bytes;
}

function sizeOf(type: ElementType, value: unknown): number {
  if (value === null) return 0;
  if (type === "bigint") return 8;
  return type === "bytea" ? (value as Uint8Array).length : Buffer.byteLength(value as string);
}

/** @returns where the next one stands */
function writeElement(bytes: Buffer, at: number, type: ElementType, value: unknown): number {
  const start = at + 4;
  if (value === null) return bytes.writeInt32BE(NULL_LENGTH, at);
  const size = writeValue(bytes, start, type, value);
  bytes.writeInt32BE(size, at);
  return start + size;
}

function writeValue(bytes: Buffer, at: number, type: ElementType, value: unknown): number {
  switch (type) {
    case "bigint":
      // Two halves: a BigInt for each number would be made only to be written.
      bytes.writeInt32BE(Math.floor((value as number) / 2 ** 32), at);
      bytes.writeUInt32BE((value as number) - Math.floor((value as number) / 2 ** 32) * 2 ** 32, at + 4);
      return 8;
    case "bytea":
      bytes.set(value as Uint8Array, at);
      return (value as Uint8Array).length;
    case "text":
      return bytes.write(value as string, at);
    default:
      return type satisfies never;
  }
}
