import { binaryArray, type ElementType } from "./binary-array.ts";
import type { Row, Session } from "./session.ts";

type ColumnType = ElementType | "numeric";

/** What is written in many rows, and how its columns are sent; in this order everywhere. */
const COLUMNS = {
  accounts: { account: "text", client: "text", key: "text" },
  held_addresses: { client: "text", account: "text", since: "bigint" },
  requests: {
    id: "text",
    client: "text",
    caller: "text",
    key: "text",
    idempotency_key: "text",
    body_hash: "text",
    state: "text",
    submitted_at: "bigint",
    changed_at: "bigint",
    record: "text",
    decision_leaf: "bigint",
    outcome: "text",
    leaf: "bigint",
    seal: "text",
    outcome_seal: "text",
    reference: "text",
  },
  claims: { claim: "text", request: "text" },
  nonces: { account: "text", next: "numeric", leaf: "bigint", seal: "text" },
  spend: { counter: "text", at: "bigint", leaf: "bigint", amount: "numeric", total: "numeric", seal: "text" },
  leaves: {
    idx: "bigint",
    at: "bigint",
    hash: "bytea",
    commitment: "bytea",
    client: "text",
    number: "bigint",
    opening: "text",
    seal: "text",
  },
} as const satisfies Record<string, Record<string, ColumnType>>;

/** A step of a request that changes its row and makes none; the first two say which. */
const OUTCOMES = {
  client: "text",
  id: "text",
  state: "text",
  changed_at: "bigint",
  outcome: "text",
  outcome_seal: "text",
} as const satisfies Record<string, ColumnType>;

type Table = keyof typeof COLUMNS;

/** One column of it at a time, each an array: so many rows, one statement, prepared once. */
type Rows = { readonly text: string; readonly columns: Record<string, ColumnType>; readonly rows: unknown[][] };
type Statement = { readonly text: string; readonly values: readonly unknown[] };
type Write = Rows | Statement;

/**
 * What a group has written and the database has not yet been told. Rows of one table go together, whatever stood between
 * them in other tables: no table refers to a row that the same group inserts later.
 */
export class PendingWrites {
  #writes: Write[] = [];
  #last: Write[] = [];
  #tables = new Map<Table, unknown[][]>();

  /** @param values of all columns, in their order */
  insert(table: Table, ...values: unknown[]): void {
    this.#rowsFor(table, INSERT[table]).push(values);
  }

  /** The first column is the key, the others what stands there from now on: of two in one group the later one counts. */
  put(table: "nonces", ...values: unknown[]): void {
    const rows = this.#rowsFor(table, PUT_NONCES);
    const before = rows.findIndex((row) => row[0] === values[0]);
    if (before === -1) rows.push(values);
    else rows[before] = values;
  }

  #rowsFor(table: Table, text: string): unknown[][] {
    let rows = this.#tables.get(table);
    if (!rows) {
      rows = [];
      this.#tables.set(table, rows);
      this.#writes.push({ text, columns: COLUMNS[table], rows });
    }
    return rows;
  }

  /** Comes after all inserts, also after those that follow: for a row that none of them makes or asks for. */
  last(text: string, ...values: unknown[]): void {
    this.#last.push({ text, values });
  }

  /** The same, for the outcomes of requests. */
  outcome(...values: unknown[]): void {
    const before = this.#last.at(-1);
    if (before && "rows" in before) before.rows.push(values);
    else this.#last.push({ text: UPDATE_OUTCOMES, columns: OUTCOMES, rows: [values] });
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
    const sent = [...this.#writes, ...this.#last];
    this.clear();
    return sent.map((write) => {
      const answer = session.run(write.text, "rows" in write ? arraysOf(write) : write.values);
      answer.catch(() => undefined);
      return answer;
    });
  }
}

/** Numbers of more than 64 bits go as texts. */
const sentAs = (type: ColumnType): ElementType => (type === "numeric" ? "text" : type);

const arraysOf = ({ columns, rows }: Rows): Buffer[] =>
  Object.values(columns).map((type, column) =>
    binaryArray(
      sentAs(type),
      rows.map((row) => (type === "numeric" ? String(row[column]) : row[column])),
    ),
  );

/** The rows as a table of their own. */
const sent = (columns: Record<string, ColumnType>): string => {
  const arrays = Object.values(columns).map((type, index) => `$${index + 1}::${sentAs(type)}[]`);
  return `unnest(${arrays.join(", ")}) AS sent (${Object.keys(columns).join(", ")})`;
};

function insertText(table: Table): string {
  const columns: Record<string, ColumnType> = COLUMNS[table];
  const values = Object.entries(columns).map(([name, type]) => (type === "numeric" ? `${name}::numeric` : name));
  return `INSERT INTO ${table} (${Object.keys(columns).join(", ")}) SELECT ${values.join(", ")} FROM ${sent(columns)}`;
}

const INSERT = Object.fromEntries((Object.keys(COLUMNS) as Table[]).map((table) => [table, insertText(table)])) as {
  readonly [table in Table]: string;
};

const PUT_NONCES = `${INSERT.nonces}
  ON CONFLICT (account) DO UPDATE SET next = excluded.next, leaf = excluded.leaf, seal = excluded.seal`;

const UPDATE_OUTCOMES = `UPDATE requests SET state = sent.state, changed_at = sent.changed_at, outcome = sent.outcome,
    outcome_seal = sent.outcome_seal
  FROM ${sent(OUTCOMES)} WHERE requests.client = sent.client AND requests.id = sent.id`;
