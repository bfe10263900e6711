import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readBacking, readBooks } from "../../../../src/cli/reconcile/books.ts";
import type { Asset } from "../../../../src/domain/assets.ts";
import type { AssetSymbol, ChainId } from "../../../../src/domain/chain.ts";

// Goal: books are read to the last digit or refused with the line; nothing in them is guessed.
// Method: the same books as CSV and JSON, and each way to write them wrong.

const USDC: Asset = {
  ...{ symbol: "USDC" as AssetSymbol, chain: "eip155:1" as ChainId, decimals: 6, standard: "erc20" as const },
};
const registry = { bySymbol: new Map([[USDC.symbol, USDC]]), nativeOf: new Map(), byContract: new Map() };
const registries = new Map([["acme-fund", registry]]);

describe("cli/reconcile/books", () => {
  let folder: string;
  before(() => (folder = mkdtempSync(join(tmpdir(), "portcullis-books-"))));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const file = (text: string): string => {
    writeFileSync(join(folder, "books"), text);
    return join(folder, "books");
  };
  const read = (text: string) => readBooks(file(text), registries);
  const expected = [{ client: "acme-fund", asset: "USDC", amount: 12_500_001n }];

  it("reads CSV, with the line ends and the mark of a spreadsheet, and JSON", () => {
    const csv = "client,asset,amount\nacme-fund,USDC,12.500001\n";
    for (const text of [csv, csv.trimEnd(), `\uFEFF${csv.replaceAll("\n", "\r\n")}`])
      assert.deepEqual(read(text), expected);
    assert.deepEqual(read(`[{"client": "acme-fund", "asset": "USDC", "amount": "12.500001"}]`), expected);
    assert.deepEqual(read("client,asset,amount\n"), []);
  });
  it("leaves out clients that are not asked about", () => {
    assert.deepEqual(read("client,asset,amount\nblue-harbor,NOPE,1\n"), []);
  });
  it("refuses what it does not know, and says where", () => {
    const line = (text: string) => `client,asset,amount\n${text}\n`;
    const refused: [string, string, RegExp][] = [
      ["asset,client,amount\n", "file-invalid", /line 1/],
      ["", "file-invalid", /line 1/],
      [line("acme-fund,USDC"), "file-invalid", /line 2/],
      [line("acme-fund,USDC,1,2"), "file-invalid", /line 2/],
      [line("acme-fund,USDC,"), "file-invalid", /line 2/],
      [line('acme-fund,USDC,"1"'), "file-invalid", /line 2/],
      [line("acme-fund,USDC,1\n\nacme-fund,USDC,1"), "file-invalid", /line 3/],
      [line("acme-fund,EURC,1"), "file-invalid", /line 2, found `EURC`/],
      [line("acme-fund,USDC,-1"), "invalid-amount", /-1/],
      [line("acme-fund,USDC,1e6"), "invalid-amount", /1e6/],
      [line("acme-fund,USDC,0.0000001"), "invalid-amount", /6 decimals/],
      [`[{"client": "acme-fund", "asset": "USDC", "amount": 1}]`, "file-invalid", /item 1/],
      [`[{"client": "acme-fund", "asset": "USDC", "amount": "1", "x": "1"}]`, "file-invalid", /item 1/],
      [`[{"client": "acme-fund", "asset": "USDC", "amount": "1", "amount": "2"}]`, "invalid-body", /once/],
      [`[null]`, "file-invalid", /item 1/],
    ];
    for (const [text, code, message] of refused) assert.throws(() => read(text), { code, message }, text);
  });
  it("backing names a client of the run, and assets that it knows", () => {
    const backing = (text: string) => readBacking(file(`token,reserve,client\n${text}\n`), registries);
    assert.deepEqual(backing("USDC,USDC,acme-fund"), [{ client: "acme-fund", token: "USDC", reserve: "USDC" }]);
    for (const text of ["USDC,USDC,nobody", "USDC,EURC,acme-fund", "EURC,USDC,acme-fund"])
      assert.throws(() => backing(text), { code: "file-invalid" }, text);
  });
});
