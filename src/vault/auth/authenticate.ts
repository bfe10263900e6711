import { hash, timingSafeEqual, verify, type KeyObject } from "node:crypto";
import { promisify } from "node:util";
import { GatewayError } from "../../domain/errors.ts";
import {
  gatewayTag,
  parseSignature,
  parseSignatureInput,
  requestComponents,
  requestSignatureBase,
  splitTarget,
  type ParsedSignatureInput,
} from "../../domain/http-signature.ts";
import type { CallerName, ClientId, Role } from "../../domain/names.ts";
import type { RequestHead } from "../protocol.ts";
import { ed25519PublicKey, p256PublicKey } from "../verify.ts";

/** A caller whose signature over the raw bytes was verified here. */
export type Caller = { readonly name: CallerName; readonly role: Role; readonly of: ClientId };

/** A caller as its policy document declares it. */
export type DeclaredCaller = { readonly role: Role; readonly keys: readonly string[]; readonly of: ClientId };

export type ReceivedRequest = Pick<RequestHead, "method" | "target" | "headers" | "assist"> & {
  readonly body: Uint8Array;
};

/** How far a caller's clock may be from ours, seconds. */
const CREATED_WITHIN_S = 60;
const HINT = "docs/calling.md says what is signed; `portcullis proxy` signs for programs that cannot";

const refusal = (code: string, message: string, facts: Record<string, unknown> = {}) =>
  new GatewayError(code, message, { facts, hint: HINT });

/**
 * RFC 9421, the profile of DESIGN section 7: who sent this request, proven over method, path, query, body digest and
 * idempotency key. Nothing that the edge says takes part (I11).
 * @param declared the callers of the client that the path names, and of the house
 * @param nowMs wall time
 * @throws {GatewayError} `signature-missing`, `signature-malformed`, `signature-components`, `signature-algorithm`,
 * `wrong-gateway`, `signature-stale`, `digest-mismatch`, `unknown-caller`, `signature-invalid`
 */
export async function authenticate(
  request: ReceivedRequest,
  gateway: string,
  declared: (name: string) => DeclaredCaller | undefined,
  nowMs: number,
): Promise<Caller> {
  const { input, signature64 } = readSignature(request);
  checkParameters(input, gateway, nowMs);
  checkComponents(input, request);
  checkDigest(request);
  const caller = declared(input.parameters.keyid);
  if (!caller)
    throw refusal(
      "unknown-caller",
      `expected a caller that the policy of the path's client declares, found \`${input.parameters.keyid}\``,
    );
  const base = Buffer.from(requestSignatureBase(signedRequest(request), input.components, input.input));
  // Two keys may be valid at once, for rotation.
  const algorithm = input.parameters.alg as Algorithm; // checkParameters has seen to it
  if (!(await verifiesWithAny(caller.keys, algorithm, base, signature64))) {
    throw refusal("signature-invalid", `the signature is not one of \`${input.parameters.keyid}\` over these bytes`);
  }
  return { name: input.parameters.keyid as CallerName, role: caller.role, of: caller.of };
}

/** What stays beside the decision, so that an auditor can verify the caller's signature again. */
export const evidenceOf = (request: ReceivedRequest): Record<string, string> => ({
  // What the signature covers, by name: whatever else the edge calls a header has no place here.
  ...Object.fromEntries(
    EVIDENCE_HEADERS.flatMap((name) => {
      const value = request.headers[name];
      return value === undefined ? [] : [[name, value]];
    }),
  ),
  method: request.method,
  target: request.target,
  body: Buffer.from(request.body).toString("utf8"),
});

const EVIDENCE_HEADERS = ["content-digest", "idempotency-key", "signature-input", "signature"] as const;

function readSignature({ headers }: ReceivedRequest): { input: ParsedSignatureInput; signature64: Buffer } {
  const [inputHeader, signatureHeader] = [headers["signature-input"], headers["signature"]];
  if (inputHeader === undefined || signatureHeader === undefined) {
    throw refusal("signature-missing", "expected the headers `Signature-Input` and `Signature`, found none");
  }
  const input = parseSignatureInput(inputHeader);
  const signature = parseSignature(signatureHeader);
  if (!input || !signature || signature.label !== input.label) {
    throw refusal("signature-malformed", "expected one signature with the parameters created, keyid, alg and tag");
  }
  return { input, signature64: Buffer.from(signature.base64, "base64") };
}

