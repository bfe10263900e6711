import assert from "node:assert/strict";
import fc from "fast-check";
import { reconcile, type Break, type Sides } from "../../../src/custody/reconcile.ts";
import type { Account, AssetSymbol } from "../../../src/domain/chain.ts";

// Goal: every difference between chain, register and books is a break with its likely cause, and nothing else is one.
// Method: random worlds in which all three agree, with breaks planted whose cause is known; each rule once by hand.

const ETH = "ETH" as AssetSymbol;
const account = (number: number) => `eip155:1:0x${String(number).padStart(40, "0")}` as Account;

type Line = { closing: bigint; pending: bigint; chain: (bigint | undefined)[]; books: bigint };

const sidesOf = (lines: readonly Line[]): Required<Sides> => ({
  register: lines.map(({ closing, pending }, n) => ({ client: `client-${n}`, asset: ETH, closing, pending })),
  books: lines.map(({ books }, n) => ({ client: `client-${n}`, asset: ETH, amount: books })),
  chain: lines.flatMap(({ chain }, n) =>
    chain.map((amount, index) => ({ client: `client-${n}`, account: account(n * 100 + index), asset: ETH, amount })),
  ),
});

const found = (line: Line) => reconcile(sidesOf([line]), 0).breaks.map(({ cause, difference }) => [cause, difference]);

describe("reconciliation", () => {
  const amount = fc.bigInt({ min: 0n, max: 1n << 100n });
  /** What has not yet settled shows on the chain, in the books, in both or in neither. */
  const agreeing = fc
    .record({ closing: amount, pending: amount, first: fc.nat(100), late: fc.nat(100), booked: fc.nat(100) })
    .map(({ closing, pending, first, late, booked }): Line => {
      const total = closing + (pending * BigInt(late)) / 100n;
      const part = (total * BigInt(first)) / 100n;
      return { closing, pending, chain: [part, total - part], books: closing + (pending * BigInt(booked)) / 100n };
    });
  const error = fc.bigInt({ min: 1n, max: 1n << 101n });

  it("finds nothing where the three agree, with debits on their way", () => {
    fc.assert(
      fc.property(fc.array(agreeing), (lines) => {
        assert.deepEqual(reconcile(sidesOf(lines), 0).breaks, []);
      }),
    );
  });

  it("finds each planted break, by cause and size, and nothing else", () => {
    const plants = {
      "chain-over": (line: Line, by: bigint) => {
        const total = line.closing + line.pending + by;
        return { ...line, chain: [total], books: total };
      },
      "chain-under": (line: Line, by: bigint) => {
        const closing = line.closing + by;
        return { ...line, closing, chain: [line.closing], books: line.closing };
      },
      "books-over": (line: Line, by: bigint) => ({ ...line, books: line.closing + line.pending + by }),
      "books-under": (line: Line, by: bigint) => {
        const closing = line.closing + by;
        return { ...line, closing, chain: [closing], books: line.closing };
      },
    } as const;
    const cause = fc.constantFrom(...(Object.keys(plants) as (keyof typeof plants)[]));
    fc.assert(
      fc.property(fc.array(agreeing), agreeing, cause, error, fc.nat(), (lines, line, planted, by, place) => {
        const index = place % (lines.length + 1);
        const { breaks } = reconcile(sidesOf(lines.toSpliced(index, 0, plants[planted](line, by))), 5);
        const difference = planted.endsWith("over") ? by : -by;
        assert.deepEqual(breaks, [{ client: `client-${index}`, asset: ETH, cause: planted, difference, since: 5 }]);
      }),
    );
  });

  it("holds the books against the chain where the chain contradicts the register", () => {
    const line = { closing: 100n, pending: 0n, chain: [90n], books: 100n };
    assert.deepEqual(found(line), [
      ["chain-under", -10n],
      ["books-over", 10n],
    ]);
  });

  it("an account that was not read is never zero, and the books are still compared", () => {
    assert.deepEqual(found({ closing: 5n, pending: 0n, chain: [5n, undefined], books: 7n }), [
      ["chain-not-read", 0n],
      ["books-over", 2n],
    ]);
    assert.deepEqual(found({ closing: 5n, pending: 0n, chain: [undefined, 5n], books: 5n }), [["chain-not-read", 0n]]);
  });

  it("what only one side names is held against zero", () => {
    const sides = sidesOf([{ closing: 3n, pending: 0n, chain: [3n], books: 3n }]);
    const causes = (given: Partial<Sides>) =>
      reconcile({ chain: [], register: [], books: [], ...given }, 0).breaks.map(({ cause }) => cause);
    assert.deepEqual(causes({ chain: sides.chain }), ["chain-over", "books-under"]);
    assert.deepEqual(causes({ register: sides.register }), ["chain-under"]);
    assert.deepEqual(causes({ books: sides.books }), ["books-over"]);
  });

  it("nothing may be counted twice", () => {
    const sides = sidesOf([{ closing: 3n, pending: 0n, chain: [3n], books: 3n }]);
    for (const side of ["chain", "register", "books"] as const) {
      const twice = { ...sides, [side]: [...sides[side], ...sides[side]] };
      assert.throws(() => reconcile(twice, 0), { code: "counted-twice" }, side);
    }
    // Nor for two clients: one account has one owner.
    const [balance] = sides.chain;
    assert.throws(() => reconcile({ ...sides, chain: [balance!, { ...balance!, client: "client-1" }] }, 0), {
      code: "counted-twice",
    });
  });

  it("a break is as old as the first report of an unbroken row, and is closed by the report that misses it", () => {
    const wrong = sidesOf([{ closing: 3n, pending: 0n, chain: [3n], books: 4n }]);
    const right = sidesOf([{ closing: 3n, pending: 0n, chain: [3n], books: 3n }]);
    const since = (breaks: readonly Break[]) => breaks.map((one) => one.since);
    const first = reconcile(wrong, 10);
    const second = reconcile(wrong, 20, first.breaks);
    assert.deepEqual(since(second.breaks), [10]);
    const third = reconcile(right, 30, second.breaks);
    assert.deepEqual([third.breaks, since(third.closed)], [[], [10]]);
    assert.deepEqual(since(reconcile(wrong, 40, third.breaks).breaks), [40]);
  });
});
