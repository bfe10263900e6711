import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import type { Opening } from "../../../src/custody/register.ts";
import { readStatedAccount } from "../../../src/custody/stated-account.ts";
import {
  contradictionIn,
  statementCsv,
  statementHtml,
  statementOf,
  type StatedMovement,
} from "../../../src/custody/statement.ts";
import { readStatementText } from "../../../src/domain/statement.ts";

// Goal: a statement says the opening position, everything that moved it, and the closing position, of its period alone.
// Method: a small history by hand; Python's csv module reads what a spreadsheet would.

const OWN = "eip155:1:0x0000000000000000000000000000000000000A11";
const OUT = "eip155:1:0x0000000000000000000000000000000000000B01";
const DAY = 86_400_000;

const history: (Opening & { number: number })[] = [
  { type: "key-created", accounts: [OWN] },
  {
    type: "observed",
    what: "deposit",
    deposit: { transaction: "0x01", position: "0", asset: "ETH", amount: "5000", from: OUT },
  },
  { type: "authorized", request: "r1", intent: intent("1200", "30") },
  { type: "signed", request: "r1", transactionHash: "0xaaaa" },
  {
    type: "observed",
    what: "transaction",
    transaction: { request: "r1", state: "mined", block: 9, depth: 3, fee: "20" },
  },
  // On the day of the leaf before it.
  { type: "observed", what: "balance", balance: { asset: "ETH", amount: "3780" }, by: "watcher", day: 4 },
  { type: "lien-placed", day: 5, lien: "loan", asset: "ETH", amount: "1000", securedParty: '=bank,"<b>"' },
  { type: "authorized", day: 6, request: "r2", intent: intent("500", "30") },
].map((opening, index) => ({
  ...opening,
  index: index + 10,
  number: index,
  at: ("day" in opening ? opening.day : index) * DAY,
}));

function intent(amount: string, fee: string) {
  return {
    chain: "eip155:1",
    account: OWN,
    operations: [{ kind: "transfer", asset: "ETH", from: OWN, to: OUT, amount }],
    fee: { asset: "ETH", max: fee },
    claims: [],
  };
}

const statement = (from: number, to: number) =>
  statementOf("acme", history, { from: from * DAY, to: to * DAY }, () => 3);

