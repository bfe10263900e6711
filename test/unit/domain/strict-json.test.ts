import assert from "node:assert/strict";
import fc from "fast-check";
import { GatewayError } from "../../../src/domain/errors.ts";
import { parseJson } from "../../../src/domain/strict-json.ts";

// Goal: no body reads differently to two readers.
// Method: whatever JSON.stringify writes is read as it was; each way in which readers differ is refused.

const bytes = (text: string) => Buffer.from(text, "utf8");
const refused = (body: Uint8Array, message: RegExp) =>
  assert.throws(
    () => parseJson(body),
    (error) => error instanceof GatewayError && error.code === "invalid-body" && message.test(error.message),
  );

const numbersIn = (value: unknown): number[] =>
  typeof value === "number"
    ? [value]
    : typeof value === "object" && value !== null
      ? Object.values(value).flatMap(numbersIn)
      : [];

describe("domain/strict-json", () => {
  it("reads what was written, with whatever blanks", () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), fc.constantFrom(0, 1, "\t", " \t "), (value, indent) => {
        const text = JSON.stringify(value, undefined, indent);
        fc.pre(!text.includes('"__proto__"'));
        if (!numbersIn(value).every((number) => Number.isSafeInteger(number) && !Object.is(number, -0)))
          return refused(bytes(text), /integers/);
        assert.deepEqual(parseJson(bytes(text)), JSON.parse(text));
      }),
      { numRuns: 200 },
    );
  });

  const TWICE: [string, string][] = [
    ["side by side", '{"to":1,"to":2}'],
    ["with the same value", '{"to":1,"to":1}'],
    ["deep inside", '{"payload":{"transaction":[{"to":1,"value":2,"to":1}]}}'],
    ["written with an escape", '{"to":1,"t\\u006f":2}'],
    ["with blanks before the colon", '{"to" :1,"to"\n\t:2}'],
    ["beside a string that looks like a name", '{"a":"\\"to\\":","to":1,"to":2}'],
  ];
  for (const [name, text] of TWICE) it(`refuses a name that stands twice: ${name}`, () => refused(bytes(text), /once/));

  it("takes the same name in different objects, and strings that look like names", () => {
    for (const text of [
      '{"a":{"to":1},"b":{"to":2}}',
      '[{"to":1},{"to":2}]',
      '{"a":"to\\":","b":"\\\\","c":"{\\"a\\":1}"}',
    ])
      assert.deepEqual(parseJson(bytes(text)), JSON.parse(text));
  });

  for (const text of ['{"__proto__":{"to":1}}', '{"a":[{"__proto__":null}]}', '{"\\u005f_proto__":1}'])
    it(`refuses a member that some readers drop: ${text}`, () => refused(bytes(text), /__proto__/));

  const ROUNDED = [
    "21000.0000000000000000001",
    "9007199254740993",
    "9007199254740992",
    "-9007199254740992",
    "1e3",
    "1E3",
    "1.0",
    "-0",
    "1e-400",
    "1e400",
  ];
  for (const number of ROUNDED) {
    it(`refuses a number that readers round or spell otherwise: ${number}`, () => {
      for (const text of [number, `{"gas":${number}}`, `[[1,\n${number}]]`, `{"a":"\\"","gas": ${number} }`])
        refused(bytes(text), /integers/);
    });
  }

  it("takes exact integers, and any digits within a string", () => {
    for (const text of [
      '{"gas":9007199254740991,"a":-9007199254740991,"b":0}',
      '{"1.5":"1e3 \\" 2.5","b":["-0"]}',
      "7",
    ])
      assert.deepEqual(parseJson(bytes(text)), JSON.parse(text));
  });

  it("refuses what is no UTF-8, no JSON, or has a byte order mark", () => {
    for (const body of [
      Buffer.from('{"a":"\xff"}', "latin1"),
      bytes(""),
      bytes("{a:1}"),
      bytes("{}{}"),
      bytes("\ufeff{}"),
    ])
      refused(body, /JSON body in UTF-8/);
  });

  it("reads nesting that would overflow a recursive reader's stack", () => {
    const depth = 100_000;
    assert.ok(Array.isArray(parseJson(bytes("[".repeat(depth) + "]".repeat(depth)))));
  });
});
