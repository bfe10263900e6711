import {
  Composer,
  Lexer,
  LineCounter,
  Parser,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type CST,
  type Document,
  type DocumentOptions,
  type Node,
  type ParseOptions,
  type SchemaOptions,
  type YAMLMap,
} from "yaml";
import { quoted } from "../domain/errors.ts";
import { invalid, type DocumentPath, type Finding } from "./finding.ts";

/** A book of 10,000 addresses is 800 KiB. */
const MAX_BYTES = 1024 * 1024;
/** The deepest document that the schemas admit has 9 levels. */
const MAX_DEPTH = 16;
/** A level of nesting is at most two tokens that are still open: a list and the map in it. */
const MAX_OPEN_TOKENS = 2 * MAX_DEPTH + 2;
/** Names that mean something to JavaScript itself; no document needs them. */
const FORBIDDEN_KEYS = new Set(["__proto__", "constructor", "prototype"]);
/**
 * Control, bidi and zero-width characters make a file read as something that it is not (CVE-2021-42574); so do letters
 * that are blank, and a carriage return alone: editors begin a line there, YAML goes on with the comment.
 */
const INVISIBLE = /(?![\t\n\r])[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029\u115f\u1160\u3164\uffa0]|\r(?!\n)/u;

export type YamlValue = string | YamlValue[] | { [key: string]: YamlValue };

/** A file that was read as plain text, lists and maps, with the place of each value for messages. */
export type SourceFile = {
  readonly path: string;
  readonly value: YamlValue;
  /** Where the value at this path stands, or the nearest one around it. */
  readonly locate: (path: DocumentPath, part?: "key" | "value") => { readonly line: number; readonly column: number };
};

export type ReadResult = { readonly source?: SourceFile; readonly findings: readonly Finding[] };

/**
 * Reads YAML 1.2 with the failsafe schema: text, lists and maps with unique text keys, and nothing else.
 * Anchors, aliases, merge keys and tags are refused: a policy says what it says, in one place.
 */
export function readYaml(path: string, text: string): ReadResult {
  const refused = refuseText(path, text);
  if (refused) return { findings: [refused] };
  const lines = new LineCounter();
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const documents = compose(text, lines);
  if (!documents) return { findings: [invalid(path, START, TOO_DEEP)] };
  const [document, second] = documents;
  if (second)
    return { findings: [invalid(path, at(second.range[0]), "expected one document, found another after `---`")] };
  if (!document) return { findings: [invalid(path, START, "expected a document, found an empty file")] };
  // A directive that is warned of is something that we did not understand.
  const problems = [...document.errors, ...document.warnings];
  const findings = problems.map(({ pos, message }) => invalid(path, at(pos[0]), yamlMessage(message)));
  const value = new PlainReader(path, at, findings).read(document.contents, 0);
  if (findings.length > 0 || value === undefined) return { findings };
  const places = new Places(document);
  return { source: { path, value, locate: (where, part) => at(places.offsetOf(where, part ?? "value")) }, findings };
}

const OPTIONS: DocumentOptions & SchemaOptions & ParseOptions = {
  version: "1.2",
  schema: "failsafe",
  merge: false,
  // Our own check: the library's compares every key with every other.
  uniqueKeys: false,
  strict: true,
};

/**
 * As the library's `parseDocument`, but the depth is watched while the tokens are read, which takes no recursion;
 * composing them does, and a megabyte of `[` would take it seconds to fail.
 * @returns undefined if the text is nested too deeply
 */
function compose(text: string, lines: LineCounter): Document.Parsed[] | undefined {
  lines.addNewLine(0);
  const parser = new Parser(lines.addNewLine);
  const tokens: CST.Token[] = [];
  for (const lexeme of new Lexer().lex(text)) {
    tokens.push(...parser.next(lexeme));
    if (parser.stack.length > MAX_OPEN_TOKENS) return undefined;
  }
  tokens.push(...parser.end());
  return [...new Composer({ ...OPTIONS, lineCounter: lines }).compose(tokens, true, text.length)] as Document.Parsed[];
}

const START = { line: 1, column: 1 };
const TOO_DEEP = `expected at most ${MAX_DEPTH} levels, found more`;

function refuseText(path: string, text: string): Finding | undefined {
  if (text.length > MAX_BYTES) {
    const hint = "split the address book into several files";
    return invalid(path, START, `expected at most ${MAX_BYTES} characters, found ${text.length}`, hint);
  }
  const index = text.search(INVISIBLE);
  if (index === -1) return undefined;
  const before = text.slice(0, index).split("\n");
  const at = { line: before.length, column: before.at(-1)!.length + 1 };
  return invalid(
    path,
    at,
    `expected visible characters, found ${quoted(String.fromCodePoint(text.codePointAt(index)!))}`,
    "remove the character; it hides what the file says",
  );
}

