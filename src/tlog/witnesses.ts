import { GatewayError, quoted } from "../domain/errors.ts";
import { parseVkey, type NoteKey } from "./note.ts";

/*
 * C2SP tlog-policy: which witnesses' cosignatures make a checkpoint worth believing. The file is `witnesses.txt` here,
 * since a policy is something else.
 */

export type Witnesses = {
  readonly logs: readonly { readonly key: NoteKey; readonly url?: string }[];
  readonly witnesses: readonly { readonly name: string; readonly key: NoteKey; readonly url?: string }[];
  /** Whether cosignatures of these keys are enough. */
  readonly isQuorum: (cosigned: ReadonlySet<NoteKey>) => boolean;
};

type IsWitnessed = (cosigned: ReadonlySet<NoteKey>) => boolean;

/** What was read so far: a line may name only what stands above it, so that groups cannot go in circles. */
type Read = {
  readonly logs: Witnesses["logs"][number][];
  readonly witnesses: Witnesses["witnesses"][number][];
  readonly names: Map<string, IsWitnessed>;
  readonly members: Set<string>;
  quorum: IsWitnessed | undefined;
};

const LINES_MAX = 1000;

/**
 * @param file as octets: names are compared byte for byte, whatever their encoding
 * @throws {GatewayError} `witnesses-invalid`, naming the line
 */
export function parseWitnesses(file: Uint8Array): Witnesses {
  const lines = Buffer.from(file).toString("latin1").split("\n");
  const read: Read = { logs: [], witnesses: [], names: new Map(), members: new Set(), quorum: undefined };
  if (lines.length > LINES_MAX) throw invalid(LINES_MAX, `up to ${LINES_MAX} lines`);
  for (const [number, line] of lines.entries()) {
    if (/[\x00-\x08\x0a-\x1f\x7f]/.test(line)) throw invalid(number, "no control characters but tabs");
    const words = line.split(/[ \t]+/).filter((word) => word !== "");
    if (words.length > 0 && !words[0]!.startsWith("#")) readLine(read, words, number);
  }
  if (!read.quorum) throw invalid(lines.length - 1, "a `quorum` line");
  return { logs: read.logs, witnesses: read.witnesses, isQuorum: read.quorum };
}

const invalid = (line: number, expected: string) =>
  new GatewayError("witnesses-invalid", `line ${line + 1}: expected ${expected}`, { facts: { line: line + 1 } });

function readLine(read: Read, [word, ...rest]: string[], line: number): void {
  switch (word) {
    case "log":
      return readLog(read, rest, line);
    case "witness":
      return readWitness(read, rest, line);
    case "group":
      return readGroup(read, rest, line);
    case "quorum":
      return readQuorum(read, rest, line);
    default:
      throw invalid(line, `\`log\`, \`witness\`, \`group\` or \`quorum\`, found ${quoted(word)}`);
  }
}

function readLog({ logs }: Read, [vkey, url, ...rest]: string[], line: number): void {
  if (vkey === undefined || rest.length > 0) throw invalid(line, "`log <vkey> [<url>]`");
  logs.push({ key: readKey(logs, vkey, "ed25519", line), ...(url === undefined ? {} : { url }) });
}

function readWitness(read: Read, [name, vkey, url, ...rest]: string[], line: number): void {
  if (name === undefined || vkey === undefined || rest.length > 0)
    throw invalid(line, "`witness <name> <vkey> [<url>]`");
  const key = readKey(read.witnesses, vkey, "cosignature/v1", line);
  define(read, name, (cosigned) => cosigned.has(key), line);
  read.witnesses.push({ name, key, ...(url === undefined ? {} : { url }) });
}

function readKey(known: readonly { key: NoteKey }[], vkey: string, type: NoteKey["type"], line: number): NoteKey {
  const key = parseVkey(Buffer.from(vkey, "latin1").toString("utf8"));
  if (key.type !== type) throw invalid(line, `a key of type ${type}, found one of type ${key.type}`);
  if (known.some((other) => Buffer.compare(other.key.publicKey, key.publicKey) === 0))
    throw invalid(line, "each public key once");
  return key;
}

function readGroup(read: Read, [name, threshold, ...members]: string[], line: number): void {
  if (name === undefined || threshold === undefined || members.length === 0)
    throw invalid(line, "`group <name> all|any|<number> <name>…`");
  const needed = threshold === "all" ? members.length : threshold === "any" ? 1 : numberIn(threshold);
  if (!(needed >= 1 && needed <= members.length)) throw invalid(line, `a threshold from 1 to ${members.length}`);
  const parts = members.map((member) => {
    const part = read.names.get(member);
    if (!part) throw invalid(line, `a name that is defined above, found ${quoted(member)}`);
    // Each witness contributes in one way only, or one cosignature would count twice.
    if (read.members.has(member)) throw invalid(line, `each name in one group, found ${quoted(member)} again`);
    read.members.add(member);
    return part;
  });
  define(read, name, (cosigned) => parts.filter((part) => part(cosigned)).length >= needed, line);
}

const numberIn = (text: string): number => (/^[1-9][0-9]{0,3}$/.test(text) ? Number(text) : NaN);

function define({ names }: Read, name: string, part: IsWitnessed, line: number): void {
  if (name === "none" || names.has(name)) throw invalid(line, `a new name, found ${quoted(name)}`);
  names.set(name, part);
}

function readQuorum(read: Read, [name, ...rest]: string[], line: number): void {
  const part = name === "none" ? () => true : read.names.get(name ?? "");
  if (read.quorum || !part || rest.length > 0) throw invalid(line, "one `quorum`, of a name that is defined above");
  read.quorum = part;
}
