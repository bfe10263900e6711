// Goal: each answer of a module meets the remedy that may help, and what nothing helps against is not tried again.
import assert from "node:assert/strict";
import pkcs11 from "pkcs11js";
import { NotRepeatable, Retired } from "../../../../src/adapters/pkcs11/errors.ts";
import { type Remedy, remedyFor } from "../../../../src/adapters/pkcs11/faults.ts";
import { GatewayError } from "../../../../src/domain/errors.ts";

const answered = (code: number) => Object.assign(new Error("CKR_X"), { code });

describe("remedies", () => {
  const remedies: [Remedy, Record<string, number>][] = [
    ["another-session", pick("CKR_SESSION_CLOSED", "CKR_SESSION_HANDLE_INVALID", "CKR_OPERATION_ACTIVE")],
    ["new-login", pick("CKR_USER_NOT_LOGGED_IN", "CKR_KEY_HANDLE_INVALID", "CKR_DEVICE_REMOVED", "CKR_GENERAL_ERROR")],
    ["new-login", { "a vendor's own": 0x8000_0123 }],
    ["restart", pick("CKR_CRYPTOKI_NOT_INITIALIZED")],
    // A PIN is never offered twice; a key or mechanism that does not fit will not fit the next time.
    ["none", pick("CKR_PIN_INCORRECT", "CKR_PIN_LOCKED", "CKR_MECHANISM_INVALID", "CKR_KEY_FUNCTION_NOT_PERMITTED")],
    ["none", pick("CKR_DATA_LEN_RANGE", "CKR_ARGUMENTS_BAD", "CKR_TEMPLATE_INCONSISTENT", "CKR_ATTRIBUTE_SENSITIVE")],
  ];
  for (const [remedy, codes] of remedies) {
    for (const [name, code] of Object.entries(codes)) {
      it(`${name}: ${remedy}`, () => assert.equal(remedyFor(answered(code)), remedy));
    }
  }

  it("what the gateway itself refuses is not tried again", () => {
    assert.equal(remedyFor(new GatewayError("key-refused", "no")), "none");
    assert.equal(remedyFor(new TypeError("a mistake of ours")), "none");
  });

  it("an operation that never began may begin elsewhere; one of unknown outcome heals like its cause", () => {
    assert.equal(remedyFor(new Retired()), "another-session");
    assert.equal(remedyFor(new NotRepeatable(answered(pkcs11.CKR_DEVICE_ERROR))), "new-login");
  });
});

function pick(...names: (keyof typeof pkcs11)[]): Record<string, number> {
  return Object.fromEntries(names.map((name) => [name, pkcs11[name] as unknown as number]));
}
