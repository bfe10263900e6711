import { GatewayError, quoted } from "./errors.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A string, which before a colon is a member's name and nothing else is; or a number, which no string can hide. */
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"([ \t\r\n]*:)?|-?[0-9][0-9.eE+-]*/g;

/**
 * Reads JSON that every reader reads the same. RFC 8259, section 4 leaves open which of two members of one name counts:
 * what a person's tool shows could be another payment than the one that is decided here. A member `__proto__` is one
 * that some readers drop. Section 6 leaves the precision of numbers open: only integers that a double holds exactly, in
 * their one spelling, are the same to all.
 * @throws {GatewayError} `invalid-body`
 */
export function parseJson(bytes: Uint8Array): unknown {
  return parseWith(bytes, requireExact);
}

/**
 * As above, but with numbers as this reader reads them: for what decides nothing but whom to ask.
 * @throws {GatewayError} `invalid-body`
 */
export function parseNamesOnce(bytes: Uint8Array): unknown {
  return parseWith(bytes, () => undefined);
}

function parseWith(bytes: Uint8Array, checkNumber: (token: string) => void): unknown {
  const [text, value] = parse(bytes);
  if (namesIn(text, checkNumber) !== membersOf(value))
    throw new GatewayError("invalid-body", "expected each name once in an object");
  return value;
}

/** @returns how many names of members are written, the same ones again counted again */
function namesIn(text: string, checkNumber: (token: string) => void): number {
  let names = 0;
  for (const [token, colon] of text.matchAll(TOKEN)) {
    if (colon !== undefined) names++;
    else if (!token.startsWith('"')) checkNumber(token);
  }
  return names;
}

function requireExact(token: string): void {
  const number = Number(token);
  if (Number.isSafeInteger(number) && String(number) === token) return;
  throw new GatewayError("invalid-body", `expected integers of at most 2^53 - 1 as numbers, found ${quoted(token)}`, {
    hint: "write larger and broken numbers as strings",
  });
}

function parse(bytes: Uint8Array): [string, unknown] {
  try {
    const text = utf8.decode(bytes);
    return [text, JSON.parse(text)];
  } catch {
    throw new GatewayError("invalid-body", "expected a JSON body in UTF-8");
  }
}

/** Without recursion: how deep it goes is the sender's choice. */
function membersOf(value: unknown): number {
  let members = 0;
  const open = [value];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (typeof next !== "object" || next === null) continue;
    if (Object.hasOwn(next, "__proto__")) throw new GatewayError("invalid-body", "expected no member `__proto__`");
    const inside: unknown[] = Object.values(next);
    if (!Array.isArray(next)) members += inside.length;
    for (const each of inside) if (typeof each === "object") open.push(each);
  }
  return members;
}
