import assert from "node:assert/strict";
import { Interface, Transaction } from "ethers";
import type { Account } from "../../../src/domain/chain.ts";
import { HOUSE } from "../../../src/domain/names.ts";
import { appendLeaf } from "../../../src/vault/log.ts";
import type { Answer } from "../../../src/vault/api/routes.ts";
import {
  acmePolicy,
  accountOf,
  ADDRESSES,
  ASSETS,
  CHAIN,
  newKey,
  REQUESTS,
  testVault,
  transferBody,
  type TestVault,
} from "../../support/vault.ts";

// Goal: one client's money, key and network are never another's, whoever asks and however it is written (I2, I13, I14).
// Method: two clients whose keys have the same name, one policy that allows as much as a policy can; ethers says who signed.

const TOKEN = "0x4444444444444444444444444444444444444444";
const WITH_TOKEN = {
  ...ASSETS,
  assets: { ...ASSETS.assets, USD: { chain: CHAIN, decimals: "0", standard: "erc20", contract: `${CHAIN}:${TOKEN}` } },
};
const erc20 = new Interface([
  "function transfer(address to, uint256 value)",
  "function transferFrom(address from, address to, uint256 value)",
]);
const GENEROUS = {
  id: "payouts",
  allow: ["transfer"],
  to: ["anyone"],
  amount: { ETH: "any", USD: "any" },
};

