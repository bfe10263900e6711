import assert from "node:assert/strict";
import {
  concatHex,
  encodeFunctionData,
  maxUint160,
  maxUint256,
  numberToHex,
  parseAbi,
  size,
  type Abi,
  type Hex,
} from "viem";
import { intentOf } from "../../../../src/chains/evm/intent.ts";
import type { Operation } from "../../../../src/domain/intent.ts";
import { bytesOf } from "./arbitraries.ts";
import { allows, calls, MAX, moves } from "./operations.ts";
import * as at from "./registry.ts";
import { refusal } from "./refusal.ts";

// Goal: a call at a pinned contract is told as what it does to assets and allowances, in whose name; any other is opaque.
// Method: calldata written by viem; each row says what must be told. What really happens is checked on a node in
// test/property/evm-state-diff.test.ts.

const { OWN, OTHER, THIRD, USDC, DAI, WETH, APE, ITEMS, PERMIT2, MULTICALL3, ROUTER, SAFE, MULTISEND, UNPINNED, ZERO } =
  at;

const abi: Abi = parseAbi([
  "struct Call { address target; bytes callData; }",
  "struct Call3 { address target; bool allowFailure; bytes callData; }",
  "struct Call3Value { address target; bool allowFailure; uint256 value; bytes callData; }",
  "struct Details { address token; uint160 amount; uint48 expiration; uint48 nonce; }",
  "struct PermitSingle { Details details; address spender; uint256 sigDeadline; }",
  "struct PermitBatch { Details[] details; address spender; uint256 sigDeadline; }",
  "struct Movement { address from; address to; uint160 amount; address token; }",
  "struct TokenAmount { address token; uint256 amount; }",
  "struct PermitTransfer { TokenAmount permitted; uint256 nonce; uint256 deadline; }",
  "struct PermitBatchTransfer { TokenAmount[] permitted; uint256 nonce; uint256 deadline; }",
  "struct Requested { address to; uint256 requestedAmount; }",
  "struct Pair { address token; address spender; }",
  "function transfer(address,uint256)",
  "function transferFrom(address,address,uint256)",
  "function approve(address,uint256)",
  "function increaseAllowance(address,uint256)",
  "function decreaseAllowance(address,uint256)",
  "function permit(address,address,uint256,uint256,uint8,bytes32,bytes32)",
  "function permit(address,address,uint256,uint256,bool,uint8,bytes32,bytes32)",
  "function permit(address,PermitSingle,bytes)",
  "function permit(address,PermitBatch,bytes)",
  "function transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)",
  "function deposit()",
  "function withdraw(uint256)",
  "function safeTransferFrom(address,address,uint256)",
  "function safeTransferFrom(address,address,uint256,bytes)",
  "function safeTransferFrom(address,address,uint256,uint256,bytes)",
  "function safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)",
  "function setApprovalForAll(address,bool)",
  "function approve(address,address,uint160,uint48)",
  "function transferFrom(address,address,uint160,address)",
  "function transferFrom(Movement[])",
  "function permitTransferFrom(PermitTransfer,Requested,address,bytes)",
  "function permitTransferFrom(PermitBatchTransfer,Requested[],address,bytes)",
  "function permitWitnessTransferFrom(PermitTransfer,Requested,address,bytes32,string,bytes)",
  "function permitWitnessTransferFrom(PermitBatchTransfer,Requested[],address,bytes32,string,bytes)",
  "function lockdown(Pair[])",
  "function multicall(bytes[])",
  "function multicall(uint256,bytes[])",

  "function aggregate(Call[])",
  "function tryAggregate(bool,Call[])",
  "function aggregate3(Call3[])",
  "function aggregate3Value(Call3Value[])",
  "function multiSend(bytes)",
  "function execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)",
  "function execTransactionFromModule(address,uint256,bytes,uint8)",
  "function approveHash(bytes32)",
  "function addOwnerWithThreshold(address,uint256)",
  "function changeMasterCopy(address)",
  "function transferOwnership(address)",
  "function upgradeToAndCall(address,bytes)",
]);
// Overloads are told apart by their arguments; the types of all of them together would say nothing here.
const encode = (functionName: string, ...args: unknown[]): Hex => encodeFunctionData({ abi, functionName, args });

