import assert from "node:assert/strict";
import type { ClientId } from "../../../src/domain/names.ts";
import { mintPermit, redeemPermit } from "../../../src/vault/permit.ts";
import type { SigningPermit } from "../../../src/vault/ports.ts";

// Goal: a permit is worth one signature over one digest, and nobody can make one (I3).

const order = (digest32 = Buffer.alloc(32, 7)) => ({ client: "acme" as ClientId, keyId: "01", digest32 });
const invalid = { code: "permit-invalid" };

describe("vault/permit", () => {
  it("is worth exactly the order that it was minted for", () => {
    assert.deepEqual(redeemPermit(mintPermit(order())), { ...order(), digest32: new Uint8Array(32).fill(7) });
  });

  it("works once", () => {
    const permit = mintPermit(order());
    redeemPermit(permit);
    assert.throws(() => redeemPermit(permit), invalid);
  });

  it("keeps the digest that it was minted for, whatever becomes of the caller's bytes", () => {
    const digest32 = Buffer.alloc(32, 7);
    const permit = mintPermit(order(digest32));
    digest32.fill(9);
    assert.deepEqual(redeemPermit(permit).digest32, new Uint8Array(32).fill(7));
  });

  it("shows nothing of itself and takes nothing on", () => {
    const permit = mintPermit(order());
    assert.deepEqual(Reflect.ownKeys(permit), []);
    assert.ok(Object.isFrozen(permit));
  });

  for (const [what, forge] of [
    ["an object of the same shape", () => Object.freeze({})],
    ["a copy of a permit", () => ({ ...mintPermit(order()) })],
    ["a clone of a permit", () => structuredClone(mintPermit(order()))],
    ["what inherits from a permit", () => Object.create(mintPermit(order())) as object],
    ["a proxy around a permit", () => new Proxy(mintPermit(order()), {})],
    ["the order itself", () => order()],
    ["nothing", () => undefined],
    ["a text", () => "permit"],
  ] as readonly (readonly [string, () => unknown])[]) {
    it(`${what} is none`, () => {
      assert.throws(() => redeemPermit(forge() as SigningPermit), invalid);
    });
  }

  it("two permits for one digest are two", () => {
    const [first, second] = [mintPermit(order()), mintPermit(order())];
    redeemPermit(first);
    assert.doesNotThrow(() => redeemPermit(second));
  });
});
