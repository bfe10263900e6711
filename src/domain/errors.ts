/**
 * The one error type. Data first (`code`, `facts`), then one sentence, then a hint.
 * HTTP statuses live in `vault/api/problems.ts` and nowhere else.
 */
export type Facts = Readonly<Record<string, unknown>>;

export class GatewayError extends Error {
  readonly code: string;
  readonly facts: Facts;
  readonly hint: string | undefined;

  /** @param message one sentence: lower-case start, no final period, input in backticks, expected before found */
  constructor(code: string, message: string, options: { facts?: Facts; hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "GatewayError";
    this.code = code;
    this.facts = options.facts ?? {};
    this.hint = options.hint;
  }
}

/** Others' input as it may stand in a message: quoted, cut at 80 characters, nothing that moves a terminal's cursor. */
export function quoted(input: unknown): string {
  const text = typeof input === "string" ? input : written(input);
  const cut = text.length > 80 ? `${text.slice(0, 77)}...` : text;
  // Control, bidi and zero-width characters could make a message read as something else.
  const safe = cut.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029\u115f\u1160\u3164\uffa0]/gu,
    (character) => `\\u${character.codePointAt(0)!.toString(16).padStart(4, "0")}`,
  );
  return `\`${safe}\``;
}

/** JSON is written by recursion: others decide how deep it goes. */
function written(input: unknown): string {
  try {
    return JSON.stringify(input) ?? String(input);
  } catch {
    return "something nested too deeply";
  }
}