const part = (operation: number, to: string, value: bigint, data: Hex): Hex =>
  concatHex([
    numberToHex(operation, { size: 1 }),
    to as Hex,
    numberToHex(value, { size: 32 }),
    numberToHex(size(data), { size: 32 }),
    data,
  ]);
const multiSend = (...parts: Hex[]) => encode("multiSend", concatHex(parts));
const exec = (
  to: string,
  value: bigint,
  data: Hex,
  { operation = 0, safeTxGas = 0n, baseGas = 0n, gasPrice = 0n, gasToken = ZERO, refundReceiver = ZERO } = {},
) =>
  encode("execTransaction", to, value, data, operation, safeTxGas, baseGas, gasPrice, gasToken, refundReceiver, "0x");

function operations(to: string, data: string, value = 0n): readonly Operation[] {
  return intentOf({ ...at.CALL, to, value, data: bytesOf(data) }, at.account(OWN), at.registry).operations;
}

const SIG = [27, `0x${"01".repeat(32)}`, `0x${"02".repeat(32)}`] as const;
const pay = encode("transfer", OTHER, 5n);

const decoded: [string, string, Hex, Operation[], bigint?][] = [
  ["ERC-20 transferFrom", USDC, encode("transferFrom", THIRD, OTHER, 7n), [moves("USDC", THIRD, OTHER, 7n)]],
  ["ERC-20 approve", USDC, encode("approve", OTHER, 7n), [allows("USDC", OWN, OTHER, 7n)]],
  [
    "ERC-20 approve of everything",
    USDC,
    encode("approve", OTHER, maxUint256),
    [allows("USDC", OWN, OTHER, MAX, { unlimited: true })],
  ],
  [
    "increaseAllowance",
    USDC,
    encode("increaseAllowance", OTHER, 7n),
    [allows("USDC", OWN, OTHER, MAX, { unlimited: true, change: "7" })],
  ],
  [
    "decreaseAllowance",
    USDC,
    encode("decreaseAllowance", OTHER, 7n),
    [allows("USDC", OWN, OTHER, 0n, { change: "-7" })],
  ],
  ["ERC-2612 permit", USDC, encode("permit", THIRD, OTHER, 7n, 99n, ...SIG), [allows("USDC", THIRD, OTHER, 7n)]],
  [
    "DAI's permit",
    DAI,
    encode("permit", THIRD, OTHER, 0n, 99n, true, ...SIG),
    [allows("DAI", THIRD, OTHER, MAX, { unlimited: true })],
  ],
  [
    "DAI's permit taken back",
    DAI,
    encode("permit", THIRD, OTHER, 0n, 99n, false, ...SIG),
    [allows("DAI", THIRD, OTHER, 0n)],
  ],
  [
    "EIP-3009 transfer",
    USDC,
    encode("transferWithAuthorization", THIRD, OTHER, 7n, 0n, 9n, SIG[1], ...SIG),
    [moves("USDC", THIRD, OTHER, 7n)],
  ],
  ["WETH deposit", WETH, encode("deposit"), [moves("ETH", OWN, WETH, 3n)], 3n],
  ["WETH deposit of nothing", WETH, encode("deposit"), [moves("ETH", OWN, WETH, 0n)]],
  ["WETH withdrawal", WETH, encode("withdraw", 7n), [moves("WETH", OWN, WETH, 7n)]],
  ["WETH is an ERC-20 too", WETH, pay, [moves("WETH", OWN, OTHER, 5n)]],
  [
    "ERC-721 transferFrom, with ERC-20's selector",
    APE,
    encode("transferFrom", OWN, OTHER, 7n),
    [moves("BAYC", OWN, OTHER, 1n, "7")],
  ],
  ["ERC-721 safeTransferFrom", APE, encode("safeTransferFrom", OWN, OTHER, 7n), [moves("BAYC", OWN, OTHER, 1n, "7")]],
  [
    "ERC-721 safeTransferFrom with data",
    APE,
    encode("safeTransferFrom", OWN, OTHER, 7n, "0x0102"),
    [moves("BAYC", OWN, OTHER, 1n, "7")],
  ],
  [
    "ERC-721 approve, with ERC-20's selector",
    APE,
    encode("approve", OTHER, 7n),
    [allows("BAYC", OWN, OTHER, 1n, { tokenId: "7" })],
  ],
  ["ERC-721 approve taken back", APE, encode("approve", ZERO, 7n), [allows("BAYC", OWN, ZERO, 0n, { tokenId: "7" })]],
  [
    "setApprovalForAll",
    APE,
    encode("setApprovalForAll", OTHER, true),
    [allows("BAYC", OWN, OTHER, MAX, { unlimited: true })],
  ],
  ["setApprovalForAll taken back", ITEMS, encode("setApprovalForAll", OTHER, false), [allows("ITEMS", OWN, OTHER, 0n)]],
  [
    "ERC-1155 safeTransferFrom",
    ITEMS,
    encode("safeTransferFrom", OWN, OTHER, 7n, 3n, "0x"),
    [moves("ITEMS", OWN, OTHER, 3n, "7")],
  ],
  [
    "ERC-1155 batch",
    ITEMS,
    encode("safeBatchTransferFrom", OWN, OTHER, [7n, 8n], [3n, 4n], "0x"),
    [moves("ITEMS", OWN, OTHER, 3n, "7"), moves("ITEMS", OWN, OTHER, 4n, "8")],
  ],
  [
    "Permit2 approve",
    PERMIT2,
    encode("approve", USDC, OTHER, 7n, 99),
    [allows("USDC", OWN, OTHER, 7n, { validUntil: "99" })],
  ],
  [
    "Permit2 approve of everything",
    PERMIT2,
    encode("approve", USDC, OTHER, maxUint160, 99),
    [allows("USDC", OWN, OTHER, maxUint160, { unlimited: true, validUntil: "99" })],
  ],
  ["Permit2 transferFrom", PERMIT2, encode("transferFrom", THIRD, OTHER, 7n, USDC), [moves("USDC", THIRD, OTHER, 7n)]],
  [
    "Permit2 transferFrom of many",
    PERMIT2,
    encode("transferFrom", [
      { from: THIRD, to: OTHER, amount: 7n, token: USDC },
      { from: OWN, to: OTHER, amount: 8n, token: DAI },
    ]),
    [moves("USDC", THIRD, OTHER, 7n), moves("DAI", OWN, OTHER, 8n)],
  ],
  [
    "Permit2 permit",
    PERMIT2,
    encode(
      "permit",
      THIRD,
      { details: { token: USDC, amount: 7n, expiration: 99, nonce: 0 }, spender: OTHER, sigDeadline: 1n },
      "0x",
    ),
    [allows("USDC", THIRD, OTHER, 7n, { validUntil: "99" })],
  ],
  [
    "Permit2 permit of many",
    PERMIT2,
    encode(
      "permit",
      THIRD,
      { details: [{ token: USDC, amount: 7n, expiration: 99, nonce: 0 }], spender: OTHER, sigDeadline: 1n },
      "0x",
    ),
    [allows("USDC", THIRD, OTHER, 7n, { validUntil: "99" })],
  ],
  [
    "Permit2 permitTransferFrom",
    PERMIT2,
    encode(
      "permitTransferFrom",
      { permitted: { token: USDC, amount: 9n }, nonce: 0n, deadline: 1n },
      { to: OTHER, requestedAmount: 7n },
      THIRD,
      "0x",
    ),
    [moves("USDC", THIRD, OTHER, 7n)],
  ],
  [
    "Permit2 permitTransferFrom of many",
    PERMIT2,
    encode(
      "permitTransferFrom",
      { permitted: [{ token: USDC, amount: 9n }], nonce: 0n, deadline: 1n },
      [{ to: OTHER, requestedAmount: 7n }],
      THIRD,
      "0x",
    ),
    [moves("USDC", THIRD, OTHER, 7n)],
  ],
  [
    "Permit2 permitWitnessTransferFrom",
    PERMIT2,
    encode(
      "permitWitnessTransferFrom",
      { permitted: { token: USDC, amount: 9n }, nonce: 0n, deadline: 1n },
      { to: OTHER, requestedAmount: 7n },
      THIRD,
      SIG[1],
      "Order witness)",
      "0x",
    ),
    [moves("USDC", THIRD, OTHER, 7n)],
  ],
  [
    "Permit2 permitWitnessTransferFrom of many",
    PERMIT2,
    encode(
      "permitWitnessTransferFrom",
      { permitted: [{ token: USDC, amount: 9n }], nonce: 0n, deadline: 1n },
      [{ to: OTHER, requestedAmount: 7n }],
      THIRD,
      SIG[1],
      "Order witness)",
      "0x",
    ),
    [moves("USDC", THIRD, OTHER, 7n)],
  ],
  [
    "Permit2 with one amount for two tokens",
    PERMIT2,
    encode(
      "permitTransferFrom",
      {
        permitted: [
          { token: USDC, amount: 9n },
          { token: DAI, amount: 9n },
        ],
        nonce: 0n,
        deadline: 1n,
      },
      [{ to: OTHER, requestedAmount: 7n }],
      THIRD,
      "0x",
    ),
    [calls(OWN, PERMIT2, "0xedd9444b")],
  ],
  [
    "Permit2 lockdown",
    PERMIT2,
    encode("lockdown", [{ token: USDC, spender: OTHER }]),
    [allows("USDC", OWN, OTHER, 0n, { validUntil: "0" })],
  ],
  [
    "Permit2 with a token that is not pinned",
    PERMIT2,
    encode("approve", UNPINNED, OTHER, 7n, 99),
    [calls(OWN, PERMIT2, "0x87517c45")],
  ],
  [
    "Multicall3 calls in its own name",
    MULTICALL3,
    encode("aggregate", [{ target: USDC, callData: pay }]),
    [moves("USDC", MULTICALL3, OTHER, 5n)],
  ],
  [
    "Multicall3 tryAggregate",
    MULTICALL3,
    encode("tryAggregate", false, [{ target: UNPINNED, callData: pay }]),
    [calls(MULTICALL3, UNPINNED, "0xa9059cbb")],
  ],
  [
    "Multicall3 aggregate3",
    MULTICALL3,
    encode("aggregate3", [{ target: USDC, allowFailure: true, callData: pay }]),
    [moves("USDC", MULTICALL3, OTHER, 5n)],
  ],
  [
    "Multicall3 aggregate3Value",
    MULTICALL3,
    encode("aggregate3Value", [{ target: OTHER, allowFailure: true, value: 2n, callData: "0x" }]),
    [moves("ETH", MULTICALL3, OTHER, 2n), moves("ETH", OWN, MULTICALL3, 2n)],
    2n,
  ],
  ["an empty Multicall3 is a call", MULTICALL3, encode("aggregate3", []), [calls(OWN, MULTICALL3, "0x82ad56cb")]],
  [
    "MultiSend called and not delegated to",
    MULTISEND,
    multiSend(part(0, USDC, 0n, pay)),
    [calls(OWN, MULTISEND, "0x8d80ff0a")],
  ],
  ["Safe: ether", SAFE, exec(OTHER, 9n, "0x"), [moves("ETH", SAFE, OTHER, 9n)]],
  ["Safe: a token", SAFE, exec(USDC, 0n, pay), [moves("USDC", SAFE, OTHER, 5n)]],
  [
    "Safe: ether and a call that nobody knows",
    SAFE,
    exec(UNPINNED, 9n, pay),
    [calls(SAFE, UNPINNED, "0xa9059cbb"), moves("ETH", SAFE, UNPINNED, 9n)],
  ],
  ["Safe: a transaction that only takes a nonce", SAFE, exec(SAFE, 0n, "0x"), [moves("ETH", SAFE, SAFE, 0n)]],
  [
    "Safe: a batch",
    SAFE,
    exec(MULTISEND, 0n, multiSend(part(0, USDC, 0n, pay), part(0, OTHER, 9n, "0x")), { operation: 1 }),
    [moves("USDC", SAFE, OTHER, 5n), moves("ETH", SAFE, OTHER, 9n)],
  ],
  [
    "Safe: a batch in a Safe in a Safe's batch",
    SAFE,
    exec(
      MULTISEND,
      0n,
      multiSend(
        part(0, SAFE, 0n, exec(at.MULTISEND_CALL_ONLY, 0n, multiSend(part(0, USDC, 0n, pay)), { operation: 1 })),
      ),
      { operation: 1 },
    ),
    [moves("USDC", SAFE, OTHER, 5n)],
  ],
  [
    "Safe: an empty batch",
    SAFE,
    exec(MULTISEND, 0n, multiSend(), { operation: 1 }),
    [calls(SAFE, MULTISEND, "0x8d80ff0a")],
  ],
  [
    "Safe: a refund in ether to who sends it",
    SAFE,
    exec(OTHER, 9n, "0x", { safeTxGas: 40_000n, baseGas: 10_000n, gasPrice: 2n }),
    [moves("ETH", SAFE, OTHER, 9n), moves("ETH", SAFE, OWN, 200_000n)],
  ],
  [
    "Safe: a refund in a token to somebody",
    SAFE,
    exec(OTHER, 9n, "0x", { baseGas: 1n, gasPrice: 1n, gasToken: USDC, refundReceiver: THIRD }),
    [moves("ETH", SAFE, OTHER, 9n), moves("USDC", SAFE, THIRD, 50_001n)],
  ],
  [
    "Safe: a module's transaction",
    SAFE,
    encode("execTransactionFromModule", USDC, 0n, pay, 0),
    [moves("USDC", SAFE, OTHER, 5n)],
  ],
  [
    "Safe: approveHash is a signature on something unseen",
    SAFE,
    encode("approveHash", SIG[1]),
    [{ kind: "raw-digest", from: at.account(OWN), digest: SIG[1] }],
  ],
  [
    "Safe: a new owner",
    SAFE,
    exec(SAFE, 0n, encode("addOwnerWithThreshold", OTHER, 1n)),
    [
      {
        kind: "govern",
        from: at.account(SAFE),
        to: at.account(SAFE),
        method: "addOwnerWithThreshold(address,uint256)",
        arguments: { owner: OTHER, threshold: "1" },
      },
    ],
  ],
  [
    "a token's new owner",
    USDC,
    encode("transferOwnership", OTHER),
    [
      {
        kind: "govern",
        from: at.account(OWN),
        to: at.account(USDC),
        method: "transferOwnership(address)",
        arguments: { newOwner: OTHER },
      },
    ],
  ],
  [
    "a proxy's new code",
    WETH,
    encode("upgradeToAndCall", OTHER, "0x01"),
    [
      {
        kind: "govern",
        from: at.account(OWN),
        to: at.account(WETH),
        method: "upgradeToAndCall(address,bytes)",
        arguments: { newImplementation: OTHER, data: "0x01" },
      },
    ],
  ],
  ["a call of what nobody pinned", UNPINNED, pay, [calls(OWN, UNPINNED, "0xa9059cbb")]],
  [
    "a call of what nobody pinned, with ether",
    UNPINNED,
    pay,
    [calls(OWN, UNPINNED, "0xa9059cbb"), moves("ETH", OWN, UNPINNED, 1n)],
    1n,
  ],
  ["a call of oneself is a call", OWN, pay, [calls(OWN, OWN, "0xa9059cbb")]],
  ["a function that a token's standard does not have", USDC, encode("deposit"), [calls(OWN, USDC, "0xd0e30db0")]],
  ["less than a selector", USDC, "0xa905", [calls(OWN, USDC, "0xa905")]],
];

