// Goal: every attribute of I1 is required, and one that is wrong or absent is refused by its name.
// Method: the full set passes; then one attribute at a time is turned over or taken away.
import assert from "node:assert/strict";
import { checkAttributes } from "../../../../src/adapters/pkcs11/attributes.ts";

const AS_I1_SAYS: Record<string, boolean> = {
  CKA_TOKEN: true,
  CKA_PRIVATE: true,
  CKA_SENSITIVE: true,
  CKA_SIGN: true,
  CKA_EXTRACTABLE: false,
  CKA_MODIFIABLE: false,
  CKA_COPYABLE: false,
  CKA_DERIVE: false,
  CKA_UNWRAP: false,
  CKA_DECRYPT: false,
  CKA_SIGN_RECOVER: false,
  CKA_ALWAYS_SENSITIVE: true,
  CKA_NEVER_EXTRACTABLE: true,
  CKA_LOCAL: true,
};

describe("attributes of a client's key (I1)", () => {
  it("a key that shows all of them passes", () => checkAttributes("hot-1", AS_I1_SAYS));

  for (const [attribute, expected] of Object.entries(AS_I1_SAYS)) {
    it(`${attribute} ${!expected} is refused`, () =>
      assert.throws(() => checkAttributes("hot-1", { ...AS_I1_SAYS, [attribute]: !expected }), {
        code: "key-refused",
        message: `expected key \`hot-1\` with ${attribute} ${expected}, found ${!expected}`,
        facts: { attribute, expected, found: !expected, label: "hot-1" },
      }));

    it(`no ${attribute} at all is refused`, () => {
      const others = Object.fromEntries(Object.entries(AS_I1_SAYS).filter(([name]) => name !== attribute));
      assert.throws(() => checkAttributes("hot-1", others), {
        code: "key-refused",
        message: /found no such attribute$/,
      });
    });
  }
});
