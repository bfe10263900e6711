import { createPublicKey } from "node:crypto";
import { parsePersonKey } from "../domain/person-key.ts";

/** Whether some key can be meant by it: in the one spelling of its kind, and, of a curve of points, one that lies on it. */
export function isPublicKey(text: string): boolean {
  const key = parsePersonKey(text);
  if (!key) return false;
  if (key.kind === "ed25519") return true;
  const point65 = key.kind === "ssh" ? key.key.raw : key.point65;
  return point65.length === 32 || isOnP256(point65);
}

function isOnP256(point65: Uint8Array): boolean {
  const [x, y] = [point65.subarray(1, 33), point65.subarray(33)].map((half) => Buffer.from(half).toString("base64url"));
  try {
    createPublicKey({ key: { kty: "EC", crv: "P-256", x: x!, y: y! }, format: "jwk" });
    return true;
  } catch {
    return false;
  }
}
