import assert from "node:assert/strict";
import { computeAddress } from "ethers";
import { GatewayError } from "../../../src/domain/errors.ts";
import { RESERVED_NAMES } from "../../../src/domain/names.ts";
import { adoptClient } from "../../../src/vault/clients.ts";
import { checkLog, leavesOf, logOf } from "../../support/log-check.ts";
import { CHAIN, newKey, REQUESTS, testVault, transferBody, type TestVault } from "../../support/vault.ts";

// Goal: one client, one token (I2), one leaf for each act; a name that means something else, or somebody else, is refused.

describe("vault/clients", () => {
  let vault: TestVault;
  beforeEach(async () => (vault = await testVault()));
  afterEach(() => vault.close());

  const add = (client: string) => vault.call("operator", "POST", "/v1/clients", { client }, newKey());
  const create = (client: string, body: object) =>
    vault.call("operator", "POST", `/v1/clients/${client}/keys`, body, newKey());
  const code = ({ body }: { body: unknown }) => (body as { code?: string }).code;

  it("a client has a token of its own and a leaf that names it", async () => {
    const { status, body } = await add("blue");
    const { token } = body as { token: { label: string; serial: string } };
    assert.deepEqual([status, token.label], [201, "blue"]);
    const leaf = leavesOf(checkLog(await logOf(vault.store)), "client-added").at(-1)!;
    assert.deepEqual(
      [leaf.client, leaf.number, leaf.opening["token"], leaf.opening["by"]],
      ["blue", 0, token, "operator"],
    );
  });

  for (const name of RESERVED_NAMES) {
    it(`\`${name}\` is the gateway's own`, async () => assert.equal(code(await add(name)), "reserved-name"));
  }

  it("a client that exists is refused, and stays as it is", async () => {
    const before = vault.gateway.directory.get("acme" as never).row;
    assert.equal(code(await add("acme")), "client-exists");
    assert.deepEqual(vault.gateway.directory.get("acme" as never).row, before);
  });

  it("a token that could not be made leaves nothing behind: the same name is added the next time", async () => {
    const { hsm } = vault.gateway;
    const make = hsm.createToken.bind(hsm);
    hsm.createToken = () => Promise.reject(new GatewayError("hsm-unavailable", "the HSM is away"));
    assert.equal(code(await add("blue")), "hsm-unavailable");
    assert.deepEqual(await vault.store.read((reader) => reader.pins("blue")), []);
    hsm.createToken = make;
    assert.equal((await add("blue")).status, 201);
  });

  it("of two at once with one name one is added", async () => {
    const codes = (await Promise.all([add("blue"), add("blue")])).map(({ status }) => status);
    assert.ok(codes.includes(201) && codes.some((status) => status >= 400), String(codes));
    assert.equal(leavesOf(checkLog(await logOf(vault.store)), "client-added").length, 2);
  });

  for (const name of ["", "Acme", "a_b", "a/b", "../x", "x".repeat(25), "acme ", "é"]) {
    it(`\`${name}\` is no name`, async () => assert.equal(code(await add(name)), "invalid-body"));
  }

  it("a key's accounts are its address on each of its chains, as ethers computes it", async () => {
    await add("blue");
    const { status, body } = await create("blue", { name: "cold", chains: ["eip155:1", CHAIN, "eip155:1"] });
    const { publicKey, accounts } = body as { publicKey: string; accounts: string[] };
    const address = computeAddress(publicKey);
    assert.deepEqual([status, accounts], [201, [`eip155:1:${address}`, `${CHAIN}:${address}`]]);
    const leaf = leavesOf(checkLog(await logOf(vault.store)), "key-created").at(-1)!;
    assert.deepEqual([leaf.client, leaf.opening["accounts"]], ["blue", accounts]);
  });

  it("a key's name is its client's own: another client may use it, the same one not twice", async () => {
    await add("blue");
    assert.equal((await create("blue", { name: "hot-1", chains: [CHAIN] })).status, 201);
    assert.equal(code(await create("blue", { name: "hot-1", chains: [CHAIN] })), "key-exists");
  });

  it("keys made at the same moment are all there", async () => {
    await add("blue");
    const names = ["a", "b", "c", "d"];
    await Promise.all(names.map((name) => create("blue", { name, chains: [CHAIN] })));
    assert.deepEqual([...vault.gateway.directory.get("blue" as never).keys.keys()].toSorted(), names);
  });

  for (const chains of [[], ["bip122:1"], ["eip155:0"], ["eip155:01"], ["EIP155:1"], "eip155:1"]) {
    it(`${JSON.stringify(chains)} are no chains`, async () => {
      assert.equal(code(await create("acme", { name: "cold", chains })), "invalid-body");
    });
  }

  const end = (key: string, state: string) =>
    vault.call("operator", "POST", `/v1/clients/acme/keys/${key}/state`, { state }, newKey());
  const sign = () => vault.call("payouts", "POST", REQUESTS, transferBody(1), newKey());

  it("a key goes from active to disabled to retired, never back, and signs in the first state only", async () => {
    assert.equal((await sign()).status, 201);
    assert.equal((await end("hot-1", "disabled")).status, 200);
    assert.equal(code(await sign()), "key-disabled");
    assert.equal(code(await end("hot-1", "disabled")), "key-disabled");
    assert.equal(code(await end("hot-1", "active")), "invalid-body");
    assert.equal((await end("hot-1", "retired")).status, 200);
    assert.equal(code(await end("hot-1", "disabled")), "key-disabled");
    assert.equal(code(await end("nobody", "retired")), "key-not-found");
    const log = checkLog(await logOf(vault.store));
    for (const [type, was] of [
      ["key-disabled", "active"],
      ["key-retired", "disabled"],
    ] as const) {
      const [leaf, ...others] = leavesOf(log, type);
      assert.deepEqual([leaf!.client, leaf!.opening["key"], leaf!.opening["was"], others], ["acme", "hot-1", was, []]);
    }
    assert.equal((await vault.restarted()).directory.get("acme" as never).keys.get("hot-1" as never)?.state, "retired");
  });

  it("a client's PIN is changed by command, once for each leaf, and the token opens after a start", async () => {
    const rotate = () => vault.call("operator", "POST", "/v1/clients/acme/pin", {}, newKey());
    assert.deepEqual(
      [(await rotate()).body, (await rotate()).body],
      [
        { client: "acme", version: 2 },
        { client: "acme", version: 3 },
      ],
    );
    const leaves = leavesOf(checkLog(await logOf(vault.store)), "pin-changed");
    assert.deepEqual(
      leaves.map(({ opening }) => opening["version"]),
      [2, 3],
    );
    assert.ok((await vault.restarted()).directory.get("acme" as never).token);
  });

  describe("a token that the HSM's administrators made", () => {
    const adopt = (client: string, label: string, pin: string, chains?: string[]) =>
      vault.call("operator", "POST", "/v1/clients", { client, adopt: { label, pin, chains } }, newKey());

    it("becomes the client's, and its administrators' PIN opens it no more", async () => {
      const token = await vault.hsm.createToken("partition-7", "their-pin");
      const { status, body } = await adopt("blue", "partition-7", "their-pin");
      assert.deepEqual([status, (body as { token: object }).token], [201, token]);
      await assert.rejects(vault.hsm.openToken(token, "their-pin"), { code: "pin-incorrect" });
      assert.equal((await create("blue", { name: "hot-1", chains: [CHAIN] })).status, 201);
      assert.ok((await vault.restarted()).directory.get("blue" as never).token);
    });

    it("becomes the client's also where the module changes no PINs, and says so", async () => {
      const token = await vault.hsm.createToken("partition-7", "their-pin");
      const facts = { ckr: "CKR_FUNCTION_NOT_SUPPORTED" };
      const changePin = () => Promise.reject(new GatewayError("hsm-unavailable", "not supported", { facts }));
      const gateway = { ...vault.gateway, hsm: { ...vault.hsm, changePin } };
      const adoption = { label: "partition-7", pin: "their-pin", chains: [] };
      const { pinKept } = await adoptClient(gateway, "blue" as never, adoption, "operator" as never);
      assert.equal(pinKept?.message, "not supported");
      assert.equal((await vault.hsm.openToken(token, "their-pin")).ref, token);
      assert.ok((await vault.restarted()).directory.get("blue" as never).token);
    });

    it("is refused where there is none, where it is another client's, and with a wrong PIN; nothing is kept", async () => {
      await vault.hsm.createToken("partition-7", "their-pin");
      assert.equal(code(await adopt("blue", "partition-8", "their-pin")), "token-not-found");
      assert.equal(code(await adopt("blue", "acme", "their-pin")), "token-in-use");
      assert.equal(code(await adopt("blue", "house", "their-pin")), "token-in-use");
      assert.equal(code(await adopt("blue", "partition-7", "mistyped")), "pin-incorrect");
      assert.equal(vault.gateway.directory.find("blue" as never), undefined);
      assert.equal((await adopt("blue", "partition-7", "their-pin")).status, 201);
    });
  });

  it("a start finds what was there", async () => {
    await add("blue");
    const { directory } = await vault.restarted();
    assert.deepEqual(
      directory.clients().map(({ row, keys }) => [row.id, [...keys.keys()]]),
      [
        ["acme", ["hot-1"]],
        ["blue", []],
      ],
    );
  });
});
