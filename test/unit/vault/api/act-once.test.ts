import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { copyFileSync, readFileSync } from "node:fs";
import Database from "better-sqlite3";
import { openSqliteStore } from "../../../../src/adapters/sqlite/store.ts";
import { GatewayClient } from "../../../../src/sdk/client.ts";
import { route } from "../../../../src/vault/api/router.ts";
import type { Gateway } from "../../../../src/vault/gateway.ts";
import { checkLog, leavesOf, logOf } from "../../../support/log-check.ts";
import { CHAIN, newKey, testVault, type TestVault } from "../../../support/vault.ts";

// Goal: an act whose answer was lost is asked for again, and is one act with one answer (I6): from the vault that did it,
// from another one, at the same moment; another request under its key is refused, and so is a row that was made by hand.

const KEYS = "/v1/clients/acme/keys";
const BODY = { name: "hot-2", chains: [CHAIN] };

describe("vault/api/act-once", () => {
  let vault: TestVault;
  beforeEach(async () => (vault = await testVault()));
  afterEach(() => vault.close());

  const post = (key: string, body: object = BODY, target = KEYS) => vault.call("operator", "POST", target, body, key);
  const codeOf = ({ status, body }: { status: number; body: unknown }) => [status, (body as { code?: string }).code];
  /** Through another vault on the same store. */
  const postTo = (gateway: Gateway, key: string, body: object = BODY) => {
    const bytes = Buffer.from(JSON.stringify(body));
    const { headers } = new GatewayClient(vault.callers.get("operator")!).signRequest("POST", KEYS, bytes, key);
    return route(gateway, { method: "POST", target: KEYS, headers, body: bytes });
  };
  const made = async () => leavesOf(checkLog(await logOf(vault.store)), "key-created").length;
  const asText = (value: unknown) => JSON.stringify(value);

  it("the same request has the first one's answer, also of another vault, and was done once", async () => {
    const key = newKey();
    const first = await post(key);
    assert.equal(first.status, 201);
    const others = [await post(key), await postTo(await vault.restarted(), key)];
    for (const { status, body } of others) assert.equal(asText([status, body]), asText([201, first.body]));
    assert.equal(await made(), 2);
    assert.deepEqual(codeOf(await post(newKey())), [409, "key-exists"]);
  });

  it("another body or another path under its key is refused; another caller's key is another key", async () => {
    const key = newKey();
    await post(key);
    assert.deepEqual(codeOf(await post(key, { ...BODY, name: "hot-3" })), [422, "idempotency-mismatch"]);
    const state = await post(key, { state: "disabled" }, `${KEYS}/hot-2/state`);
    assert.deepEqual(codeOf(state), [422, "idempotency-mismatch"]);
    assert.equal((await post(newKey(), { state: "disabled" }, `${KEYS}/hot-2/state`)).status, 200);
    assert.equal(await made(), 2);
  });

  it("a refusal has done nothing, and leaves the key free", async () => {
    const key = newKey();
    assert.deepEqual(codeOf(await post(key, { ...BODY, name: "hot-1" })), [409, "key-exists"]);
    assert.equal((await post(key)).status, 201);
  });

  it("while the HSM makes a key the same request, and any other for that name, is told to wait", async () => {
    const { token } = vault.gateway.directory.get("acme" as never);
    const make = token!.generateKey.bind(token);
    let calls = 0;
    let go = (): void => undefined;
    token!.generateKey = async (...of) => {
      calls += 1;
      await new Promise<void>((resolve) => (go = resolve));
      return make(...of);
    };
    const key = newKey();
    const first = post(key);
    while (calls === 0) await new Promise((resolve) => setImmediate(resolve));
    const other = await vault.restarted();
    for (const answer of [await post(key), await post(newKey()), await postTo(other, newKey())])
      assert.deepEqual(codeOf(answer), [409, "request-in-progress"]);
    go();
    assert.deepEqual([(await first).status, calls], [201, 1]);
    assert.deepEqual(asText((await post(key)).body), asText((await first).body));
    assert.deepEqual(codeOf(await post(newKey())), [409, "key-exists"], "the name's turn is over");
  });

  it("every change that is remembered is: of policy, freeze, PIN, state", async () => {
    const pin = newKey();
    const rotated = await post(pin, {}, "/v1/clients/acme/pin");
    assert.deepEqual((await post(pin, {}, "/v1/clients/acme/pin")).body, rotated.body);
    const client = newKey();
    const added = await post(client, { client: "blue" }, "/v1/clients");
    assert.equal(asText((await post(client, { client: "blue" }, "/v1/clients")).body), asText(added.body));
    const ended = newKey();
    const state = await post(ended, { state: "retired" }, `${KEYS}/hot-1/state`);
    assert.equal(asText((await post(ended, { state: "retired" }, `${KEYS}/hot-1/state`)).body), asText(state.body));
    const log = checkLog(await logOf(vault.store));
    for (const type of ["pin-changed", "key-retired"]) assert.equal(leavesOf(log, type).length, 1, type);
  });

  it("a row that was changed, or brought under another key, is no answer", async () => {
    const key = newKey();
    await post(key);
    const path = `${vault.storePath}.copy`;
    for (const end of ["", "-wal"]) copyFileSync(`${vault.storePath}${end}`, `${path}${end}`);
    const database = new Database(path);
    database.exec("INSERT INTO answers SELECT client, caller, 'brought', status, body, seal FROM answers");
    database.exec("UPDATE answers SET body = replace(body, '0x04', '0x03') WHERE idempotency_key <> 'brought'");
    database.close();
    const rows = openSqliteStore(path, () => vault.clock.now);
    const gateway = await vault.restarted({ store: vault.sealed(rows) });
    for (const each of [key, "brought"])
      assert.deepEqual(codeOf(await postTo(gateway, each)), [422, "idempotency-mismatch"]);
    await rows.close();
  });

  it("of a PIN that was given nothing is kept by which it could be tried", async () => {
    const body = { pin: "31415926" };
    const openToken = vault.hsm.openToken.bind(vault.hsm);
    const { token } = vault.gateway.directory.get("acme" as never);
    Object.assign(vault.hsm, {
      openToken: async (...[ref, pin]: Parameters<typeof openToken>) =>
        pin === body.pin ? token! : openToken(ref, pin),
    });
    const hash = createHash("sha256").update(JSON.stringify(body)).digest("hex");
    assert.equal((await post(newKey(), body, "/v1/clients/acme/pin")).status, 200);
    const bytes = ["", "-wal"].map((end) => readFileSync(`${vault.storePath}${end}`).toString("latin1")).join();
    assert.ok(bytes.includes("pin-changed") && !bytes.includes(hash) && !bytes.includes(body.pin));
  });
});
