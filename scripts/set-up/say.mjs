/** Progress goes to stderr: stdout belongs to what runs after the set-up (`npm start -- --tour-only --json`). */
export const say = (line) => process.stderr.write(`set-up: ${line}\n`);

/** What a person can put right: printed as one sentence and a hint, never as a stack trace. */
export class SetUpError extends Error {
  constructor(message, { hint, output } = {}) {
    super(message);
    this.name = "SetUpError";
    this.hint = hint;
    this.output = output;
  }
}

/** @returns the text that explains any error of the set-up; a stack only where the fault is the set-up's own */
export function explain(error) {
  if (error instanceof SetUpError) {
    const output = error.output ? `${lastLines(error.output, 30)}\n` : "";
    const hint = error.hint ? `set-up: hint: ${error.hint}\n` : "";
    return `${output}set-up: failed: ${error.message}\n${hint}`;
  }
  // An error of the operating system (no space, no permission) says what it is by itself.
  if (error instanceof Error && "syscall" in error) return `set-up: failed: ${error.message}\n`;
  return `set-up: failed: ${error instanceof Error ? error.stack : String(error)}\n`;
}

/** The end of a child's output, indented: the end is where compilers and npm say what went wrong. */
export function lastLines(text, count) {
  const lines = text.trimEnd().split("\n");
  const cut = lines.length > count ? [`(${lines.length - count} lines before)`, ...lines.slice(-count)] : lines;
  return cut.map((line) => `    ${line}`).join("\n");
}
