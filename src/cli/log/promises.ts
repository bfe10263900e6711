import { GatewayError } from "../../domain/errors.ts";

export type KeptPromise = {
  readonly what: string;
  readonly index: number;
  readonly hash: string;
  readonly number: number;
};

type Answer = { readonly id?: string; readonly leaves?: Readonly<Record<string, unknown>> };

/**
 * The leaves that answers of the gateway promised.
 * @param text one answer to a signing request as JSON, or one a line
 * @throws {GatewayError} `malformed-promise`
 */
export function promisesIn(file: string, text: string): KeptPromise[] {
  const promises = answersIn(file, text).flatMap((answer, n) => promisedBy(file, answer, n));
  // Nothing to hold the log against would look like a log that holds.
  if (promises.length > 0) return promises;
  throw malformed(file);
}

function promisedBy(file: string, answer: unknown, n: number): KeptPromise[] {
  if (!isObject(answer)) throw malformed(file);
  const { id = `answer ${n + 1}`, leaves } = (isObject(answer["request"]) ? answer["request"] : answer) as Answer;
  return Object.entries(leaves ?? {}).map(([which, leaf]) => {
    if (!isPromise(leaf)) throw malformed(file);
    return { what: `${file}, ${which} of ${id}`, index: leaf.index, hash: leaf.hash, number: leaf.number };
  });
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isPromise = (leaf: unknown): leaf is Omit<KeptPromise, "what"> =>
  isObject(leaf) &&
  Number.isSafeInteger(leaf["index"]) &&
  Number.isSafeInteger(leaf["number"]) &&
  /^[0-9a-f]{64}$/.test(String(leaf["hash"]));

function answersIn(file: string, text: string): unknown[] {
  try {
    return [JSON.parse(text)];
  } catch {
    try {
      const lines = text.split("\n").filter((line) => line.trim() !== "");
      return lines.map((line): unknown => JSON.parse(line));
    } catch {
      throw malformed(file);
    }
  }
}

const malformed = (file: string) =>
  new GatewayError("malformed-promise", `expected answers to signing requests in \`${file}\`, as JSON`, {
    hint: "what `request sign --json` printed, with its `leaves`: one answer, or one a line",
  });
