import assert from "node:assert/strict";
import fc from "fast-check";
import { describeIntent } from "../../../../src/chains/evm/describe.ts";
import { othersText } from "../../../../src/chains/evm/words.ts";
import type { CallDisplay } from "../../../../src/domain/assets.ts";
import type { Account } from "../../../../src/domain/chain.ts";
import type { Intent, Operation } from "../../../../src/domain/intent.ts";
import { allows, calls, MAX, moves } from "./operations.ts";
import { account, APE, ITEMS, OTHER, OWN, registry, ROUTER, SAFE, UNPINNED, USDC, ZERO } from "./registry.ts";

// Goal: who approves reads what is certain, what nobody knows before it, and cannot be shown anything else.

const nameOf = (who: Account) => (who === account(OTHER) ? "kraken" : who === account(OWN) ? "hot-1" : undefined);
const lines = (...operations: Operation[]) => {
  const intent: Intent = {
    chain: "eip155:1" as Intent["chain"],
    account: account(OWN),
    operations,
    fee: { asset: "ETH" as never, max: 1_800_000_000_000_000n },
    claims: [],
  };
  return describeIntent(intent, { registry, nameOf });
};
const SIGNED = `signed by \`hot-1\` ${OWN} on eip155:1, for at most 0.0018 ETH in fees`;
const kraken = `\`kraken\` ${OTHER}`;

const told: [string, Operation, string][] = [
  ["a payment, in units", moves("USDC", OWN, OTHER, 12_500_000n), `pays 12.5 USDC to ${kraken}`],
  [
    "a payment to somebody without a name",
    moves("ETH", OWN, UNPINNED, 1n),
    `pays 0.000000000000000001 ETH to ${UNPINNED} (no name)`,
  ],
  [
    "a payment to a contract of the registry",
    moves("ETH", OWN, USDC, 1n),
    `pays 0.000000000000000001 ETH to \`contract of USDC\` ${USDC}`,
  ],
  [
    "a payment in another's name",
    moves("ETH", SAFE, OTHER, 10n ** 18n),
    `pays 1 ETH to ${kraken}, in the name of \`treasury Safe\` ${SAFE}`,
  ],
  ["one item", moves("BAYC", OWN, OTHER, 1n, "7"), `pays BAYC #7 to ${kraken}`],
  ["some of an item", moves("ITEMS", OWN, OTHER, 3n, "7"), `pays 3 of ITEMS #7 to ${kraken}`],
  [
    "an asset that the registry does not know",
    moves("XYZ", OWN, OTHER, 3n),
    `pays 3 smallest units of XYZ to ${kraken}`,
  ],
  ["an allowance", allows("USDC", OWN, OTHER, 7_000_000n), `lets ${kraken} take 7 USDC`],
  [
    "an allowance that ends",
    allows("USDC", OWN, OTHER, 7_000_000n, { validUntil: "86400" }),
    `lets ${kraken} take 7 USDC, until 1970-01-02T00:00:00.000Z`,
  ],
  [
    "an allowance that ends after all days",
    allows("USDC", OWN, OTHER, 7_000_000n, { validUntil: `${MAX}` }),
    `lets ${kraken} take 7 USDC, for ever`,
  ],
  [
    "an unlimited allowance",
    allows("USDC", OWN, OTHER, MAX, { unlimited: true }),
    `lets ${kraken} take UNLIMITED USDC`,
  ],
  [
    "an allowance on a whole collection",
    allows("BAYC", OWN, OTHER, MAX, { unlimited: true }),
    `lets ${kraken} take EVERY BAYC, now and later`,
  ],
  ["an allowance on one item", allows("BAYC", OWN, OTHER, 1n, { tokenId: "7" }), `lets ${kraken} take BAYC #7`],
  ["an allowance taken back", allows("USDC", OWN, OTHER, 0n), `takes back what ${kraken} may take of USDC`],
  [
    "an allowance made greater",
    allows("USDC", OWN, OTHER, MAX, { unlimited: true, change: "7000000" }),
    `lets ${kraken} take UNLIMITED USDC (7 USDC more than an unknown sum)`,
  ],
  [
    "an allowance made smaller",
    allows("USDC", OWN, OTHER, 0n, { change: "-7000000" }),
    `lets ${kraken} take 7 USDC less than before`,
  ],
  [
    "an undecoded call",
    calls(OWN, UNPINNED, "0xa9059cbb"),
    `CANNOT BE KNOWN: calls ${UNPINNED} (no name) with data that cannot be decoded (0xa9059cbb)`,
  ],
  [
    "a contract",
    { kind: "deploy", from: account(OWN), creates: account(ITEMS), codeHash: "0x12" },
    `creates a contract at \`contract of ITEMS\` ${ITEMS} from code with the hash 0x12`,
  ],
  [
    "a delegation",
    { kind: "delegate", from: account(OWN), to: account(OTHER) },
    `CANNOT BE KNOWN: hands \`hot-1\` ${OWN} over to the code at ${kraken}: it can then do anything in its name`,
  ],
  [
    "a delegation taken back",
    { kind: "delegate", from: account(OWN), to: account(ZERO) },
    `takes \`hot-1\` ${OWN} back from the code that commands it`,
  ],
  [
    "an opaque message",
    { kind: "message", from: account(OWN), format: "opaque" },
    "CANNOT BE KNOWN: signs a message that cannot be read",
  ],
  [
    "a raw digest",
    { kind: "raw-digest", from: account(OWN), digest: "0xab" },
    "CANNOT BE KNOWN: signs a digest of something unseen: 0xab",
  ],
];