describe("segregation of clients", () => {
  let vault: TestVault;
  let ours: string;
  let theirs: string;
  let houses: string;
  let version = 1;
  const addressOf = (accounts: readonly string[]): string => accounts[0]!.split(":")[2]!;
  const apply = (rules: object[], addressBook?: object) =>
    vault.apply(
      "acme",
      {
        ...acmePolicy,
        version: String(++version),
        callers: vault.clientCallers,
        rules,
        ...(addressBook ? { addressBook } : {}),
        limits: Object.fromEntries(
          ["ETH", "USD"].map((sum) => [sum.toLowerCase(), { sum, max: "1000000", window: { rolling: "24h" } }]),
        ),
      },
      ["officer"],
      WITH_TOKEN,
    );

  before(async () => {
    vault = await testVault();
    ours = addressOf(vault.key.accounts);
    await vault.call("operator", "POST", "/v1/clients", { client: "blue" }, newKey());
    const key = { name: "hot-1", chains: [CHAIN] };
    const made = await vault.call("operator", "POST", "/v1/clients/blue/keys", key, newKey());
    assert.equal(made.status, 201, JSON.stringify(made.body));
    theirs = addressOf((made.body as { accounts: string[] }).accounts);
    // The house has no key over the API yet: its account is put where its keys would stand.
    houses = ADDRESSES[2]!;
    const row = { ...vault.key, client: HOUSE, id: "house-1", publicKey: Buffer.alloc(65, 4) };
    await vault.store.write(async (transaction) => {
      const key = { ...row, accounts: [accountOf(houses) as Account] };
      const { name, publicKey, ...said } = key;
      const shown = {
        ...said,
        key: name,
        publicKey: Buffer.from(publicKey).toString("hex"),
        ceremony: { how: "adopted" },
      };
      const { client: _client, ...content } = shown;
      await appendLeaf(transaction, (await transaction.client(HOUSE))!, "key-created", content);
      await transaction.insertKey(key);
    });
    await apply([GENEROUS]);
  });
  after(() => vault.close());

  const post = (fields: object, caller = "payouts", target = REQUESTS): Promise<Answer> =>
    vault.call(caller, "POST", target, transferBody(5, { gas: "1", ...fields }), newKey());
  const codesOf = ({ body }: Answer): string[] => {
    const { code, request } = body as { code: string; request?: { decision?: { reasons: { code: string }[] } } };
    return [code, ...(request?.decision?.reasons.map((reason) => reason.code) ?? [])];
  };
  const refusesForeign = async (fields: object): Promise<void> => {
    const signed = (vault.hsm as unknown as { signed: string[] }).signed.length;
    const answer = await post(fields);
    assert.equal(answer.status, 403, JSON.stringify(answer.body));
    assert.ok(codesOf(answer).includes("foreign-account"), JSON.stringify(answer.body));
    assert.equal((vault.hsm as unknown as { signed: string[] }).signed.length, signed, "nothing was signed");
  };
  const token = (name: "transfer" | "transferFrom", ...values: unknown[]) => ({
    to: TOKEN,
    value: "0",
    data: erc20.encodeFunctionData(name, values),
  });

  describe("I13: destinations and sources", () => {
    it("`anyone` is whoever is neither another client nor the house", async () => {
      assert.equal((await post({ to: ADDRESSES[0] })).status, 201);
      await refusesForeign({ to: theirs });
      await refusesForeign({ to: houses });
      await refusesForeign(token("transfer", theirs, 5));
      await refusesForeign(token("transfer", houses, 5));
    });

    it("a rule that names the other client's account and not its owner does not reach it", async () => {
      await apply([{ ...GENEROUS, to: [accountOf(theirs), "anyone"] }]);
      await refusesForeign({ to: theirs });
    });

    it("a rule that names the client reaches it, and the house not; and the other way round", async () => {
      await apply([{ ...GENEROUS, to: ["client:blue"] }]);
      assert.equal((await post({ to: theirs })).status, 201);
      await refusesForeign({ to: houses });
      await apply([{ ...GENEROUS, to: ["house"] }]);
      assert.equal((await post({ to: houses })).status, 201);
      await refusesForeign({ to: theirs });
    });

    it("another client's account is never spent from, whatever a rule says", async () => {
      await apply([GENEROUS]);
      await refusesForeign(token("transferFrom", theirs, ADDRESSES[0], 5));
      await refusesForeign(token("transferFrom", theirs, ours, 5));
      await refusesForeign(token("transferFrom", houses, ADDRESSES[0], 5));
      await refusesForeign(token("transferFrom", ADDRESSES[1], ADDRESSES[0], 5));
      const book = { safe: { address: accountOf(ADDRESSES[1]!) }, friend: { address: accountOf(theirs) } };
      await apply([{ ...GENEROUS, from: ["account:safe", "account:friend"] }], book);
      const named = await post(token("transferFrom", ADDRESSES[1], ADDRESSES[0], 5));
      assert.equal(named.status, 201, JSON.stringify(named.body));
      await refusesForeign(token("transferFrom", theirs, ADDRESSES[0], 5));
    });
  });

  describe("I2: one client, one token", () => {
    before(() => apply([GENEROUS]));

    it("our callers are nobody on the other client's paths", async () => {
      const answer = await post({ to: ADDRESSES[0] }, "payouts", "/v1/clients/blue/signing-requests");
      assert.deepEqual([answer.status, codesOf(answer)[0]], [401, "unknown-caller"]);
      for (const path of ["keys", "policy", "signing-requests"])
        assert.equal((await vault.call("payouts", "GET", `/v1/clients/blue/${path}`)).status, 401);
    });

    it("two keys of one name: each client's own signs", async () => {
      const answer = await post({ to: ADDRESSES[0] });
      const { result } = answer.body as { result: { signedTransaction: string; address: string } };
      assert.equal(Transaction.from(result.signedTransaction).from, ours);
      assert.notEqual(ours, theirs);
    });

    it("another's request is not found, by id or by idempotency key", async () => {
      const key = newKey();
      const made = await vault.call("payouts", "POST", REQUESTS, transferBody(5), key);
      const { id } = made.body as { id: string };
      const read = await vault.call("inspector", "GET", `/v1/clients/blue/signing-requests/${id}`);
      assert.deepEqual([read.status, codesOf(read)[0]], [404, "request-not-found"]);
      const other = await vault.call("trading", "POST", REQUESTS, transferBody(5), key);
      assert.notEqual((other.body as { id: string }).id, id);
    });
  });

  describe("I14: a key lives on its chains", () => {
    it("a transaction for another chain is refused, as fields and as bytes", async () => {
      const fields = await post({ chainId: "1" });
      assert.deepEqual([fields.status, codesOf(fields)[0]], [422, "wrong-chain"]);
      for (const chainId of [1, 31338]) {
        const bytes = Transaction.from({ type: 2, chainId, nonce: 0, to: ADDRESSES[0]!, value: 5n, gasLimit: 1n });
        const body = { key: "hot-1", payload: { type: "evm-transaction", unsigned: bytes.unsignedSerialized } };
        const answer = await vault.call("payouts", "POST", REQUESTS, body, newKey());
        assert.deepEqual([answer.status, codesOf(answer)[0]], [422, "wrong-chain"]);
      }
    });

    it("a transaction that names no chain is never signed", async () => {
      const bytes = Transaction.from({ type: 0, chainId: 0, nonce: 0, to: ADDRESSES[0]!, value: 5n, gasLimit: 1n });
      const body = { key: "hot-1", payload: { type: "evm-transaction", unsigned: bytes.unsignedSerialized } };
      const answer = await vault.call("payouts", "POST", REQUESTS, body, newKey());
      assert.deepEqual([answer.status, codesOf(answer)[0]], [422, "no-replay-protection"]);
    });

    it("no request says where a key lives", async () => {
      const body = { ...transferBody(5), chain: "eip155:1" };
      assert.equal((await vault.call("payouts", "POST", REQUESTS, body, newKey())).status, 400);
    });

    it("a key is made on chains of one kind that exist, and never again under its name", async () => {
      const make = (body: object) => vault.call("operator", "POST", "/v1/clients/blue/keys", body, newKey());
      for (const chains of [[], ["eip155:0"], ["eip155:01"], ["bip122:x"], ["solana:1"], [CHAIN, CHAIN, 1]])
        assert.ok([400, 422].includes((await make({ name: "hot-2", chains })).status), JSON.stringify(chains));
      const again = await make({ name: "hot-1", chains: ["eip155:1"] });
      assert.deepEqual([again.status, codesOf(again)[0]], [409, "key-exists"]);
    });
  });
});
