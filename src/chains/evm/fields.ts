import { hexToBytes } from "@noble/hashes/utils.js";
import { z } from "zod";
import { GatewayError, quoted } from "../../domain/errors.ts";
import { parseAddress } from "./address.ts";
import { checkScalars, parityOf, scalarOf } from "./signature.ts";
import {
  checkAuthorizations,
  checkBlobHashes,
  checkChainId,
  checkNonce,
  type AccessList,
  type Authorization,
  type EvmTransaction,
  type EvmTransactionType,
  type SignedAuthorization,
} from "./transaction-fields.ts";

/*
 * A transaction as JSON: what callers send who have no bytes yet. Read in two steps, since nonce, gas and prices may be
 * left out and are filled only when the request is about to be signed: `parseFields`, then `completeTransaction`.
 */

/** What the caller wrote; a field that is absent is left to be filled. */
export type PartialTransaction = {
  readonly type: EvmTransactionType;
  readonly to: string | undefined;
  readonly value: bigint;
  readonly data: Uint8Array;
  readonly accessList: AccessList;
  readonly blobVersionedHashes: readonly string[];
  readonly authorizationList: readonly SignedAuthorization[];
} & Filling;

/** What may be filled later; it never overrides what the caller wrote. */
export type Filling = {
  readonly chainId?: bigint;
  readonly nonce?: bigint;
  readonly gas?: bigint;
  readonly gasPrice?: bigint;
  readonly maxFeePerGas?: bigint;
  readonly maxPriorityFeePerGas?: bigint;
  readonly maxFeePerBlobGas?: bigint;
};

const quantity = z.union([z.string(), z.number()]);

const Fields = z.strictObject({
  type: z.enum(["0x0", "0x1", "0x2", "0x3", "0x4"]).optional(),
  chainId: quantity.optional(),
  to: z.string().nullable(),
  value: quantity,
  data: z.string().optional(),
  nonce: quantity.optional(),
  gas: quantity.optional(),
  gasPrice: quantity.optional(),
  maxFeePerGas: quantity.optional(),
  maxPriorityFeePerGas: quantity.optional(),
  maxFeePerBlobGas: quantity.optional(),
  blobVersionedHashes: z.array(z.string()).optional(),
  authorizationList: z
    .array(
      z.strictObject({
        chainId: quantity,
        address: z.string(),
        nonce: quantity,
        yParity: quantity,
        r: z.string(),
        s: z.string(),
      }),
    )
    .optional(),
  accessList: z.array(z.strictObject({ address: z.string(), storageKeys: z.array(z.string()) })).optional(),
});
type Fields = z.infer<typeof Fields>;

const TYPES = { "0x0": "legacy", "0x1": "eip2930", "0x2": "eip1559", "0x3": "eip4844", "0x4": "eip7702" } as const;

/** Which fields of price and extras each type has; all others contradict it. */
const OWN_FIELDS = {
  legacy: ["gasPrice"],
  eip2930: ["gasPrice", "accessList"],
  eip1559: ["maxFeePerGas", "maxPriorityFeePerGas", "accessList"],
  eip4844: ["maxFeePerGas", "maxPriorityFeePerGas", "accessList", "maxFeePerBlobGas", "blobVersionedHashes"],
  eip7702: ["maxFeePerGas", "maxPriorityFeePerGas", "accessList", "authorizationList"],
} as const satisfies Record<EvmTransactionType, readonly (keyof Fields)[]>;
const EXTRA_FIELDS = [...new Set(Object.values(OWN_FIELDS).flat())];

/**
 * @param json the `transaction` member of a signing request. `to` is an address with checksum, or null for a contract
 * creation; numbers are decimal strings, `0x` strings or safe integers; `type` is inferred where it is left out
 * @throws {GatewayError} `unknown-field`, `missing-field`, `invalid-field`, `conflicting-fields`, `invalid-number`,
 * `number-too-large`, `invalid-data`, `invalid-address`, `address-checksum`, `nonce-too-large`, `chain-id-zero`,
 * `no-blobs`, `unknown-blob-version`, `no-authorizations`, `invalid-signature`
 */
export function parseFields(json: unknown): PartialTransaction {
  const fields = parseShape(json);
  const type = typeOf(fields);
  for (const name of EXTRA_FIELDS) {
    if (fields[name] === undefined || (OWN_FIELDS[type] as readonly string[]).includes(name)) continue;
    throw new GatewayError("conflicting-fields", `expected no \`${name}\` in a transaction of type \`${type}\``, {
      facts: { field: name, type },
    });
  }
  return {
    type,
    to: fields.to === null ? undefined : parseAddress(fields.to),
    value: parseQuantity(fields.value, "value", 256),
    data: parseData(fields.data ?? "0x", "data"),
    accessList: (fields.accessList ?? []).map(parseAccess),
    blobVersionedHashes: parseBlobHashes(fields, type),
    authorizationList: parseAuthorizations(fields, type),
    ...parseFilling(fields),
  };
}

