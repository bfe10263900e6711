// Goal: the gateway hears PKCS#11's own name of what went wrong, in whichever way the binding throws it.
import assert from "node:assert/strict";
import pkcs11 from "pkcs11js";
import { ckrOf, hsmError } from "../../../../src/adapters/pkcs11/errors.ts";
import { GatewayError } from "../../../../src/domain/errors.ts";

const thrown = (message: string, code?: number) => Object.assign(new Error(message), { code });

describe("answers of a PKCS#11 module", () => {
  const cases: [string, Error, { code: number; name: string } | undefined][] = [
    ["a code beside the name", thrown("CKR_PIN_INCORRECT", 160), { code: 160, name: "CKR_PIN_INCORRECT" }],
    ["a code within the text", thrown("CKR_DEVICE_ERROR:48"), { code: 48, name: "CKR_DEVICE_ERROR" }],
    ["a vendor's code", thrown("CKR_VENDOR_DEFINED", 0x80000001), { code: 0x80000001, name: "CKR_0x80000001" }],
    ["a code newer than the binding", thrown("CKR_VENDOR_DEFINED", 0x1b), { code: 0x1b, name: "CKR_0x0000001b" }],
    ["no answer of a module", thrown("Argument 1 is required"), undefined],
  ];
  for (const [what, error, expected] of cases) it(what, () => assert.deepEqual(ckrOf(error), expected));

  const codes: [number, string][] = [
    [pkcs11.CKR_PIN_INCORRECT, "pin-incorrect"],
    [pkcs11.CKR_PIN_LOCKED, "pin-locked"],
    [pkcs11.CKR_PIN_LEN_RANGE, "pin-invalid"],
    [pkcs11.CKR_DEVICE_REMOVED, "hsm-unavailable"],
    [pkcs11.CKR_GENERAL_ERROR, "hsm-unavailable"],
  ];
  for (const [ckr, code] of codes) {
    it(`0x${ckr.toString(16)} is ${code}`, () => assert.equal(hsmError(thrown("CKR_X", ckr), "opening").code, code));
  }

  it("an error of ours stays as it is", () => {
    const error = new GatewayError("key-refused", "no");
    assert.equal(hsmError(error, "proving"), error);
  });
});
