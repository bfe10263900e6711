import assert from "node:assert/strict";
import { concatHex, encodeFunctionData, maxUint160, maxUint256, numberToHex, parseAbi, size, zeroHash } from "viem";
import { intentOfTypedData } from "../../../../src/chains/evm/typed-data-intent.ts";
import { parseTypedData, typeHashOf } from "../../../../src/chains/evm/typed-data.ts";
import type { Operation } from "../../../../src/domain/intent.ts";
import { allows, calls, MAX, moves } from "./operations.ts";
import * as at from "./registry.ts";
import { refusal } from "./refusal.ts";

// Goal: a signature that others can use to move or lend assets is told as that; what nobody here knows is told as unknown.

const { OWN, OTHER, THIRD, USDC, DAI, APE, PERMIT2, SAFE, MULTISEND, UNPINNED, ZERO } = at;

type Types = Record<string, string>;
/** `Name: "type name,type name"` as EIP-712 writes it. */
const membersOf = (text: string) =>
  text === "" ? [] : text.split(",").map((member) => ({ type: member.split(" ")[0]!, name: member.split(" ")[1]! }));

const DOMAIN = "string name,uint256 chainId,address verifyingContract";
function documentOf(
  contract: string,
  types: Types,
  message: object,
  domain: object = { name: "x", chainId: 1, verifyingContract: contract },
) {
  const names = Object.keys(domain);
  const domainMembers = membersOf(DOMAIN).filter(({ name }) => names.includes(name));
  const all = Object.fromEntries(Object.entries(types).map(([name, members]) => [name, membersOf(members)]));
  return { types: { EIP712Domain: domainMembers, ...all }, primaryType: Object.keys(types)[0]!, domain, message };
}
const intentOf = (document: object) => intentOfTypedData(parseTypedData(document), at.account(OWN), at.registry);
const operations = (contract: string, types: Types, message: object) =>
  intentOf(documentOf(contract, types, message)).operations;

const ERC2612 = { Permit: "address owner,address spender,uint256 value,uint256 nonce,uint256 deadline" };
const DAI_PERMIT = { Permit: "address holder,address spender,uint256 nonce,uint256 expiry,bool allowed" };
const EIP3009 = "address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce";
const DETAILS = { PermitDetails: "address token,uint160 amount,uint48 expiration,uint48 nonce" };
const TOKEN = { TokenPermissions: "address token,uint256 amount" };
const PERMIT_SINGLE = { PermitSingle: "PermitDetails details,address spender,uint256 sigDeadline", ...DETAILS };
const PERMIT_BATCH = { PermitBatch: "PermitDetails[] details,address spender,uint256 sigDeadline", ...DETAILS };
const TRANSFER = {
  PermitTransferFrom: "TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline",
  ...TOKEN,
};
const TRANSFER_BATCH = {
  PermitBatchTransferFrom: "TokenPermissions[] permitted,address spender,uint256 nonce,uint256 deadline",
  ...TOKEN,
};
const WITNESS = {
  PermitWitnessTransferFrom: "TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,Order witness",
  ...TOKEN,
  Order: "address maker,uint256 out",
};
const WITNESS_BATCH = {
  PermitBatchWitnessTransferFrom:
    "TokenPermissions[] permitted,address spender,uint256 nonce,uint256 deadline,Order witness",
  ...TOKEN,
  Order: "address maker,uint256 out",
};
const SAFE_TX = {
  SafeTx:
    "address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 baseGas,uint256 gasPrice,address gasToken,address refundReceiver,uint256 nonce",
};

const permit = { owner: OWN, spender: OTHER, value: "7", nonce: 0, deadline: "99" };
const details = (token: string, amount: bigint) => ({ token, amount: amount.toString(), expiration: 99, nonce: 0 });
const once = { spender: OTHER, nonce: 0, deadline: 99 };
const witness = { maker: OTHER, out: 1 };
const safeTx = {
  to: OTHER,
  value: "9",
  data: "0x",
  operation: 0,
  safeTxGas: 0,
  baseGas: 0,
  gasPrice: 0,
  gasToken: ZERO,
  refundReceiver: ZERO,
  nonce: 1,
};

