import assert from "node:assert/strict";
import {
  BREACHES,
  segregationOf,
  shareText,
  type Crossed,
  type Reconciliation,
  type SegregatedClient,
  type SegregatedPosition,
} from "../../../src/custody/segregation.ts";
import type { AssetSymbol } from "../../../src/domain/chain.ts";

// Goal: everything that is not apart is named, and nothing else is; figures never say more than is known.
// Method: two clients that are apart; then one thing of them is changed.

const AT = Date.parse("2026-11-20T12:00:00Z");
const HOUR_MS = 3_600_000;

const ether: SegregatedPosition = {
  ...{ asset: "ETH", chain: "eip155:1", decimals: 18, closing: 90n, encumbered: 5n },
  venues: [{ venue: "kraken", amount: 10n, max: 10n }],
};
const reconciliation = (change: Partial<Reconciliation> = {}): Reconciliation => ({
  ...{ leaf: 9, at: AT - HOUR_MS, by: "watcher", chains: ["eip155:1"], breaks: [], signedOutside: [], complete: true },
  ...change,
});
const differs = (difference: bigint, ageHours: number, asset = "ETH"): Reconciliation["breaks"][number] => ({
  ...{ asset: asset as AssetSymbol, cause: "chain-under", difference, since: AT - ageHours * HOUR_MS },
});

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
  positions: [ether],
  omnibus: undefined,
  reconciliations: [reconciliation()],
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
    [
      "a sub-account that took another's",
      ["blue: sub-account-below-zero"],
      { omnibus: { subAccounts: [{ subAccount: "alpha", asset: "ETH", closing: -1n }], unallocated: [] } },
    ],
    [
      "sub-accounts that are owed more than there is",
      ["blue: omnibus-short"],
      { omnibus: { subAccounts: [], unallocated: [{ asset: "ETH", closing: -1n }] } },
    ],
    [
      "sub-accounts that have what is theirs, and something that is nobody's yet",
      [],
      {
        omnibus: {
          subAccounts: [{ subAccount: "alpha", asset: "ETH", closing: 0n }],
          unallocated: [{ asset: "ETH", closing: 1n }],
        },
      },
    ],
    [
      "more at a venue than may be",
      ["blue: venue-over-limit"],
      { positions: [{ ...ether, venues: [{ venue: "kraken", amount: 11n, max: 10n }] }] },
    ],
    ["much at a venue without a limit", [], { positions: [{ ...ether, venues: [{ venue: "kraken", amount: 11n }] }] }],
    ["a break for a day", ["blue: break-open"], { reconciliations: [reconciliation({ breaks: [differs(-2n, 24)] })] }],
    ["a break since today", [], { reconciliations: [reconciliation({ breaks: [differs(-2n, 23)] })] }],
    [
      "a break that two observers see, one of them long ago",
      ["blue: break-open"],
      {
        reconciliations: [
          reconciliation({ breaks: [differs(-2n, 30)] }),
          reconciliation({ by: "auditor", at: AT - 29 * HOUR_MS, breaks: [differs(-2n, 30)] }),
        ],
      },
    ],
    [
      "what a key signed elsewhere",
      ["blue: signed-outside"],
      { reconciliations: [reconciliation({ signedOutside: ["nonces 3-3"] })] },
    ],
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

  const figureOf = (change: Partial<SegregatedClient>) => segregationOf([clientOf("acme", change)], [], AT).figures[0]!;

  const unreconciled: [string, bigint, readonly Reconciliation[]][] = [
    ["within a day, without a break: nothing", 0n, [reconciliation({ at: AT - 24 * HOUR_MS + 1 })]],
    ["a day ago: all", 90n, [reconciliation({ at: AT - 24 * HOUR_MS })]],
    ["never: all", 90n, []],
    ["on another chain: all", 90n, [reconciliation({ chains: ["eip155:10"] })]],
    ["with a break of today: nothing", 0n, [reconciliation({ breaks: [differs(-7n, 23)] })]],
    ["with a break of a day: what differs", 7n, [reconciliation({ breaks: [differs(-7n, 24)] })]],
    ["with too much for a day: what differs", 7n, [reconciliation({ breaks: [differs(7n, 24)] })]],
    ["with a break of another asset: nothing", 0n, [reconciliation({ breaks: [differs(7n, 24, "USDC")] })]],
    ["with more than there is: all", 90n, [reconciliation({ breaks: [differs(-700n, 24)] })]],
    ["not read for a day: all", 90n, [reconciliation({ breaks: [differs(0n, 24)] })]],
    ["with more than its leaf says: all", 90n, [reconciliation({ complete: false })]],
    [
      "by two, of whom one has found more: that",
      9n,
      [reconciliation({ breaks: [differs(-7n, 24)] }), reconciliation({ by: "other", breaks: [differs(-9n, 24)] })],
    ],
    [
      "by two, of whom one has long been silent: what the other says",
      0n,
      [reconciliation({ at: AT - 48 * HOUR_MS, breaks: [differs(-7n, 60)] }), reconciliation({ by: "other" })],
    ],
  ];
  for (const [what, expected, reconciliations] of unreconciled)
    it(`unreconciled for a day, when reconciled ${what}`, () =>
      assert.equal(figureOf({ reconciliations }).unreconciledForADay, expected));

  it("what several own together is on omnibus and not on own addresses", () => {
    const pooled = figureOf({ omnibus: { subAccounts: [], unallocated: [] } });
    assert.deepEqual([pooled.onOwnAddresses, pooled.onOmnibus, pooled.atVenues, pooled.total], [0n, 90n, 10n, 100n]);
    const apart = figureOf({});
    assert.deepEqual([apart.onOwnAddresses, apart.onOmnibus, apart.encumbered], [90n, 0n, 5n]);
  });

  it("every breach has a case here", () => {
    const met = new Set([...breaches.flatMap(([, expected]) => expected), "acme: owner-crossed"]);
    assert.deepEqual(
      BREACHES.filter((code) => ![...met].some((each) => each.endsWith(`: ${code}`))),
      [],
    );
  });

  it("what is at venues is part of the total; what is below zero is nothing", () => {
    const [figure] = segregationOf([acme], [], AT).figures;
    assert.deepEqual([figure!.total, figure!.onOwnAddresses, figure!.atVenues], [100n, 90n, 10n]);
    // What is pledged is a part of what is there, and no more of it.
    assert.equal(figure!.encumbered, 5n);
    const below = { ...acme.positions[0]!, closing: -5n, venues: [] };
    assert.equal(segregationOf([clientOf("acme", { positions: [below] })], [], AT).figures[0]!.total, 0n);
    assert.deepEqual([shareText(1n, 3n), shareText(90n, 100n), shareText(0n, 0n)], ["33.33", "90.00", "-"]);
  });
});
