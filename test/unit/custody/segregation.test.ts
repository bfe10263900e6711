import assert from "node:assert/strict";
import { segregationOf, shareText, type Crossed, type SegregatedClient } from "../../../src/custody/segregation.ts";

// Goal: everything that is not apart is named, and nothing else is; figures never say more than is known.
// Method: two clients that are apart; then one thing of them is changed.

const AT = Date.parse("2026-11-20T12:00:00Z");
const HOUR_MS = 3_600_000;

const clientOf = (client: string, change: Partial<SegregatedClient> = {}): SegregatedClient => ({
  client,
  owner: "client",
  token: { label: client, serial: `serial-${client}` },
  legalBasis: { kind: "trust", reference: "section 4" },
  keys: [
    {
      ...{ key: "hot-1", state: "active", purpose: "transactions", attributes: {}, createdIn: 3, proven: true },
      publicKey: `04-${client}`,
      accounts: [`eip155:1:${client}`],
    },
  ],
  positions: [{ asset: "ETH", decimals: 18, closing: 90n, encumbered: 5n, atVenues: 10n }],
  reconciled: { leaf: 9, at: AT - HOUR_MS },
  ...change,
});
const codes = (clients: readonly SegregatedClient[], crossed: readonly Crossed[] = []) =>
  segregationOf(clients, crossed, AT).breaches.map(({ code, client }) => `${client}: ${code}`);

describe("custody/segregation", () => {
  const acme = clientOf("acme");
  const [key] = acme.keys as [SegregatedClient["keys"][number]];
  const crossing: Crossed = {
    ...{ leaf: 7, client: "acme", request: "r", other: "blue", account: "eip155:1:blue", side: "to" },
    named: false,
  };

  it("clients that are apart have no breach", () => {
    assert.deepEqual(codes([acme, clientOf("blue")], [{ ...crossing, named: true }]), []);
  });

  const breaches: [string, string[], Partial<SegregatedClient>][] = [
    ["one token", ["blue: token-shared"], { token: acme.token }],
    ["one public key", ["blue: public-key-shared"], { keys: [{ ...key, accounts: [] }] }],
    ["one account", ["blue: account-shared"], { keys: [{ ...key, publicKey: "04-other" }] }],
    [
      "a key that does not prove itself",
      ["blue: key-refused"],
      { keys: [{ ...key, publicKey: "", accounts: [], proven: false }] },
    ],
    ["no legal basis", ["blue: legal-basis-missing"], { legalBasis: undefined }],
    ["a position below zero", ["blue: position-below-zero"], { positions: [{ ...acme.positions[0]!, closing: -1n }] }],
    ["no legal basis of the house", [], { owner: "house", legalBasis: undefined }],
  ];
  for (const [what, expected, change] of breaches)
    it(`${what}: ${expected.length === 0 ? "no breach" : "a breach"}`, () =>
      assert.deepEqual(codes([acme, clientOf("blue", change)]), expected));

  it("a withdrawal between owners that no rule names is a breach", () => {
    assert.deepEqual(codes([acme, clientOf("blue")], [crossing]), ["acme: owner-crossed"]);
  });

  it("the same account on several chains, and of several keys of one client, is one client's", () => {
    assert.deepEqual(codes([clientOf("acme", { keys: [key, { ...key, key: "hot-2" }] })]), []);
  });

  it("a position counts as reconciled for a day after a reconciliation without breaks, and else not at all", () => {
    const unreconciled = (reconciled: SegregatedClient["reconciled"]) =>
      segregationOf([clientOf("acme", { reconciled })], [], AT).figures[0]!.unreconciledForADay;
    assert.equal(unreconciled({ leaf: 1, at: AT - 23 * HOUR_MS }), 0n);
    assert.equal(unreconciled({ leaf: 1, at: AT - 25 * HOUR_MS }), 90n);
    assert.equal(unreconciled(undefined), 90n);
  });

  it("what is at venues is part of the total; what is below zero is nothing", () => {
    const [figure] = segregationOf([acme], [], AT).figures;
    assert.deepEqual([figure!.total, figure!.onOwnAddresses, figure!.atVenues], [100n, 90n, 10n]);
    const below = { ...acme.positions[0]!, closing: -5n, atVenues: -3n };
    assert.equal(segregationOf([clientOf("acme", { positions: [below] })], [], AT).figures[0]!.total, 0n);
    assert.deepEqual([shareText(1n, 3n), shareText(90n, 100n), shareText(0n, 0n)], ["33.33", "90.00", "-"]);
  });
});
