import { GatewayError } from "../../domain/errors.ts";
import type { LogKeyName } from "../../vault/ports.ts";

/*
 * I18: which texts each key of the log token signs. `answers` and `statement` texts begin with their own type, and
 * checkpoints with the log's origin, which never begins with `portcullis/`: no text belongs to two keys, and none is a
 * key challenge, which is 32 bytes of hash without a line end.
 */

const TYPE_PREFIX = "portcullis/";

/** C2SP tlog-checkpoint: a unique identity of the log, a schema-less URL by custom; no white space, no plus sign. */
const ORIGIN = /^[!-*,-~]{1,200}$/;

/** Decimal size without leading zeros, below 2^63; root hash of 32 bytes in base64, without spare bits in its last letter. */
const CHECKPOINT_SIZE = /^(0|[1-9]\d{0,17})$/;
const CHECKPOINT_ROOT = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

/** @throws {GatewayError} `wrong-domain` if the log's name could be taken for the type of another text */
export function checkOrigin(origin: string): void {
  if (ORIGIN.test(origin) && !origin.startsWith(TYPE_PREFIX)) return;
  throw wrongDomain("checkpoint", `a log origin without white space that does not begin with \`${TYPE_PREFIX}\``);
}

/** @throws {GatewayError} `wrong-domain` if this key does not sign such texts */
export function checkLogText(name: LogKeyName, text: string, origin: string): void {
  // A lone surrogate has no UTF-8: two different strings would be signed as the same bytes.
  if (Buffer.from(text, "utf8").toString("utf8") !== text) throw wrongDomain(name, "well-formed Unicode");
  switch (name) {
    case "answers":
    case "statement":
      if (!text.startsWith(`${TYPE_PREFIX}${name}/v1\n`))
        throw wrongDomain(name, `\`${TYPE_PREFIX}${name}/v1\` and a line end`);
      return;
    case "checkpoint":
      return checkCheckpoint(text, origin);
    default:
      throw wrongDomain(name satisfies never, "a key of the log token");
  }
}

/** Three lines, each ended; extension lines, which C2SP permits, are never written here. */
function checkCheckpoint(text: string, origin: string): void {
  const [first, size, root, end, ...rest] = text.split("\n");
  const wellFormed = first === origin && CHECKPOINT_SIZE.test(size ?? "") && CHECKPOINT_ROOT.test(root ?? "");
  if (wellFormed && end === "" && rest.length === 0) return;
  throw wrongDomain("checkpoint", `\`${origin}\`, a tree size and a root hash, one on each line`);
}

const wrongDomain = (name: string, expected: string) =>
  new GatewayError("wrong-domain", `expected a text for the log key \`${name}\`: ${expected}`, {
    facts: { key: name },
  });
