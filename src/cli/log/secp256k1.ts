import { createRequire } from "node:module";
import { secp256k1 } from "@noble/curves/secp256k1.js";

type EcdsaVerify = (signature64: Uint8Array, digest32: Uint8Array, publicKey: Uint8Array) => boolean;

/** Only low-s, as libsecp256k1: a released signature has no other form. */
const slowly: EcdsaVerify = (signature64, digest32, publicKey) =>
  secp256k1.verify(signature64, digest32, publicKey, { prehash: false, lowS: true });

/** libsecp256k1's addon where it is installed; the one-file program has none, and takes twenty times as long. */
function load(): EcdsaVerify {
  try {
    return (createRequire(import.meta.url)("secp256k1/bindings") as typeof import("secp256k1")).ecdsaVerify;
  } catch {
    return slowly;
  }
}

/** @throws where key or signature is none */
export const ecdsaVerify = load();