const pay = encodeFunctionData({ abi: parseAbi(["function transfer(address,uint256)"]), args: [OTHER, 5n] });
const part = concatHex([
  numberToHex(0, { size: 1 }),
  USDC,
  numberToHex(0, { size: 32 }),
  numberToHex(size(pay), { size: 32 }),
  pay,
]);
const batch = encodeFunctionData({ abi: parseAbi(["function multiSend(bytes)"]), args: [part] });

const decoded: [string, string, Types, object, Operation[]][] = [
  ["ERC-2612 permit", USDC, ERC2612, permit, [allows("USDC", OWN, OTHER, 7n)]],
  [
    "ERC-2612 permit of everything",
    USDC,
    ERC2612,
    { ...permit, value: maxUint256.toString() },
    [allows("USDC", OWN, OTHER, MAX, { unlimited: true })],
  ],
  [
    "a permit of another owner names that one",
    USDC,
    ERC2612,
    { ...permit, owner: THIRD },
    [allows("USDC", THIRD, OTHER, 7n)],
  ],
  [
    "DAI's permit",
    DAI,
    DAI_PERMIT,
    { holder: OWN, spender: OTHER, nonce: 0, expiry: 0, allowed: true },
    [allows("DAI", OWN, OTHER, MAX, { unlimited: true })],
  ],
  [
    "DAI's permit taken back",
    DAI,
    DAI_PERMIT,
    { holder: OWN, spender: OTHER, nonce: 0, expiry: 0, allowed: false },
    [allows("DAI", OWN, OTHER, 0n)],
  ],
  ...["TransferWithAuthorization", "ReceiveWithAuthorization"].map((name): (typeof decoded)[number] => [
    `EIP-3009 ${name}`,
    USDC,
    { [name]: EIP3009 },
    { from: OWN, to: OTHER, value: 7, validAfter: 0, validBefore: 99, nonce: zeroHash },
    [moves("USDC", OWN, OTHER, 7n)],
  ]),
  [
    "EIP-4494 permit of one item",
    APE,
    { Permit: "address spender,uint256 tokenId,uint256 nonce,uint256 deadline" },
    { spender: OTHER, tokenId: 7, nonce: 0, deadline: 99 },
    [allows("BAYC", OWN, OTHER, 1n, { tokenId: "7" })],
  ],
  [
    "Permit2 single",
    PERMIT2,
    PERMIT_SINGLE,
    { details: details(USDC, 7n), spender: OTHER, sigDeadline: 1 },
    [allows("USDC", OWN, OTHER, 7n, { validUntil: "99" })],
  ],
  [
    "Permit2 single of everything",
    PERMIT2,
    PERMIT_SINGLE,
    { details: details(USDC, maxUint160), spender: OTHER, sigDeadline: 1 },
    [allows("USDC", OWN, OTHER, maxUint160, { unlimited: true, validUntil: "99" })],
  ],
  [
    "Permit2 batch",
    PERMIT2,
    PERMIT_BATCH,
    { details: [details(USDC, 7n), details(DAI, 8n)], spender: OTHER, sigDeadline: 1 },
    [allows("USDC", OWN, OTHER, 7n, { validUntil: "99" }), allows("DAI", OWN, OTHER, 8n, { validUntil: "99" })],
  ],
  [
    "Permit2 transfer",
    PERMIT2,
    TRANSFER,
    { permitted: { token: USDC, amount: 7 }, ...once },
    [allows("USDC", OWN, OTHER, 7n, { validUntil: "99" })],
  ],
  [
    "Permit2 batch transfer",
    PERMIT2,
    TRANSFER_BATCH,
    {
      permitted: [
        { token: USDC, amount: 7 },
        { token: DAI, amount: 8 },
      ],
      ...once,
    },
    [allows("USDC", OWN, OTHER, 7n, { validUntil: "99" }), allows("DAI", OWN, OTHER, 8n, { validUntil: "99" })],
  ],
  [
    "Permit2 transfer with a witness",
    PERMIT2,
    WITNESS,
    { permitted: { token: USDC, amount: 7 }, ...once, witness },
    [allows("USDC", OWN, OTHER, 7n, { validUntil: "99" })],
  ],
  [
    "Permit2 batch transfer with a witness",
    PERMIT2,
    WITNESS_BATCH,
    { permitted: [{ token: USDC, amount: 7 }], ...once, witness },
    [allows("USDC", OWN, OTHER, 7n, { validUntil: "99" })],
  ],
  ["a Safe's payment", SAFE, SAFE_TX, safeTx, [moves("ETH", SAFE, OTHER, 9n)]],
  [
    "a Safe's batch",
    SAFE,
    SAFE_TX,
    { ...safeTx, to: MULTISEND, value: 0, data: batch, operation: 1 },
    [moves("USDC", SAFE, OTHER, 5n)],
  ],
  [
    "a Safe's refund to whoever sends it",
    SAFE,
    SAFE_TX,
    { ...safeTx, gasPrice: 2, baseGas: 10 },
    [moves("ETH", SAFE, OTHER, 9n), moves("ETH", SAFE, ZERO, 100_020n)],
  ],
  [
    "a Safe's call of what nobody pinned",
    SAFE,
    SAFE_TX,
    { ...safeTx, to: UNPINNED, value: 0, data: pay },
    [calls(SAFE, UNPINNED, "0xa9059cbb")],
  ],
  [
    "a Safe's message of a hash",
    SAFE,
    { SafeMessage: "bytes message" },
    { message: zeroHash },
    [{ kind: "raw-digest", from: at.account(SAFE), digest: zeroHash }],
  ],
  [
    "a Safe's message of something else",
    SAFE,
    { SafeMessage: "bytes message" },
    { message: "0x01" },
    [{ kind: "raw-digest", from: at.account(SAFE) }],
  ],
];

