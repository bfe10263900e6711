import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSqliteStore } from "../../../src/adapters/sqlite/store.ts";
import { GatewayError } from "../../../src/domain/errors.ts";
import { Pins } from "../../../src/vault/pins.ts";
import type { Store, TokenRef } from "../../../src/vault/ports.ts";
import { sealed } from "../../support/sealed.ts";
import { gatewayTokenInSoftware } from "../../support/software-hsm.ts";

// Goal: whatever moment a change of PIN is cut short at, the token opens again; a PIN that a token has refused is never
// offered to it again; what was sealed for another client, token or version is never offered at all.
// Method: a token that is one PIN and a list of what it was asked.

const TOKEN: TokenRef = { label: "acme", serial: "1" };

class OnePinToken {
  pin: string;
  readonly offered: string[] = [];
  constructor(pin: string) {
    this.pin = pin;
  }
  readonly open = async (pin: string): Promise<string> => {
    this.offered.push(pin);
    if (pin === this.pin) return "open";
    throw new GatewayError("pin-incorrect", "wrong", { facts: { ckr: "CKR_PIN_INCORRECT" } });
  };
}

describe("vault/pins", () => {
  let folder: string;
  let store: Store;
  let pins: Pins;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-pins-"));
    store = sealed(openSqliteStore(join(folder, "store.db")));
    pins = new Pins({ store, sealer: gatewayTokenInSoftware() });
    const first = await pins.seal("acme", TOKEN, "first-pin");
    await store.write((transaction) => transaction.putPin(first));
  });
  afterEach(async () => {
    await store.close();
    rmSync(folder, { recursive: true });
  });

  const rows = async () =>
    (await store.read((reader) => reader.pins("acme"))).map(({ version, state }) => [version, state]);
  const login = (token: OnePinToken) => pins.login("acme", TOKEN, token.open);
  const rotate = (change: (pin: string, newPin: string) => Promise<void>) =>
    pins.rotate("acme", TOKEN, change, async () => undefined);

  it("opens with the one that is kept", async () => {
    assert.equal(await login(new OnePinToken("first-pin")), "open");
    assert.deepEqual(await rows(), [[1, "kept"]]);
  });

  it("a refused one is offered once, not at the next start either", async () => {
    const token = new OnePinToken("changed elsewhere");
    await assert.rejects(login(token), { code: "pin-incorrect" });
    await assert.rejects(login(token), { code: "pin-refused" });
    assert.deepEqual(token.offered, ["first-pin"]);
  });

  it("what fails otherwise says nothing about the PIN", async () => {
    const away = () =>
      Promise.reject(new GatewayError("hsm-unavailable", "away", { facts: { ckr: "CKR_DEVICE_ERROR" } }));
    await assert.rejects(pins.login("acme", TOKEN, away), { code: "hsm-unavailable" });
    // Refused by the adapter without asking the token: it is open with another one.
    const notAsked = () => Promise.reject(new GatewayError("pin-incorrect", "another", { facts: {} }));
    await assert.rejects(pins.login("acme", TOKEN, notAsked), { code: "pin-incorrect" });
    assert.deepEqual(await rows(), [[1, "kept"]]);
  });

  it("a rotation seals the new one before the token is asked, and forgets the old one after", async () => {
    const token = new OnePinToken("first-pin");
    let duringChange: unknown;
    const version = await rotate(async (pin, newPin) => {
      assert.equal(pin, token.pin);
      duringChange = await rows();
      token.pin = newPin;
    });
    assert.deepEqual(duringChange, [
      [1, "kept"],
      [2, "kept"],
    ]);
    assert.deepEqual([version, await rows()], [2, [[2, "kept"]]]);
    assert.equal(await login(token), "open");
    assert.notEqual(token.pin, "first-pin");
    assert.ok(token.pin.length >= 22, "128 bits in base64url");
  });

  for (const [when, took] of [
    ["before the token took it", false],
    ["after the token took it", true],
  ] as const) {
    it(`cut short ${when}, the token opens, with one wrong PIN at the most, and the next rotation goes on`, async () => {
      const token = new OnePinToken("first-pin");
      const cutShort = rotate(async (_pin, newPin) => {
        if (took) token.pin = newPin;
        throw new Error("the power failed");
      });
      await assert.rejects(cutShort, /power/);
      assert.equal(await login(token), "open");
      assert.equal(token.offered.length, took ? 2 : 1);
      assert.equal(await login(token), "open");
      assert.equal(token.offered.length, took ? 3 : 2);
      const meant: string[] = [];
      await rotate(async (_pin, newPin) => void meant.push((token.pin = newPin)));
      assert.equal(await login(token), "open");
      assert.equal((await rows()).length, 1);
    });
  }

  it("where the module changes no PINs, the old one stands alone", async () => {
    const facts = { ckr: "CKR_FUNCTION_NOT_SUPPORTED" };
    const change = () => Promise.reject(new GatewayError("hsm-unavailable", "no", { facts }));
    await assert.rejects(rotate(change), { code: "hsm-unavailable" });
    assert.deepEqual(await rows(), [[1, "kept"]]);
  });

  it("sealed for another client, another token or another version it is not offered", async () => {
    const token = new OnePinToken("first-pin");
    const [row] = await store.read((reader) => reader.pins("acme"));
    await store.write(async (transaction) => {
      await transaction.putPin({ ...row!, name: "blue" });
      await transaction.putPin({ ...row!, name: "green", version: 2 });
    });
    const broken = { code: "seal-broken" };
    await assert.rejects(pins.login("blue", TOKEN, token.open), broken);
    await assert.rejects(pins.login("green", TOKEN, token.open), broken);
    await assert.rejects(pins.login("acme", { ...TOKEN, serial: "2" }, token.open), broken);
    await assert.rejects(pins.login("acme", { ...TOKEN, label: "acme2" }, token.open), broken);
    assert.deepEqual(token.offered, []);
  });

  it("one that administrators set is kept only if the token takes it", async () => {
    const token = new OnePinToken("theirs-1234");
    await assert.rejects(pins.replace("acme", TOKEN, "mistyped", token.open), { code: "pin-incorrect" });
    assert.deepEqual(await rows(), [[1, "kept"]]);
    await pins.replace("acme", TOKEN, "theirs-1234", token.open);
    assert.equal(await login(token), "open");
    assert.deepEqual(token.offered, ["mistyped", "theirs-1234", "theirs-1234"]);
  });
});