/**
 * @param filled the chain of the key, and what is to stand where the caller wrote nothing
 * @throws {GatewayError} `wrong-chain`; `missing-field` with `facts.fields`: all that neither caller nor filling gave;
 * `number-too-large` and `nonce-too-large` for a filling that no field can hold
 */
export function completeTransaction(
  partial: PartialTransaction,
  filled: Filling & { chainId: bigint },
): EvmTransaction {
  if (partial.chainId !== undefined && partial.chainId !== filled.chainId) {
    throw new GatewayError("wrong-chain", `expected chain id ${filled.chainId}, found ${partial.chainId}`, {
      facts: { expected: filled.chainId, found: partial.chainId },
    });
  }
  const values: Filling = { ...filled, ...partial };
  const missing = (["nonce", "gas", ...pricesOf(partial.type)] as const).filter((name) => values[name] === undefined);
  if (missing.length > 0) {
    throw new GatewayError(
      "missing-field",
      `expected ${missing.map((name) => `\`${name}\``).join(", ")}, found nothing`,
      {
        facts: { fields: missing },
        hint: "write the fields in the request, or let the gateway reach a chain node that fills them",
      },
    );
  }
  for (const name of Object.keys(FILLING_BITS) as (keyof Filling)[]) checkWidth(values[name], name);
  checkNonce(values.nonce!);
  return assemble(partial, values as Required<Filling>);
}

/** Whether the highest fee is known only when what was left out is filled: whoever approves, approves up to a cap. */
export const leavesFeeOpen = (partial: PartialTransaction): boolean =>
  (["gas", ...pricesOf(partial.type)] as const).some((name) => partial[name] === undefined);

/** What is filled in comes from untrusted help: a node behind the edge. */
function checkWidth(value: bigint | undefined, name: keyof Filling): void {
  if (value !== undefined && value >> BigInt(FILLING_BITS[name]) !== 0n) throw tooLarge(name, FILLING_BITS[name]);
}

function assemble(partial: PartialTransaction, values: Required<Filling>): EvmTransaction {
  const { to, value, data, accessList } = partial;
  const common = { chainId: values.chainId, nonce: values.nonce, gasLimit: values.gas, to, value, data };
  switch (partial.type) {
    case "legacy":
      return { type: "legacy", ...common, gasPrice: values.gasPrice };
    case "eip2930":
      return { type: "eip2930", ...common, gasPrice: values.gasPrice, accessList };
    case "eip1559":
      return { type: "eip1559", ...common, ...feesOf(values), accessList };
    case "eip4844": {
      const { maxFeePerBlobGas } = values;
      const { blobVersionedHashes } = partial;
      return {
        type: "eip4844",
        ...common,
        to: required(to),
        ...feesOf(values),
        accessList,
        maxFeePerBlobGas,
        blobVersionedHashes,
      };
    }
    case "eip7702": {
      const { authorizationList } = partial;
      return { type: "eip7702", ...common, to: required(to), ...feesOf(values), accessList, authorizationList };
    }
    default:
      return partial.type satisfies never;
  }
}

const feesOf = ({ maxFeePerGas, maxPriorityFeePerGas }: Required<Filling>) => ({ maxFeePerGas, maxPriorityFeePerGas });

/** EIP-4844 and EIP-7702: these types create no contracts. */
function required(to: string | undefined): string {
  if (to !== undefined) return to;
  throw new GatewayError("missing-field", "expected an address in `to`, found null", { facts: { fields: ["to"] } });
}

const isPrice = (name: string): name is Exclude<keyof Filling, "chainId" | "nonce" | "gas"> => name in FILLING_BITS;
export const pricesOf = (type: EvmTransactionType) => OWN_FIELDS[type].filter(isPrice);

/** Enough to mend a mistake; a refusal is kept for ever, so it does not grow with what was sent. */
const UNKNOWN_FIELDS_NAMED = 10;

function parseShape(json: unknown): Fields {
  const parsed = Fields.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const path = issue.path.join(".");
  if (issue.code === "unrecognized_keys") {
    const fields = issue.keys.slice(0, UNKNOWN_FIELDS_NAMED).map((key) => key.slice(0, 80));
    throw new GatewayError(
      "unknown-field",
      `expected only fields of a transaction, found ${fields.map(quoted).join(", ")}`,
      {
        facts: { fields },
      },
    );
  }
  const given = typeof json === "object" && json !== null;
  if (given && issue.path.length === 1 && !(path in json)) {
    throw new GatewayError("missing-field", `expected \`${path}\`, found nothing`, {
      facts: { fields: [path] },
      ...(path === "to" ? { hint: "write `null` to create a contract" } : {}),
    });
  }
  throw new GatewayError("invalid-field", `expected ${quoted(path || "transaction")} in its documented form`, {
    facts: { field: path, detail: issue.message },
  });
}

/** EIP-1559 unless the fields say otherwise: the dearer mistake would be a legacy transaction nobody asked for. */
function typeOf(fields: Fields): EvmTransactionType {
  if (fields.type !== undefined) return TYPES[fields.type];
  if (fields.authorizationList !== undefined) return "eip7702";
  if (fields.blobVersionedHashes !== undefined) return "eip4844";
  if (fields.gasPrice === undefined) return "eip1559";
  return fields.accessList === undefined ? "legacy" : "eip2930";
}

