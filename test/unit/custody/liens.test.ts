import assert from "node:assert/strict";
import { Holdings, touchedBy } from "../../../src/custody/liens.ts";
import { Register, type Opening } from "../../../src/custody/register.ts";
import type { Account, AssetSymbol, ChainId } from "../../../src/domain/chain.ts";
import type { Intent, Operation } from "../../../src/domain/intent.ts";

// Goal: whatever could take a pledged asset counts, at the most that it could; what cannot be bounded takes everything.
// Method: one intent of each kind of operation against a lien on USDC, on its chain and on another.

const CHAIN = "eip155:1" as ChainId;
const OWN = `${CHAIN}:0x0000000000000000000000000000000000000A11` as Account;
const OUT = `${CHAIN}:0x0000000000000000000000000000000000000B01` as Account;
const TOKEN = `${CHAIN}:0x0000000000000000000000000000000000000C01` as Account;
const [ETH, USDC] = ["ETH", "USDC"] as AssetSymbol[] as [AssetSymbol, AssetSymbol];
const ON_USDC = { asset: USDC, chain: CHAIN, contract: TOKEN, liens: ["loan"], available: 40n };

type Given = { readonly fee?: bigint; readonly chain?: string };
const intent = (operation: object, { fee = 0n, chain = CHAIN }: Given = {}): Intent => ({
  chain: chain as ChainId,
  account: OWN,
  operations: [{ from: OWN, ...operation } as Operation],
  fee: { asset: ETH, max: fee },
  claims: [],
});
const touched = (operation: object, given?: Given, lien: object = {}) => {
  const [found] = touchedBy(intent(operation, given), [{ ...ON_USDC, ...lien }], (account) => account === OWN);
  return found && [found.requested, found.holds];
};
const transfer = { kind: "transfer", asset: USDC, to: OUT };
const allowance = { kind: "allowance", asset: USDC, to: OUT };

describe("what a lien forbids", () => {
  it("transfers and allowances up to what is available, and no more", () => {
    assert.deepEqual(touched({ ...transfer, amount: 40n }), [40n, true]);
    assert.deepEqual(touched({ ...transfer, amount: 41n }), [41n, false]);
    assert.deepEqual(touched({ ...allowance, amount: 40n }), [40n, true]);
    assert.deepEqual(touched({ ...allowance, amount: 41n }), [41n, false]);
    assert.deepEqual(touched({ ...allowance, amount: 1n, unlimited: true }), ["unbounded", false]);
  });

  it("nothing at all where nothing is known or everything is pledged", () => {
    assert.deepEqual(touched({ ...transfer, amount: 1n }, {}, { available: "none" }), [1n, false]);
    assert.deepEqual(touched({ ...transfer, amount: 1n }, {}, { available: -5n }), [1n, false]);
  });

  it("what stays with the client takes nothing, another asset takes nothing, the fee is the native asset's", () => {
    assert.equal(touched({ ...transfer, to: OWN, amount: 99n }), undefined);
    assert.equal(touched({ ...transfer, asset: ETH, amount: 99n }, { fee: 9n }), undefined);
    const onEther = { asset: ETH, contract: undefined };
    assert.deepEqual(touched({ ...transfer, amount: 1n }, { fee: 41n }, onEther), [41n, false]);
    assert.deepEqual(touched({ ...transfer, asset: ETH, amount: 30n }, { fee: 10n }, onEther), [40n, true]);
  });

  const unbounded: Record<string, object> = {
    "an undecoded call": { kind: "call", to: OUT, selector: "0x00000000" },
    "a call of the asset's own contract": { kind: "call", to: TOKEN, selector: "0x0", method: { signature: "burn()" } },
    "a delegation": { kind: "delegate", to: OUT },
    "a change of owners": { kind: "govern", to: OUT, method: "addOwner(address)" },
    "unknown typed data": { kind: "typed-data", domain: {}, primaryType: "Order" },
    "an opaque message": { kind: "message", format: "opaque" },
  };
  for (const [what, operation] of Object.entries(unbounded)) {
    it(`${what} cannot be bounded: refused on the asset's chain, and of no matter on another`, () => {
      assert.deepEqual(touched(operation), ["unbounded", false]);
      assert.equal(touched(operation, { chain: "eip155:10" }), undefined);
    });
  }

  it("a raw digest may be of any chain", () => {
    assert.deepEqual(touched({ kind: "raw-digest" }, { chain: "raw:secp256k1" }), ["unbounded", false]);
  });

  it("a decoded call elsewhere, a deployment and words that people read take nothing", () => {
    assert.equal(touched({ kind: "call", to: OUT, selector: "0x0", method: { signature: "vote()" } }), undefined);
    assert.equal(touched({ kind: "deploy" }), undefined);
    assert.equal(touched({ kind: "message", format: "text", text: "hello" }), undefined);
  });

  it("what nobody has committed yet counts where it is stricter, and only there", () => {
    const leaf = (type: string, content: object): Opening => ({ type, index: 0, at: 0, ...content });
    const lien = { lien: "loan", asset: ETH, chain: CHAIN, securedParty: "bank", keys: [] };
    const committed = [
      leaf("key-created", { accounts: [OWN] }),
      leaf("observed", { what: "deposit", deposit: { transaction: "0x1", position: "0", asset: ETH, amount: "100" } }),
      leaf("observed", { what: "balance", balance: { asset: ETH, amount: "100" }, by: "watcher" }),
      leaf("lien-placed", { ...lien, amount: "60" }),
    ];
    const paid = (request: string, amount: bigint) =>
      leaf("authorized", {
        request,
        intent: JSON.parse(
          JSON.stringify(intent({ ...transfer, asset: ETH, amount }), (_, value: unknown) =>
            typeof value === "bigint" ? value.toString() : value,
          ),
        ) as object,
      });
    const available = (unsettled: Opening[], except: string[] = []) =>
      new Holdings(Register.of(committed), unsettled).encumbered(new Set(except))[0]!.available;
    assert.equal(available([]), 40n);
    assert.equal(available([paid("a", 10n), paid("b", 5n)]), 25n);
    assert.equal(available([paid("a", 10n), paid("b", 5n)], ["b"]), 30n);
    assert.equal(available([leaf("lien-placed", { ...lien, lien: "more", amount: "30" })]), 10n);
    assert.equal(available([leaf("lien-placed", { ...lien, lien: "more", amount: "all" })]), "none");
    assert.equal(available([leaf("lien-released", { lien: "loan", remaining: "none" })]), 40n);
    assert.equal(available([leaf("failed", { request: "a", spend: "given-back" })]), 40n);
  });
});