describe("chains/evm/typed-data-intent", () => {
  for (const [name, contract, types, message, expected] of decoded) {
    it(name, () => assert.deepEqual(operations(contract, types, message), expected));
  }

  it("costs nothing and uses up no nonce of the chain", () => {
    const { fee, claims, chain, account } = intentOf(documentOf(USDC, ERC2612, permit));
    assert.deepEqual(
      { fee, claims, chain, account },
      { fee: { asset: "ETH", max: 0n }, claims: [], chain: "eip155:1", account: at.account(OWN) },
    );
  });

  // Constants of the deployed contracts: meanings are tied to these, and to no name.
  for (const [name, types, message, hash] of [
    ["ERC-2612", ERC2612, permit, "0x6e71edae12b1b97f4d1f60370fef10105fa2faae0126114a169c64845d6126c9"],
    [
      "DAI",
      DAI_PERMIT,
      { holder: OWN, spender: OTHER, nonce: 0, expiry: 0, allowed: true },
      "0xea2aa0a1be11a07ed86d755c93467f4f82362b452371d1ba94d1715123511acb",
    ],
    [
      "EIP-3009",
      { TransferWithAuthorization: EIP3009 },
      { from: OWN, to: OTHER, value: 7, validAfter: 0, validBefore: 99, nonce: zeroHash },
      "0x7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267",
    ],
    [
      "EIP-3009 receive",
      { ReceiveWithAuthorization: EIP3009 },
      { from: OWN, to: OTHER, value: 7, validAfter: 0, validBefore: 99, nonce: zeroHash },
      "0xd099cc98ef71107a616c4f0f941f04c322d8e254fe26b3c6668db87aae413de8",
    ],
    ["Safe", SAFE_TX, safeTx, "0xbb8310d486368db6bd6f849402fdd73ad53d316b5a4b2644ad6efe0f941286d8"],
    [
      "Safe message",
      { SafeMessage: "bytes message" },
      { message: "0x" },
      "0x60b3cbf8b4a223d68d641b3b6ddf9a298e7f33710cf3d3a9d1146b5a6150fbca",
    ],
    [
      "Permit2 single",
      PERMIT_SINGLE,
      { details: details(USDC, 7n), spender: OTHER, sigDeadline: 1 },
      "0xf3841cd1ff0085026a6327b620b67997ce40f282c88a8e905a7a5626e310f3d0",
    ],
    [
      "Permit2 batch",
      PERMIT_BATCH,
      { details: [], spender: OTHER, sigDeadline: 1 },
      "0xaf1b0d30d2cab0380e68f0689007e3254993c596f2fdd0aaa7f4d04f79440863",
    ],
    [
      "Permit2 transfer",
      TRANSFER,
      { permitted: { token: USDC, amount: 7 }, ...once },
      "0x939c21a48a8dbe3a9a2404a1d46691e4d39f6583d6ec6b35714604c986d80106",
    ],
    [
      "Permit2 batch transfer",
      TRANSFER_BATCH,
      { permitted: [], ...once },
      "0xfcf35f5ac6a2c28868dc44c302166470266239195f02b0ee408334829333b766",
    ],
  ] as const) {
    it(`the type hash of ${name} is the contract's`, () =>
      assert.equal(typeHashOf(parseTypedData(documentOf(USDC, types, message))), hash));
  }

  const unknown: [string, object][] = [
    ["a permit at a contract that nobody pinned", documentOf(UNPINNED, ERC2612, permit)],
    ["a permit at a pinned contract of another kind", documentOf(PERMIT2, ERC2612, permit)],
    [
      "a permit whose members have other names",
      documentOf(
        USDC,
        { Permit: "address from,address spender,uint256 value,uint256 nonce,uint256 deadline" },
        { ...permit, owner: undefined, from: OWN },
      ),
    ],
    ["a permit by another name", documentOf(USDC, { Greeting: ERC2612.Permit }, permit)],
    [
      "a permit with a narrower amount",
      documentOf(USDC, { Permit: ERC2612.Permit.replace("uint256 value", "uint128 value") }, permit),
    ],
    ["a permit whose domain names no chain", documentOf(USDC, ERC2612, permit, { name: "x", verifyingContract: USDC })],
    ["a permit whose domain names no contract", documentOf(USDC, ERC2612, permit, { name: "x", chainId: 1 })],
    [
      "a Permit2 permit of a token that nobody pinned",
      documentOf(PERMIT2, PERMIT_SINGLE, { details: details(UNPINNED, 7n), spender: OTHER, sigDeadline: 1 }),
    ],
    [
      "a Permit2 batch with one token that nobody pinned",
      documentOf(PERMIT2, PERMIT_BATCH, {
        details: [details(USDC, 7n), details(UNPINNED, 7n)],
        spender: OTHER,
        sigDeadline: 1,
      }),
    ],
    [
      "a witness transfer with two witnesses",
      documentOf(
        PERMIT2,
        { ...WITNESS, PermitWitnessTransferFrom: `${WITNESS.PermitWitnessTransferFrom},Order second` },
        { permitted: { token: USDC, amount: 7 }, ...once, witness, second: witness },
      ),
    ],
    [
      "a witness transfer with other permissions",
      documentOf(
        PERMIT2,
        { ...WITNESS, TokenPermissions: "address token,uint128 amount" },
        { permitted: { token: USDC, amount: 7 }, ...once, witness },
      ),
    ],
    [
      "a Safe transaction of the form before 1.0",
      documentOf(
        SAFE,
        { SafeTx: SAFE_TX.SafeTx.replace("baseGas", "dataGas") },
        { ...safeTx, baseGas: undefined, dataGas: 0 },
      ),
    ],
  ];
  for (const [name, document] of unknown) {
    it(`of unknown effect: ${name}`, () => {
      const data = parseTypedData(JSON.parse(JSON.stringify(document)));
      assert.deepEqual(intentOfTypedData(data, at.account(OWN), at.registry).operations, [
        {
          kind: "typed-data",
          from: at.account(OWN),
          domain: data.domain,
          primaryType: data.primaryType,
          typeHash: typeHashOf(data),
        },
      ]);
    });
  }

  it("an empty batch has no operation that could be allowed", () => {
    const { operations: none } = intentOf(
      documentOf(PERMIT2, PERMIT_BATCH, { details: [], spender: OTHER, sigDeadline: 1 }),
    );
    assert.equal(none[0]?.kind, "typed-data");
  });

  for (const [name, document, code] of [
    [
      "typed data for another chain",
      documentOf(USDC, ERC2612, permit, { name: "x", chainId: 10, verifyingContract: USDC }),
      "wrong-chain",
    ],
    [
      "a Safe's delegatecall to code that nobody pinned",
      documentOf(SAFE, SAFE_TX, { ...safeTx, to: UNPINNED, data: pay, operation: 1 }),
      "unsafe-delegatecall",
    ],
    [
      "a Safe's refund in a token that nobody pinned",
      documentOf(SAFE, SAFE_TX, { ...safeTx, gasPrice: 1, gasToken: UNPINNED }),
      "undecoded-refund",
    ],
  ] as const) {
    it(`refuses ${name}: ${code}`, () =>
      assert.equal(
        refusal(() => intentOf(document)),
        code,
      ));
  }
});