function yamlMessage(message: string): string {
  const first = message.split("\n")[0]!;
  return `expected YAML, found a mistake: ${first.charAt(0).toLowerCase()}${first.slice(1)}`;
}

/** Turns the library's nodes into plain values and refuses everything that is not plain. */
class PlainReader {
  readonly #path: string;
  readonly #at: (offset: number) => { line: number; column: number };
  readonly #findings: Finding[];

  constructor(path: string, at: (offset: number) => { line: number; column: number }, findings: Finding[]) {
    this.#path = path;
    this.#at = at;
    this.#findings = findings;
  }

  read(node: unknown, depth: number): YamlValue | undefined {
    if (node === null || node === undefined) return this.#refuse(undefined, "expected a document, found an empty file");
    const parsed = node as Node;
    if (isAlias(parsed))
      return this.#refuse(parsed, `expected a value, found the alias \`*${parsed.source}\``, "write the value out");
    if ("anchor" in parsed && parsed.anchor)
      return this.#refuse(
        parsed,
        `expected a value, found the anchor \`&${parsed.anchor}\``,
        "write the value out where it is needed",
      );
    if (parsed.tag)
      return this.#refuse(parsed, `expected a value, found the tag ${quoted(parsed.tag)}`, "remove the tag");
    if (depth > MAX_DEPTH) return this.#refuse(parsed, TOO_DEEP);
    if (isMap(parsed)) return this.#map(parsed, depth);
    if (isSeq(parsed)) return parsed.items.map((item) => this.read(item, depth + 1) ?? "");
    if (isScalar(parsed) && typeof parsed.value === "string") return parsed.value;
    return this.#refuse(parsed, "expected text, a list or a map");
  }

  #map(map: YAMLMap, depth: number): YamlValue {
    const value: { [key: string]: YamlValue } = {};
    const seen = new Set<string>();
    for (const pair of map.items) {
      const key = this.read(pair.key, depth + 1);
      if (typeof key !== "string") {
        if (key !== undefined) this.#refuse(pair.key as Node, "expected a text as key");
        continue;
      }
      if (FORBIDDEN_KEYS.has(key) || key === "<<")
        this.#refuse(
          pair.key as Node,
          `expected another key than ${quoted(key)}`,
          "merge keys and JavaScript's own names are not part of the format",
        );
      else if (seen.has(key))
        this.#refuse(pair.key as Node, `expected each key once, found ${quoted(key)} again`, "remove one of the two");
      else value[key] = this.#valueOf(pair.value, pair.key as Node, depth) ?? "";
      seen.add(key);
    }
    return value;
  }

  #valueOf(node: unknown, key: Node, depth: number): YamlValue | undefined {
    // The failsafe schema reads nothing at all as an empty text.
    const absent =
      node === null || node === undefined || (isScalar(node) && node.value === "" && node.type === "PLAIN");
    return absent ? this.#refuse(key, "expected a value after the key, found none") : this.read(node, depth + 1);
  }

  #refuse(node: Node | undefined, message: string, hint?: string): undefined {
    const where = this.#at(node?.range?.[0] ?? 0);
    this.#findings.push(invalid(this.#path, where, message, hint));
    return undefined;
  }
}

/** Finds where values stand. A map's keys are indexed at the first question: a hostile file asks as often as it has keys. */
class Places {
  readonly #document: Document.Parsed;
  readonly #indexes = new Map<YAMLMap, ReadonlyMap<unknown, Place>>();

  constructor(document: Document.Parsed) {
    this.#document = document;
  }

  offsetOf(path: DocumentPath, part: "key" | "value"): number {
    let node: unknown = this.#document.contents;
    let offset = this.#document.contents?.range?.[0] ?? 0;
    for (const [index, step] of path.entries()) {
      const found = this.#child(node, step);
      if (!found) return offset;
      const wantsKey = part === "key" && index === path.length - 1;
      offset = (wantsKey ? found.key : found.value)?.range?.[0] ?? offset;
      node = found.value;
    }
    return offset;
  }

  #child(node: unknown, step: string | number): Place | undefined {
    if (isSeq(node)) {
      const value = node.items[Number(step)] as Node | undefined;
      return value && { key: value, value };
    }
    return isMap(node) ? this.#indexOf(node).get(step) : undefined;
  }

  #indexOf(map: YAMLMap): ReadonlyMap<unknown, Place> {
    let index = this.#indexes.get(map);
    if (index) return index;
    const places = map.items.flatMap(({ key, value }) =>
      isScalar(key) ? [[key.value, { key, value: (value ?? key) as Node }] as const] : [],
    );
    // Of a key that is there twice the first is meant.
    this.#indexes.set(map, (index = new Map(places.toReversed())));
    return index;
  }
}

type Place = { readonly key: Node; readonly value: Node };
