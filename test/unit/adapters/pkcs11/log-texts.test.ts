// Goal: no text can be signed by two of the log token's keys, nor be taken for a key challenge (I18).
// Method: well-formed and ill-formed texts for each key, as data; then every text that one key signs, offered to the others.
import assert from "node:assert/strict";
import { checkLogText, checkOrigin } from "../../../../src/adapters/pkcs11/log-texts.ts";
import type { LogKeyName } from "../../../../src/vault/ports.ts";

const ORIGIN = "gateway.example.com/log";
const ROOT = Buffer.alloc(32, 7).toString("base64");
const NAMES: LogKeyName[] = ["checkpoint", "answers", "statement"];

const SIGNED: Record<LogKeyName, string[]> = {
  checkpoint: [`${ORIGIN}\n0\n${ROOT}\n`, `${ORIGIN}\n123456789\n${ROOT}\n`],
  answers: ["portcullis/answers/v1\n", "portcullis/answers/v1\nkey: abc\n"],
  statement: ["portcullis/statement/v1\nclient: acme\n", `portcullis/statement/v1\n0\n${ROOT}\n`],
};

const REFUSED: [LogKeyName, string, string][] = [
  ["answers", "an empty text", ""],
  ["answers", "the type without its line end", "portcullis/answers/v1"],
  ["answers", "a longer type", "portcullis/answers/v10\nx"],
  ["answers", "a byte order mark first", "\ufeffportcullis/answers/v1\nx"],
  ["answers", "a blank line first", "\nportcullis/answers/v1\nx"],
  ["answers", "another letter case", "Portcullis/answers/v1\nx"],
  ["answers", "a carriage return", "portcullis/answers/v1\r\nx"],
  ["answers", "a lone surrogate", "portcullis/answers/v1\n\ud800"],
  ["statement", "an approval", "portcullis/approval/v1\nx"],
  ["checkpoint", "another log's origin", `other.example.com/log\n1\n${ROOT}\n`],
  ["checkpoint", "an origin that ends like ours", `evil.${ORIGIN}\n1\n${ROOT}\n`],
  ["checkpoint", "an origin with a blank", `${ORIGIN} \n1\n${ROOT}\n`],
  ["checkpoint", "a size with a leading zero", `${ORIGIN}\n01\n${ROOT}\n`],
  ["checkpoint", "a negative size", `${ORIGIN}\n-1\n${ROOT}\n`],
  ["checkpoint", "no size", `${ORIGIN}\n\n${ROOT}\n`],
  ["checkpoint", "a size of nineteen digits", `${ORIGIN}\n1000000000000000000\n${ROOT}\n`],
  ["checkpoint", "a root of 31 bytes", `${ORIGIN}\n1\n${Buffer.alloc(31).toString("base64")}\n`],
  ["checkpoint", "a root with spare bits set", `${ORIGIN}\n1\n${ROOT.slice(0, -2)}d=\n`],
  ["checkpoint", "an extension line", `${ORIGIN}\n1\n${ROOT}\nmore\n`],
  ["checkpoint", "no last line end", `${ORIGIN}\n1\n${ROOT}`],
  ["checkpoint", "a signed note", `${ORIGIN}\n1\n${ROOT}\n\n— x AAAA\n`],
];

describe("texts that the log token signs", () => {
  for (const name of NAMES) {
    for (const [index, text] of SIGNED[name].entries()) {
      it(`${name}: text ${index + 1} is signed`, () => checkLogText(name, text, ORIGIN));
      for (const other of NAMES.filter((candidate) => candidate !== name)) {
        it(`${name}: text ${index + 1} is not signed by ${other}`, () =>
          assert.throws(() => checkLogText(other, text, ORIGIN), { code: "wrong-domain" }));
      }
    }
  }

  for (const [name, what, text] of REFUSED) {
    it(`${name}: ${what} is refused`, () =>
      assert.throws(() => checkLogText(name, text, ORIGIN), { code: "wrong-domain" }));
  }

  for (const origin of ["", "portcullis/answers/v1", "portcullis/x", "two words", "a+b", "line\nend", "ü.example"]) {
    it(`${JSON.stringify(origin)} is no log origin`, () =>
      assert.throws(() => checkOrigin(origin), { code: "wrong-domain" }));
  }

  it("an origin may begin with the product's name and a dot", () => checkOrigin("portcullis.example.com/log"));
});
