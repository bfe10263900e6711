import { secp256k1 } from "@noble/curves/secp256k1.js";
import { z } from "zod";
import { addressOfPublicKey } from "../chains/evm/address.ts";
import { messageBytes, messageDigest } from "../chains/evm/message.ts";
import { addressOf } from "../domain/chain.ts";
import { readControlText, type ControlClaim } from "../domain/control.ts";
import { GatewayError } from "../domain/errors.ts";
import { openCheckpoint, parseCheckpoint } from "../tlog/checkpoint.ts";
import { parseNote, type NoteKey } from "../tlog/note.ts";

/*
 * A bundle of proofs of control, as it is handed to an auditor or published: verified with nothing but itself, and with
 * the log's public key where the reader wants to know that the checkpoint is one.
 */

/** What nobody signed is printed too: one line, so that it cannot look like another verdict. */
const Line = z.string().regex(/^[^\p{Cc}\u2028\u2029]{1,300}$/u, "expected one line without control characters");

export const ControlBundle = z.strictObject({
  kind: z.literal("portcullis/control-proof/v1"),
  challenge: z.string(),
  /** The log's newest checkpoint when the texts were made, as it was signed. */
  checkpoint: z.string(),
  proofs: z.array(
    z.strictObject({
      client: Line,
      key: Line,
      account: Line,
      text: z.string(),
      /** `0x` and 65 bytes; null while the client's policy waits for people. */
      signature: z
        .string()
        .regex(/^0x[0-9a-f]{130}$/)
        .nullable(),
      /** The signing request that it is in the log. */
      request: z.string().nullable(),
    }),
  ),
  /** Keys in scope that prove nothing here, and why. */
  notCovered: z.array(z.strictObject({ client: Line, key: Line, why: Line })),
});
export type ControlBundle = z.infer<typeof ControlBundle>;

export type ControlVerified = {
  readonly claims: readonly ControlClaim[];
  readonly checkpoint: { readonly origin: string; readonly size: number; readonly root: string };
  /** Whether the checkpoint's signature was verified, or believed. */
  readonly checkpointVerified: boolean;
};

/**
 * @param expected.challenge what the auditor asked with; left out, any
 * @param expected.log the log's key, from somewhere else than the bundle
 * @throws {GatewayError} `control-invalid` with the first thing that does not hold; `signature-invalid` and others of the checkpoint
 */
export function verifyControl(
  json: unknown,
  expected: { readonly challenge?: string | undefined; readonly log?: NoteKey | undefined } = {},
): ControlVerified {
  const parsed = ControlBundle.safeParse(json);
  if (!parsed.success) throw invalid(`expected a bundle of proofs of control: ${parsed.error.issues[0]!.message}`);
  const bundle = parsed.data;
  if (expected.challenge !== undefined && expected.challenge !== bundle.challenge)
    throw invalid(`expected the challenge \`${expected.challenge}\`, found another one`);
  if (bundle.proofs.length === 0) throw invalid("expected at least one proof, found none");
  const checkpoint = checkpointOf(bundle.checkpoint, expected.log);
  const claims = bundle.proofs.map((proof) => {
    const claim = claimOf(proof);
    if (claim.challenge !== bundle.challenge) throw invalid(`${claim.account} answers another challenge`);
    if (JSON.stringify(claim.checkpoint) !== JSON.stringify(checkpoint))
      throw invalid(`${claim.account} names another checkpoint`);
    return claim;
  });
  requireOneEach(claims);
  return { claims, checkpoint, checkpointVerified: expected.log !== undefined };
}

function checkpointOf(note: string, log: NoteKey | undefined): ControlVerified["checkpoint"] {
  const bytes = Buffer.from(note);
  const { origin, size, root } = log ? openCheckpoint(bytes, log) : parseCheckpoint(parseNote(bytes).text);
  return { origin, size, root: Buffer.from(root).toString("base64") };
}

function claimOf({ client, account, text, signature }: ControlBundle["proofs"][number]): ControlClaim {
  const claim = readControlText(text);
  if (!claim) throw invalid(`the text of ${account} is no proof of control`);
  if (claim.account !== account || claim.client !== client)
    throw invalid(`expected a proof of ${account} for client \`${client}\`, found one of ${claim.account}`);
  if (signature === null) throw invalid(`${account} is not signed yet`);
  const signer = signerOf(text, signature);
  if (signer !== addressOf(claim.account as never))
    throw invalid(`the signature of ${account} is not one of its key over this text`);
  return claim;
}

/** EIP-191: the address whose key made this signature over this text; undefined where none can have. */
function signerOf(text: string, signature: string): string | undefined {
  const [scalars, v] = [Buffer.from(signature.slice(2, 130), "hex"), parseInt(signature.slice(130), 16)];
  if (v !== 27 && v !== 28) return undefined;
  try {
    const point = secp256k1.Signature.fromBytes(scalars, "compact")
      .addRecoveryBit(v - 27)
      .recoverPublicKey(messageDigest(messageBytes(text)));
    return addressOfPublicKey(point.toBytes(false));
  } catch {
    return undefined; // no scalars, no point: nobody's signature
  }
}

/** An account proven twice would look like two; two blocks of one chain, like two moments. */
function requireOneEach(claims: readonly ControlClaim[]): void {
  const accounts = new Set<string>();
  const blocks = new Map<string, string>();
  for (const { account, block } of claims) {
    if (accounts.has(account)) throw invalid(`expected ${account} once, found it twice`);
    accounts.add(account);
    const chain = account.slice(0, account.lastIndexOf(":"));
    const known = blocks.get(chain) ?? block.hash;
    if (known !== block.hash) throw invalid(`expected one block of ${chain}, found two`);
    blocks.set(chain, known);
  }
}

const invalid = (message: string): GatewayError => new GatewayError("control-invalid", message);