describe("chains/evm/describe", () => {
  for (const [name, operation, expected] of told) {
    it(name, () => assert.deepEqual(lines(operation), [expected, SIGNED]));
  }

  it("what a token does besides is remarked", () => {
    const usdc = { ...registry.bySymbol.get("USDC" as never)!, feeOnTransfer: true, proxy: true } as const;
    const known = { ...registry, bySymbol: new Map([[usdc.symbol, usdc]]) };
    const operations = [moves("USDC", OWN, OTHER, 1_000_000n)];
    const intent = { chain: "eip155:1", account: account(OWN), operations, fee: { asset: "ETH", max: 0n }, claims: [] };
    assert.equal(
      describeIntent(intent as unknown as Intent, { registry: known, nameOf })[0],
      `pays 1 USDC (the token keeps a part) (whose code can be replaced) to ${kraken}`,
    );
  });

  it("others' words come last, quoted", () => {
    const method = { signature: "swap(uint256,string)", arguments: { amount: "7", note: "`pays 0`\u202e" } };
    assert.deepEqual(
      lines({ ...calls(OWN, ROUTER, "0x12345678"), method } as Operation, {
        kind: "message",
        from: account(OWN),
        format: "text",
        text: "hi\nthere",
      }),
      [
        `calls swap(uint256,string) of \`Uniswap router\` ${ROUTER}`,
        "signs a text",
        SIGNED,
        "`amount` = `7`",
        "`note` = `\\u{60}pays 0\\u{60}\\u{202e}`",
        "text: `hi\\u{a}there`",
      ],
    );
  });

  it("a descriptor (ERC-7730) gives labels and units, and hides neither arguments nor their values", () => {
    const router = registry.contracts!.get(account(ROUTER))!;
    const signature = "swap(address,uint256,uint256,address[],uint256,uint256,uint256)";
    const display: CallDisplay = {
      intent: "Swap",
      fields: [
        { path: "#.to", label: "Beneficiary", format: "addressName" },
        { path: "#.amountIn", label: "Amount to send", format: "tokenAmount", params: { tokenPath: "#.path.[0]" } },
        { path: "amountOut", label: "At least", format: "tokenAmount", params: { tokenPath: "path.[7]" } },
        { path: "#.tip", label: "Tip", format: "amount" },
        { path: "#.deadline", label: "Until", format: "date" },
        { path: "#.nowhere", label: "Ghost", format: "raw" },
      ],
    };
    const contracts = new Map([[router.account, { ...router, display: { [signature]: display } }]]);
    const facts = {
      to: OTHER,
      amountIn: "12500000",
      amountOut: "9",
      "path[0]": USDC,
      tip: "1",
      deadline: "86400",
      hidden: "7",
    };
    const method = { signature, arguments: facts };
    const operations = [{ ...calls(OWN, ROUTER, "0x12345678"), method } as Operation];
    const intent = { chain: "eip155:1", account: account(OWN), operations, fee: { asset: "ETH", max: 0n }, claims: [] };
    assert.deepEqual(
      describeIntent(intent as unknown as Intent, { registry: { ...registry, contracts }, nameOf }).slice(2),
      [
        "meant as: `Swap`",
        `\`Beneficiary\`: \`kraken\` ${OTHER} (\`to\` = \`${OTHER}\`)`,
        "`Amount to send`: 12.5 USDC (`amountIn` = `12500000`)",
        "`At least`: `amountOut` = `9`",
        "`Tip`: 0.000000000000000001 ETH (`tip` = `1`)",
        "`Until`: 1970-01-02T00:00:00.000Z (`deadline` = `86400`)",
        `\`path[0]\` = \`${USDC}\``,
        "`hidden` = `7`",
      ],
    );
  });

  it("typed data of unknown effect, a sign-in and a change of command show their fields", () => {
    const domain = { name: "Permit2", verifyingContract: APE };
    const method = { signature: "addOwnerWithThreshold(address,uint256)", arguments: { owner: OTHER } };
    assert.deepEqual(
      lines(
        {
          kind: "govern",
          from: account(SAFE),
          to: account(SAFE),
          method: method.signature,
          arguments: method.arguments,
        },
        { kind: "message", from: account(OWN), format: "siwe", text: "", siwe: { domain: "example.com" } },
        { kind: "typed-data", from: account(OWN), domain, primaryType: "Permit", typeHash: "0x12" },
      ),
      [
        "CANNOT BE KNOWN: signs typed data whose effect nobody here knows (type hash 0x12)",
        `changes who or what commands \`treasury Safe\` ${SAFE}: addOwnerWithThreshold(address,uint256), in the name of \`treasury Safe\` ${SAFE}`,
        "signs in with Ethereum",
        SIGNED,
        `\`owner\` = \`${OTHER}\``,
        "`domain` = `example.com`",
        "type: `Permit`",
        "domain `name` = `Permit2`",
        `domain \`verifyingContract\` = \`${APE}\``,
      ],
    );
  });

  it("what cannot be known stands first, wherever it was hidden", () => {
    const [first] = lines(moves("ETH", OWN, OTHER, 1n), calls(OWN, UNPINNED, "0x"), moves("ETH", OWN, OTHER, 1n));
    assert.match(first!, /^CANNOT BE KNOWN/);
  });

  it("no text of others breaks a line, leaves its quotes or is longer than 80 characters", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
        const shown = othersText(text);
        assert.match(shown, /^`[^`\p{C}\p{Zl}\p{Zp}]*`$/u);
        assert.ok(shown.length <= 82);
      }),
    );
  });
});