describe("chains/evm/calls", () => {
  for (const [name, to, data, expected, value] of decoded) {
    it(name, () => assert.deepEqual(operations(to, data, value), expected));
  }

  describe("a contract whose ABI is pinned", () => {
    const swap = encodeFunctionData({
      abi: at.ROUTER_ABI,
      functionName: "swapExactTokensForTokens",
      args: [7n, 6n, [USDC, DAI], OTHER],
    });
    const named = { amountIn: "7", amountOutMin: "6", "path.length": "2", "path[0]": USDC, "path[1]": DAI, to: OTHER };
    const swapCall: Operation = {
      ...calls(OWN, ROUTER, swap.slice(0, 10)),
      method: { signature: "swapExactTokensForTokens(uint256,uint256,address[],address)", arguments: named },
    } as Operation;

    it("function and arguments are facts", () => assert.deepEqual(operations(ROUTER, swap), [swapCall]));

    it("members of a struct are told by their names", () => {
      const params = {
        tokenIn: USDC,
        tokenOut: DAI,
        fee: 500,
        recipient: OTHER,
        amountIn: 7n,
        amountOutMinimum: 6n,
        sqrtPriceLimitX96: 0n,
      } as const;
      const [call] = operations(
        ROUTER,
        encodeFunctionData({ abi: at.ROUTER_ABI, functionName: "exactInputSingle", args: [params] }),
      );
      assert.ok(call?.kind === "call" && call.method);
      assert.equal(call.method.signature, "exactInputSingle((address,address,uint24,address,uint256,uint256,uint160))");
      assert.equal(call.method.arguments["params.recipient"], OTHER);
    });

    it("its multicall runs calls of itself in the caller's name, and sends the ether once", () => {
      const batch = encode("multicall", 99n, [swap, encode("multicall", [swap])]);
      assert.deepEqual(operations(ROUTER, batch, 4n), [swapCall, swapCall, moves("ETH", OWN, ROUTER, 4n)]);
    });

    it("its multicall bound to a block is the same", () => {
      const bound = encodeFunctionData({
        abi: parseAbi(["function multicall(bytes32,bytes[])"]),
        args: [SIG[1], [swap]],
      });
      assert.deepEqual(operations(ROUTER, bound), [swapCall]);
    });

    it("a function that its ABI does not name is undecoded", () => {
      assert.deepEqual(operations(ROUTER, pay), [calls(OWN, ROUTER, "0xa9059cbb")]);
    });
  });

  const evil = encode("transfer", OTHER, 0n);
  const dirty: string = encode("transferFrom", THIRD, OTHER, 7n).replace("23b872dd00", "23b872dd01");
  const nested = (depth: number): Hex => (depth === 0 ? pay : encode("multicall", [nested(depth - 1)]));
  const refused: [string, string, string, string][] = [
    ["a byte too many", USDC, `${pay}00`, "calldata-length"],
    ["dirty padding", USDC, dirty, "calldata-padding"],
    [
      "a batch with an amount missing",
      ITEMS,
      encode("safeBatchTransferFrom", OWN, OTHER, [7n, 8n], [3n], "0x"),
      "calldata-value",
    ],
    [
      "a delegatecall to code that nobody pinned",
      SAFE,
      exec(UNPINNED, 0n, evil, { operation: 1 }),
      "unsafe-delegatecall",
    ],
    [
      "a delegatecall to a MultiSend that is not multiSend",
      SAFE,
      exec(MULTISEND, 0n, evil, { operation: 1 }),
      "unsafe-delegatecall",
    ],
    [
      "a delegatecall within a batch",
      SAFE,
      exec(MULTISEND, 0n, multiSend(part(1, UNPINNED, 0n, evil)), { operation: 1 }),
      "unsafe-delegatecall",
    ],
    [
      "a module's delegatecall",
      SAFE,
      encode("execTransactionFromModule", UNPINNED, 0n, evil, 1),
      "unsafe-delegatecall",
    ],
    ["a third kind of Safe operation", SAFE, exec(OTHER, 0n, "0x", { operation: 2 }), "calldata-value"],
    [
      "a batch cut off",
      SAFE,
      exec(MULTISEND, 0n, multiSend(part(0, USDC, 0n, pay).slice(0, -2) as Hex), { operation: 1 }),
      "calldata-length",
    ],
    [
      "a batch to the zero address, which two versions read as two",
      SAFE,
      exec(MULTISEND, 0n, multiSend(part(0, ZERO, 1n, "0x")), { operation: 1 }),
      "calldata-value",
    ],
    [
      "a refund in a token that nobody pinned",
      SAFE,
      exec(OTHER, 0n, "0x", { gasPrice: 1n, gasToken: UNPINNED }),
      "undecoded-refund",
    ],
    ["a refund in a collection", SAFE, exec(OTHER, 0n, "0x", { gasPrice: 1n, gasToken: APE }), "undecoded-refund"],
    ["nine calls within each other", ROUTER, nested(8), "call-too-deep"],
    [
      "257 operations",
      ROUTER,
      encode(
        "multicall",
        Array.from({ length: 257 }, () => pay),
      ),
      "too-many-operations",
    ],
    [
      "257 arguments",
      ROUTER,
      encodeFunctionData({
        abi: at.ROUTER_ABI,
        functionName: "swapExactTokensForTokens",
        args: [7n, 6n, Array.from({ length: 257 }, () => USDC as Hex), OTHER],
      }),
      "too-many-arguments",
    ],
  ];
  for (const [name, to, data, code] of refused) {
    it(`refuses ${name}: ${code}`, () =>
      assert.equal(
        refusal(() => operations(to, data)),
        code,
      ));
  }

  it("eight calls within each other, and 256 operations, are still told", () => {
    assert.equal(operations(ROUTER, nested(7)).length, 1);
    assert.equal(
      operations(
        ROUTER,
        encode(
          "multicall",
          Array.from({ length: 256 }, () => pay),
        ),
      ).length,
      256,
    );
  });
});
