export function say(line: string): void;
export class SetUpError extends Error {
  constructor(message: string, options?: { hint?: string; output?: string | undefined });
}
export function explain(error: unknown): string;
export function lastLines(text: string, count: number): string;
