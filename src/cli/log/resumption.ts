import { createHash } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { GatewayError } from "../../domain/errors.ts";

/** So far the lines were read, and every signature of callers and keys in them verified. */
const Progress = z.strictObject({
  // Another number when the checker asks more of a signature: what an older one was content with is checked again.
  format: z.literal("portcullis/log-verified/v1"),
  lines: z.int().positive(),
  leaves: z.int().nonnegative(),
  /** SHA-256 of these lines, each with its end: evidence stands beside the leaves, so that their tree does not cover it. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

type Progress = z.infer<typeof Progress>;

/** Some 20 ms of verification. */
const LINES_PER_SAVE = 250;

/** What a resumption must know of the check that it belongs to. */
export type Checked = { readonly leaves: number; readonly signaturesHold: boolean };

/**
 * Which signatures an interrupted check had verified already, in a file beside the export. The file holds no verdict and
 * no state: the tree, the chains, the policies and the windows are made again from the first leaf on, and only signatures
 * that were found good in exactly the same lines are left out. A line with a bad one is never passed.
 */
export class Resumption {
  readonly #path: string;
  readonly #before: Progress | undefined;
  readonly #hash = createHash("sha256");
  #lines = 0;

  /** @throws {GatewayError} `malformed-resume` */
  constructor(path: string) {
    this.#path = path;
    this.#before = existsSync(path) ? parse(path) : undefined;
  }

  /** Of so many leaves the signatures were verified, if the lines turn out to be the same. */
  get leaves(): number {
    return this.#before?.leaves ?? 0;
  }

  /**
   * After each line.
   * @throws {GatewayError} `resume-differs`
   */
  take(line: string, checked: Checked): void {
    this.#hash.update(line).update("\n");
    this.#lines += 1;
    const known = this.#before?.lines ?? 0;
    if (this.#lines === known) this.#requireSame(checked.leaves);
    if (this.#lines > known && this.#lines % LINES_PER_SAVE === 0) this.#save(checked);
  }

  /**
   * After the last line. The file stays: an export that is continued is verified from here on.
   * @throws {GatewayError} `resume-differs`
   */
  finish(checked: Checked): void {
    if (this.#lines < (this.#before?.lines ?? 0)) throw this.#differs();
    this.#save(checked);
  }

  #requireSame(leaves: number): void {
    if (this.#before?.sha256 !== this.#digest() || this.#before.leaves !== leaves) throw this.#differs();
  }

  #differs(): GatewayError {
    return new GatewayError(
      "resume-differs",
      `expected the export that \`${this.#path}\` was written for, found another one`,
      { hint: "keep both for whoever looks into it, and remove the file to verify from the beginning" },
    );
  }

  #save({ leaves, signaturesHold }: Checked): void {
    if (!signaturesHold || this.#lines === 0) return;
    const progress: Progress = {
      format: "portcullis/log-verified/v1",
      lines: this.#lines,
      leaves,
      sha256: this.#digest(),
    };
    const next = `${this.#path}.next`;
    writeFileSync(next, `${JSON.stringify(progress)}\n`, { mode: 0o600 });
    renameSync(next, this.#path);
  }

  #digest(): string {
    return this.#hash.copy().digest("hex");
  }
}

function parse(path: string): Progress {
  try {
    return Progress.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch {
    throw new GatewayError("malformed-resume", `expected what an interrupted \`log verify\` left in \`${path}\``, {
      hint: "remove it to verify from the beginning",
    });
  }
}
