import type { Row, Session } from "./session.ts";

/** Rows of one table share statements; everything else stands by itself, in its place. */
type Write = Inserts | Statement;
type Inserts = {
  readonly table: string;
  readonly columns: string;
  readonly conflict: string;
  readonly rows: unknown[][];
};
type Statement = { readonly text: string; readonly values: readonly unknown[] };

/** Sizes of statements, so that each is prepared once: 13 rows go as 8, 4 and 1. */
const CHUNKS = [64, 32, 16, 8, 4, 2, 1];

/**
 * What a group has written and the database has not yet been told. Inserts of one table go together, whatever stood
 * between them in other tables: no table refers to a row that the same group inserts later.
 */
export class PendingWrites {
  #writes: Write[] = [];
  #last: Statement[] = [];
  #tables = new Map<string, unknown[][]>();

  insert(table: string, columns: string, values: unknown[]): void {
    this.#rowsFor(table, columns, "").push(values);
  }

  /** The first column is the key, the others what stands there from now on: of two in one group the later one counts. */
  put(table: string, [key, ...columns]: readonly string[], values: unknown[]): void {
    const set = columns.map((column) => `${column} = excluded.${column}`).join(", ");
    const rows = this.#rowsFor(table, [key, ...columns].join(", "), ` ON CONFLICT (${key}) DO UPDATE SET ${set}`);
    const before = rows.findIndex((row) => row[0] === values[0]);
    if (before === -1) rows.push(values);
    else rows[before] = values;
  }

  #rowsFor(table: string, columns: string, conflict: string): unknown[][] {
    const key = `${table} (${columns})`;
    let rows = this.#tables.get(key);
    if (!rows) {
      rows = [];
      this.#tables.set(key, rows);
      this.#writes.push({ table, columns, conflict, rows });
    }
    return rows;
  }

  /** Comes after all inserts, also after those that follow: for a row that none of them makes or asks for. */
  last(text: string, ...values: unknown[]): void {
    this.#last.push({ text, values });
  }

  /** Comes after all inserts so far, and before all that follow. */
  run(text: string, ...values: unknown[]): void {
    this.#writes.push(...this.#last.splice(0), { text, values });
    this.#tables.clear();
  }

  clear(): void {
    this.#writes = [];
    this.#last = [];
    this.#tables.clear();
  }

  /** Sends everything. @returns what becomes of it, already heard: nobody has to wait at once */
  flush(session: Session): Promise<Row[]>[] {
    const sent = this.#writes.flatMap((write) => ("text" in write ? [write] : statementsOf(write))).concat(this.#last);
    this.clear();
    return sent.map(({ text, values }) => {
      const answer = session.run(text, values);
      answer.catch(() => undefined);
      return answer;
    });
  }
}

function statementsOf({ table, columns, conflict, rows }: Inserts): Statement[] {
  const statements: Statement[] = [];
  for (let start = 0; start < rows.length;) {
    const size = CHUNKS.find((chunk) => chunk <= rows.length - start)!;
    const chunk = rows.slice(start, start + size);
    statements.push({ text: insertText(table, columns, chunk[0]!.length, size) + conflict, values: chunk.flat() });
    start += size;
  }
  return statements;
}

const texts = new Map<string, string>();
function insertText(table: string, columns: string, width: number, rows: number): string {
  const key = `${table} ${rows} ${columns}`;
  let text = texts.get(key);
  if (text === undefined) {
    const row = (n: number) =>
      `(${Array.from({ length: width }, (_, column) => `$${n * width + column + 1}`).join(", ")})`;
    text = `INSERT INTO ${table} (${columns}) VALUES ${Array.from({ length: rows }, (_, n) => row(n)).join(", ")}`;
    texts.set(key, text);
  }
  return text;
}