describe("a statement", () => {
  it("of the whole time begins at nothing", () => {
    const { positions, last } = statement(0, 100);
    assert.deepEqual(positions, [
      { asset: "ETH", opening: "0", credits: "5", debits: "1.75", closing: "3.25", encumbered: "1", free: "2.25" },
    ]);
    assert.deepEqual(last, { number: 7, index: 17 });
  });

  it("of a period begins with what was there, and names its own movements alone", () => {
    const { positions, movements, last, liens } = statement(4, 6);
    assert.deepEqual(positions[0], {
      asset: "ETH",
      opening: "3.77",
      credits: "0",
      debits: "-0.01",
      closing: "3.78",
      encumbered: "1",
      free: "2.78",
    });
    assert.deepEqual(
      movements.map(({ kind, amount, transaction, state }) => [kind, amount, transaction, state]),
      [["correction", "0.01", "0xaaaa", "mined"]],
    );
    assert.deepEqual([last?.number, liens.length], [6, 1]);
  });

  it("two that follow one another fit together, wherever they are cut", () => {
    for (let cut = 0; cut <= 8; cut++) {
      const [first, second, whole] = [statement(0, cut), statement(cut, 9), statement(0, 9)];
      assert.equal(second.positions[0]?.opening, first.positions[0]?.closing ?? "0", `cut at ${cut}`);
      assert.deepEqual(
        [...first.movements, ...second.movements].map(({ leaf, kind, amount }) => [leaf, kind, amount]),
        whole.movements.map(({ leaf, kind, amount }) => [leaf, kind, amount]),
      );
    }
  });

  it("contradicts itself nowhere, and with any of its amounts or movements changed it does", () => {
    for (let from = 0; from <= 8; from++)
      for (let to = from + 1; to <= 9; to++) assert.equal(contradictionIn(statement(from, to)), undefined);
    const whole = statement(0, 100);
    const [position] = whole.positions;
    for (const name of ["opening", "credits", "debits", "closing"] as const)
      assert.match(contradictionIn({ ...whole, positions: [{ ...position!, [name]: "7" }] })!, /ETH/, name);
    whole.movements.forEach((movement, at) => {
      const others = whole.movements.filter((each) => each !== movement);
      assert.match(contradictionIn({ ...whole, movements: others })!, /ETH/, `without ${at}`);
      const changed = whole.movements.map((each) => (each === movement ? { ...each, amount: "-0.123" } : each));
      assert.match(contradictionIn({ ...whole, movements: changed })!, /ETH/, `with another ${at}`);
    });
    assert.match(contradictionIn({ ...whole, positions: [] })!, /no position/);
  });

  it("states each movement once, in its period, not behind the last leaf, with the sign of its kind", () => {
    const whole = statement(0, 100);
    const [first, second, ...others] = whole.movements as [StatedMovement, StatedMovement, ...StatedMovement[]];
    const moved = (...movements: StatedMovement[]) => contradictionIn({ ...whole, movements });
    assert.match(moved({ ...first, at: whole.to }, second, ...others)!, /not of the period/);
    assert.match(moved({ ...first, leaf: 99 }, second, ...others)!, /behind the client's last leaf/);
    assert.match(moved(second, first, ...others)!, /not in the order of the log/);
    assert.match(moved({ ...first, kind: "fee" }, second, ...others)!, /is a fee of 5 ETH/);
    assert.match(contradictionIn({ ...whole, last: null })!, /behind the client's last leaf/);
    assert.match(contradictionIn({ ...whole, positions: [...whole.positions, ...whole.positions] })!, /ETH twice/);
  });

  it("is read only where it has the shape of one, whoever signed it", () => {
    const {
      liens: [lien],
      ...rest
    } = statement(0, 100);
    const whole = {
      gateway: "g",
      ...rest,
      liens: [{ ...lien!, securedParty: "bank" }],
      checkpoint: null,
      receipt: null,
    };
    assert.deepEqual(readStatedAccount(whole), whole);
    const [position] = whole.positions;
    for (const [change, where] of [
      [{ client: "acme\nverified" }, /client/],
      [{ client: "\u0430cme" }, /client/],
      [{ from: "2026-01-01T00:00:00+02:00" }, /from/],
      [{ positions: undefined }, /positions/],
      ...["-0", "1e3", "+1", "01", "1.0", "Infinity"].map(
        (closing) => [{ positions: [{ ...position!, closing }] }, /positions.0.closing/] as const,
      ),
      [{ positions: [{ ...position!, free: "-1" }] }, /positions.0.free/],
      [{ last: { number: "<b>", index: 1 } }, /last.number/],
      [{ more: 1 }, /more/],
    ] as const)
      assert.throws(() => readStatedAccount({ ...whole, ...change }), { code: "statement-invalid", message: where });
    assert.equal(readStatementText('portcullis/statement/v1\naccount-statement\n{"a":1,"a":2}\n'), undefined);
  });

  it("as CSV it is read by others, and no field is a formula", () => {
    const { movements, ...rest } = statement(0, 100);
    const hostile = {
      ...rest,
      movements: [...movements, { ...movements[0]!, why: '=HYPERLINK("x"),\n"y"', counterparty: "@x" }],
    };
    const script =
      "import csv,sys,json; print(json.dumps(list(csv.reader(sys.stdin.buffer.read().decode().splitlines(True)))))";
    const read = JSON.parse(
      execFileSync("python3", ["-c", script], { input: statementCsv(hostile) }).toString(),
    ) as string[][];
    assert.equal(read.length, hostile.movements.length + 1);
    assert.deepEqual(read[0]!.slice(0, 5), ["at", "leaf", "kind", "asset", "amount"]);
    assert.deepEqual([read.at(-1)![5], read.at(-1)![8]], ['\'=HYPERLINK("x"),\n"y"', "'@x"]);
    assert.deepEqual(read[2]!.slice(1, 5), ["12", "debit", "ETH", "-1.2"]);
  });

  it("as a page it runs nothing and loads nothing", () => {
    const page = statementHtml(statement(0, 100), { key: "ed25519:k", signature: "s" });
    assert.ok(page.includes("=bank,&#34;&#60;b&#62;&#34;"));
    assert.doesNotMatch(page, /<script|<img|<link|https?:|<b>/);
  });
});