/** The widths are those of the encoded fields. */
const FILLING_BITS = {
  chainId: 64,
  nonce: 64,
  gas: 64,
  gasPrice: 256,
  maxFeePerGas: 256,
  maxPriorityFeePerGas: 256,
  maxFeePerBlobGas: 256,
} as const satisfies Record<keyof Filling, number>;

function parseFilling(fields: Fields): Filling {
  const filling: { -readonly [K in keyof Filling]: Filling[K] } = {};
  for (const [name, bits] of Object.entries(FILLING_BITS) as [keyof Filling, number][]) {
    const written = fields[name];
    if (written !== undefined) filling[name] = parseQuantity(written, name, bits);
  }
  if (filling.chainId !== undefined) checkChainId(filling.chainId);
  if (filling.nonce !== undefined) checkNonce(filling.nonce);
  return filling;
}

/** 2^256 has 78 decimal digits, and 64 of hex behind `0x`: longer texts are refused before they are parsed. */
const MAX_QUANTITY_LENGTH = 78;
const QUANTITY = /^(?:0|[1-9][0-9]*|0x(?:0|[1-9a-fA-F][0-9a-fA-F]*))$/;

function parseQuantity(written: string | number, name: string, bits: number): bigint {
  if (typeof written === "number" ? !Number.isSafeInteger(written) || written < 0 : !isQuantity(written, name)) {
    throw new GatewayError("invalid-number", `expected \`${name}\` as a whole number, found ${quoted(written)}`, {
      facts: { field: name },
      hint: "write decimal digits, or `0x` and hex digits, without leading zeros; a JSON number only up to 2^53 − 1",
    });
  }
  const value = BigInt(written);
  if (value >> BigInt(bits) !== 0n) throw tooLarge(name, bits);
  return value;
}

function isQuantity(text: string, name: string): boolean {
  if (text.length > MAX_QUANTITY_LENGTH) throw tooLarge(name, 256);
  return QUANTITY.test(text);
}

const tooLarge = (name: string, bits: number) =>
  new GatewayError("number-too-large", `expected \`${name}\` to have at most ${bits} bits`, { facts: { field: name } });

const DATA = /^0x(?:[0-9a-fA-F]{2})*$/;

function parseData(text: string, name: string): Uint8Array {
  if (DATA.test(text)) return hexToBytes(text.slice(2));
  throw new GatewayError(
    "invalid-data",
    `expected \`${name}\` as \`0x\` and pairs of hex digits, found ${quoted(text)}`,
    {
      facts: { field: name },
    },
  );
}

function parseAccess({ address, storageKeys }: NonNullable<Fields["accessList"]>[number]): AccessList[number] {
  return { address: parseAddress(address), storageKeys: storageKeys.map((key) => parseBytes32(key, "accessList")) };
}

function parseBlobHashes({ blobVersionedHashes = [] }: Fields, type: EvmTransactionType): readonly string[] {
  const hashes = blobVersionedHashes.map((hash) => parseBytes32(hash, "blobVersionedHashes"));
  return type === "eip4844" ? checkBlobHashes(hashes) : hashes;
}

function parseAuthorizations(
  { authorizationList = [] }: Fields,
  type: EvmTransactionType,
): readonly SignedAuthorization[] {
  const list = authorizationList.map(parseAuthorization);
  return type === "eip7702" ? checkAuthorizations(list) : list;
}

/**
 * @param json of an EIP-7702 authorization to sign
 * @throws {GatewayError} `invalid-number`, `number-too-large`, `nonce-too-large`, `invalid-address`, `address-checksum`
 */
export const parseUnsignedAuthorization = (json: AuthorizationFields): Authorization => ({
  chainId: parseQuantity(json.chainId, "chainId", 256),
  address: parseAddress(json.address),
  nonce: checkNonce(parseQuantity(json.nonce, "nonce", 64)),
});
type AuthorizationFields = Pick<NonNullable<Fields["authorizationList"]>[number], "chainId" | "address" | "nonce">;

function parseAuthorization(json: NonNullable<Fields["authorizationList"]>[number]): SignedAuthorization {
  const [r32, s32] = [parseScalar(json.r), parseScalar(json.s)];
  checkScalars(scalarOf(r32, "r"), scalarOf(s32, "s"));
  return {
    ...parseUnsignedAuthorization(json),
    yParity: parityOf(parseQuantity(json.yParity, "yParity", 8)),
    r32,
    s32,
  };
}

const parseScalar = (text: string) => hexToBytes(parseBytes32(text, "authorizationList").slice(2));

function parseBytes32(text: string, name: string): string {
  if (/^0x[0-9a-fA-F]{64}$/.test(text)) return text.toLowerCase();
  throw new GatewayError("invalid-data", `expected 32 bytes in \`${name}\`, found ${quoted(text)}`, {
    facts: { field: name },
  });
}
