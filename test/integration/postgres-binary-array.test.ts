import assert from "node:assert/strict";
import fc from "fast-check";
import type pg from "pg";
import { binaryArray } from "../../src/adapters/postgres/binary-array.ts";
import { PostgresServer } from "../support/postgres.ts";

// Goal: what goes to the database as bytes arrives as the same values.
// Method: the database is asked what it read; its driver, which has an encoding of its own, is the other end.

describe("arrays on PostgreSQL's wire", function () {
  this.timeout(60_000);
  let server: PostgresServer;
  let client: pg.Client;
  let over: () => void;
  let whole: Promise<void>;

  before(async () => {
    server = await PostgresServer.started();
    const { database } = await server.database();
    await new Promise<void>((ready) => {
      whole = server.as(database, (connected) => {
        client = connected;
        ready();
        return new Promise<void>((end) => (over = end));
      });
    });
  });
  after(async () => {
    over();
    await whole;
    await server.remove();
  });

  const nullable = <T>(values: fc.Arbitrary<T>) => fc.array(fc.option(values), { maxLength: 8 });
  // PostgreSQL's texts hold no NUL, in whatever way they come.
  const texts = fc.string({ unit: "binary", maxLength: 40 }).map((text) => text.replaceAll("\0", ""));

  it("texts", () =>
    fc.assert(
      fc.asyncProperty(nullable(texts), async (values) => {
        const { rows } = await client.query("SELECT to_json($1::text[]) AS seen", [binaryArray("text", values)]);
        assert.deepEqual((rows as { seen: unknown }[])[0]!.seen, values);
      }),
    ));

  it("numbers", () =>
    fc.assert(
      fc.asyncProperty(nullable(fc.maxSafeInteger()), async (values) => {
        const { rows } = await client.query("SELECT $1::bigint[]::text[] AS seen", [binaryArray("bigint", values)]);
        const seen = (rows as { seen: (string | null)[] }[])[0]!.seen;
        assert.deepEqual(
          seen,
          values.map((value) => (value === null ? null : String(value))),
        );
      }),
    ));

  it("bytes", () =>
    fc.assert(
      fc.asyncProperty(nullable(fc.uint8Array()), async (values) => {
        const { rows } = await client.query("SELECT $1::bytea[] AS seen", [binaryArray("bytea", values)]);
        assert.deepEqual(
          (rows as { seen: (Buffer | null)[] }[])[0]!.seen,
          values.map((value) => value && Buffer.from(value)),
        );
      }),
    ));
});