function checkParameters({ parameters }: ParsedSignatureInput, gateway: string, nowMs: number): void {
  if (!isAlgorithm(parameters.alg)) {
    const known = Object.keys(KEYS_OF).map((alg) => `\`${alg}\``);
    throw refusal("signature-algorithm", `expected ${known.join(" or ")}, found \`${parameters.alg}\``);
  }
  if (parameters.tag !== gatewayTag(gateway)) {
    throw refusal("wrong-gateway", `expected the tag \`${gatewayTag(gateway)}\`, found \`${parameters.tag}\``);
  }
  const ageS = Math.floor(nowMs / 1000) - parameters.created;
  if (Math.abs(ageS) > CREATED_WITHIN_S) {
    throw refusal("signature-stale", `expected \`created\` within ${CREATED_WITHIN_S} s of now, found ${ageS} s ago`, {
      ageS,
    });
  }
}

function checkComponents({ components }: ParsedSignatureInput, { method, headers }: ReceivedRequest): void {
  const carriesKey = (method === "POST" || method === "PUT") && headers["idempotency-key"] !== undefined;
  const expected = requestComponents(carriesKey);
  if (components.length !== expected.length || expected.some((name) => !components.includes(name))) {
    throw refusal("signature-components", `expected exactly ${expected.join(", ")}, found ${components.join(", ")}`);
  }
}

function checkDigest({ headers, body }: ReceivedRequest): void {
  const expected = Buffer.from(`sha-256=:${hash("sha256", body, "base64")}:`);
  const found = Buffer.from(headers["content-digest"] ?? "");
  if (found.length !== expected.length || !timingSafeEqual(found, expected)) {
    throw refusal("digest-mismatch", "expected `Content-Digest` to be the SHA-256 of the body");
  }
}

const signedRequest = ({ method, target, headers }: ReceivedRequest) => ({
  method,
  ...splitTarget(target),
  contentDigest: headers["content-digest"]!,
  idempotencyKey: headers["idempotency-key"],
});

/** RFC 9421, section 3.3: a signature is verified with a key of its own algorithm and no other. */
const KEYS_OF = {
  ed25519: { prefix: "ed25519:", bytes: 32, hash: null, parse: ed25519PublicKey },
  "ecdsa-p256-sha256": { prefix: "ecdsa-p256:", bytes: 65, hash: "sha256", parse: p256PublicKey },
} as const;
type Algorithm = keyof typeof KEYS_OF;
const isAlgorithm = (alg: string): alg is Algorithm => Object.hasOwn(KEYS_OF, alg);

/** Parsed once: a caller's key is used on every request. Bounded by the callers that policies declare. */
const keyObjects = new Map<string, KeyObject>();

/** In libuv's pool: the thread that decides for everybody has better to do. */
const verifyInPool = promisify(
  (
    hash: "sha256" | null,
    base: Uint8Array,
    key: KeyObject,
    signature64: Uint8Array,
    done: (error: Error | null, holds: boolean) => void,
  ) => verify(hash, base, { key, dsaEncoding: "ieee-p1363" }, signature64, done),
);

async function verifiesWithAny(
  keys: readonly string[],
  algorithm: Algorithm,
  base: Uint8Array,
  signature64: Uint8Array,
): Promise<boolean> {
  for (const key of keys) {
    const keyObject = keyObjectOf(key, algorithm);
    if (keyObject && (await verifyInPool(KEYS_OF[algorithm].hash, base, keyObject, signature64))) return true;
  }
  return false;
}

function keyObjectOf(key: string, algorithm: Algorithm): KeyObject | undefined {
  const { prefix, bytes, parse } = KEYS_OF[algorithm];
  if (!key.startsWith(prefix)) return undefined; // of another algorithm, or one that signs approvals
  let keyObject = keyObjects.get(key);
  if (!keyObject) {
    const raw = Buffer.from(key.slice(prefix.length), "base64");
    if (raw.length !== bytes) return undefined;
    keyObjects.set(key, (keyObject = parse(raw)));
  }
  return keyObject;
}
