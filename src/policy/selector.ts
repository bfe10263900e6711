import { keccak_256 } from "@noble/hashes/sha3.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";

/**
 * @param signature without blanks and names, such as `transfer(address,uint256)`
 * @returns `0x` and 8 hex digits
 * Source: Solidity ABI specification, "Function Selector".
 */
export const selectorOf = (signature: string): string =>
  `0x${bytesToHex(keccak_256(utf8ToBytes(signature)).subarray(0, 4))}`;
