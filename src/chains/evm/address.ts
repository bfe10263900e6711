import { keccak_256 } from "@noble/hashes/sha3.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { evmChain, type Account } from "../../domain/chain.ts";
import { GatewayError, quoted } from "../../domain/errors.ts";

export const ADDRESS_BYTES = 20;

/** A hash for each address would be the dearest part of decoding; the addresses of one gateway repeat all day. */
const MAX_CACHED = 8192;
const checksummed = new Map<string, string>();

/**
 * @param address 20 bytes, or `0x` and 40 hex digits in any case
 * @returns the EIP-55 spelling, the only one inside Portcullis
 * @throws {GatewayError} `invalid-address`
 */
export function checksumAddress(address: string | Uint8Array): string {
  const digits = typeof address === "string" ? digitsOf(address) : bytesToHex(address);
  const known = checksummed.get(digits);
  if (known !== undefined) return known;
  if (digits.length !== 2 * ADDRESS_BYTES) throw invalidAddress(address);
  const made = checksumOf(digits);
  // The oldest goes: whoever sends a thousand new addresses costs the others one hash each, and no memory.
  if (checksummed.size >= MAX_CACHED) checksummed.delete(checksummed.keys().next().value!);
  checksummed.set(digits, made);
  return made;
}

/**
 * Reads an address that a person or a program wrote.
 * @param text `0x` and 40 hex digits with a valid EIP-55 checksum; without one a slip of the finger is another address
 * @throws {GatewayError} `invalid-address`; `address-checksum` with the right spelling as hint
 */
export function parseAddress(text: string): string {
  const right = checksumAddress(text);
  if (right === text) return right;
  throw new GatewayError("address-checksum", `expected an address with its EIP-55 checksum, found ${quoted(text)}`, {
    facts: { address: text },
    hint: `if every digit is as it was meant, the spelling is ${right}`,
  });
}

/**
 * @param publicKey SEC 1 uncompressed, 65 bytes, the first is 4
 * @throws {GatewayError} `invalid-public-key`
 * Source: Yellow Paper, appendix F: the last 20 bytes of the Keccak of x ‖ y.
 */
export function addressOfPublicKey(publicKey: Uint8Array): string {
  if (publicKey.length !== 65 || publicKey[0] !== 4) {
    throw new GatewayError("invalid-public-key", "expected an uncompressed public key of 65 bytes beginning with 4");
  }
  return checksumAddress(keccak_256(publicKey.subarray(1)).subarray(-ADDRESS_BYTES));
}

/** CAIP-10 with the checksum. */
export const evmAccount = (chainId: bigint | number, address: string | Uint8Array): Account =>
  `${evmChain(chainId)}:${checksumAddress(address)}` as Account;

const HEX_ADDRESS = /^0x[0-9a-fA-F]{40}$/;

function digitsOf(text: string): string {
  if (!HEX_ADDRESS.test(text)) throw invalidAddress(text);
  return text.slice(2).toLowerCase();
}

/** EIP-55: a letter is upper case where the hash of the lower-case digits has a digit of 8 or more. */
function checksumOf(digits: string): string {
  const hash = keccak_256(new TextEncoder().encode(digits));
  let text = "0x";
  for (let index = 0; index < digits.length; index++) {
    const nibble = (hash[index >> 1]! >> (index % 2 === 0 ? 4 : 0)) & 15;
    text += nibble >= 8 ? digits[index]!.toUpperCase() : digits[index]!;
  }
  return text;
}

const invalidAddress = (found: string | Uint8Array) =>
  new GatewayError(
    "invalid-address",
    `expected \`0x\` and 40 hex digits, found ${typeof found === "string" ? quoted(found) : `${found.length} bytes`}`,
  );
