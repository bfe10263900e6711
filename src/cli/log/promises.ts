import { GatewayError } from "../../domain/errors.ts";

export type KeptPromise = {
  readonly what: string;
  readonly index: number;
  readonly hash: string;
  readonly number: number;
};

type Answer = { readonly id?: string; readonly leaves?: Readonly<Record<string, Omit<KeptPromise, "what">>> };

/**
 * The leaves that answers of the gateway promised.
 * @param text one answer to a signing request as JSON, or one a line
 * @throws {GatewayError} `malformed-promise`
 */
export function promisesIn(file: string, text: string): KeptPromise[] {
  return answersIn(file, text).flatMap((answer, n) => {
    const { id = `answer ${n + 1}`, leaves } = (answer as { request?: Answer }).request ?? answer;
    return Object.entries(leaves ?? {}).map(([which, leaf]) => {
      if (!Number.isSafeInteger(leaf.index) || !Number.isSafeInteger(leaf.number) || !/^[0-9a-f]{64}$/.test(leaf.hash))
        throw malformed(file);
      return { what: `${file}, ${which} of ${id}`, index: leaf.index, hash: leaf.hash, number: leaf.number };
    });
  });
}

function answersIn(file: string, text: string): Answer[] {
  try {
    return [JSON.parse(text) as Answer];
  } catch {
    try {
      const lines = text.split("\n").filter((line) => line.trim() !== "");
      return lines.map((line) => JSON.parse(line) as Answer);
    } catch {
      throw malformed(file);
    }
  }
}

const malformed = (file: string) =>
  new GatewayError("malformed-promise", `expected answers to signing requests in \`${file}\`, as JSON`);
