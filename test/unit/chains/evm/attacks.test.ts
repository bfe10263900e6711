import assert from "node:assert/strict";
import {
  concatHex,
  encodeFunctionData,
  maxUint256,
  numberToHex,
  parseAbi,
  serializeTransaction,
  size,
  type Abi,
  type Hex,
} from "viem";
import { Wallet } from "ethers";
import { describeIntent } from "../../../../src/chains/evm/describe.ts";
import { intentOf } from "../../../../src/chains/evm/intent.ts";
import { intentOfMessage } from "../../../../src/chains/evm/message.ts";
import { parseTypedData } from "../../../../src/chains/evm/typed-data.ts";
import { intentOfTypedData } from "../../../../src/chains/evm/typed-data-intent.ts";
import { decodeUnsigned } from "../../../../src/chains/evm/transaction.ts";
import type { Intent } from "../../../../src/domain/intent.ts";
import { bytesOf } from "./arbitraries.ts";
import { allows, calls, MAX, moves } from "./operations.ts";
import * as at from "./registry.ts";
import { refusalOf } from "./refusal.ts";

// Goal: thefts that happened, as their payloads, are told as what they are, or refused.
// Method: each case names its source; addresses are those of the tests.

const { OWN, OTHER, THIRD, USDC, APE, ROUTER, SAFE, UNPINNED } = at;
const abi: Abi = parseAbi([
  "function transfer(address,uint256)",
  "function increaseAllowance(address,uint256)",
  "function setApprovalForAll(address,bool)",
  "function multicall(bytes[])",
  "function multiSend(bytes)",
  "function execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)",
]);
const encode = (functionName: string, ...args: unknown[]): Hex => encodeFunctionData({ abi, functionName, args });
const base = {
  type: "eip1559",
  chainId: 1,
  nonce: 0,
  gas: 100_000n,
  maxFeePerGas: 1n,
  maxPriorityFeePerGas: 1n,
} as const;
const transaction = (to: string, data: Hex = "0x", value = 0n): Intent =>
  intentOf(
    decodeUnsigned(bytesOf(serializeTransaction({ ...base, to: to as Hex, data, value }))),
    at.account(OWN),
    at.registry,
  );
const told = (intent: Intent) =>
  describeIntent(intent, {
    registry: at.registry,
    nameOf: (who) => (who === at.account(OTHER) ? "kraken" : undefined),
  });

describe("chains/evm: attacks that happened", () => {
  // Bybit, 21 February 2025, 1.5 billion dollars. The signers' screens showed a transfer; the Safe transaction was a
  // delegatecall whose `transfer(address,uint256)` wrote the first storage slot, the Safe's implementation.
  // Source: https://www.fbi.gov/ic3 PSA I-022625-PSA; transaction 0x46deef0f52e3a983b67abf4714448a41dd7ffd6d32d32da69d62081c68ad7882.
  it("Bybit: a Safe's delegatecall that looks like a token's transfer is refused, sent or only signed", () => {
    const attack = encode("transfer", THIRD, 0n);
    const zero = at.ZERO;
    const sent = encode("execTransaction", UNPINNED, 0n, attack, 1, 45_746n, 0n, 0n, zero, zero, "0x");
    const error = refusalOf(() => transaction(SAFE, sent));
    assert.equal(error.code, "unsafe-delegatecall");
    assert.equal(error.facts["to"], at.account(UNPINNED));

    const names =
      "address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 baseGas,uint256 gasPrice,address gasToken,address refundReceiver,uint256 nonce";
    const member = (text: string) => ({ type: text.split(" ")[0]!, name: text.split(" ")[1]! });
    const typed = parseTypedData({
      types: {
        EIP712Domain: [member("uint256 chainId"), member("address verifyingContract")],
        SafeTx: names.split(",").map(member),
      },
      primaryType: "SafeTx",
      domain: { chainId: 1, verifyingContract: SAFE },
      message: {
        to: UNPINNED,
        value: "0",
        data: attack,
        operation: 1,
        safeTxGas: "45746",
        baseGas: "0",
        gasPrice: "0",
        gasToken: zero,
        refundReceiver: zero,
        nonce: "71",
      },
    });
    assert.equal(refusalOf(() => intentOfTypedData(typed, at.account(OWN), at.registry)).code, "unsafe-delegatecall");
  });

  // Permit phishing: a "free claim" asks for a signature and no transaction; the thief sends permit and transferFrom.
  // Source: Scam Sniffer, wallet drainers report of 2023: most stolen tokens went by signatures such as Permit.
  it("Permit phishing: a signature over an unlimited Permit is an unlimited allowance to the thief", () => {
    const member = (text: string) => ({ type: text.split(" ")[0]!, name: text.split(" ")[1]! });
    const typed = parseTypedData({
      types: {
        EIP712Domain: ["string name", "string version", "uint256 chainId", "address verifyingContract"].map(member),
        Permit: ["address owner", "address spender", "uint256 value", "uint256 nonce", "uint256 deadline"].map(member),
      },
      primaryType: "Permit",
      domain: { name: "Claim your airdrop", version: "2", chainId: 1, verifyingContract: USDC.toLowerCase() },
      message: {
        owner: OWN.toLowerCase(),
        spender: UNPINNED.toLowerCase(),
        value: maxUint256.toString(),
        nonce: 0,
        deadline: maxUint256.toString(),
      },
    });
    const intent = intentOfTypedData(typed, at.account(OWN), at.registry);
    assert.deepEqual(intent.operations, [allows("USDC", OWN, UNPINNED, MAX, { unlimited: true })]);
    assert.equal(told(intent)[0], `lets ${UNPINNED} (no name) take UNLIMITED USDC`);
  });

  // Premint, 17 July 2022: the site of a well-known service asked for it; some 300 NFTs were gone the same day.
  // Source: https://zengo.com/protecting-premints-users-with-zengos-clearsign/
  it("setApprovalForAll: a collection lent to a thief is an unlimited allowance on every item", () => {
    const intent = transaction(APE, encode("setApprovalForAll", UNPINNED, true));
    assert.deepEqual(intent.operations, [allows("BAYC", OWN, UNPINNED, MAX, { unlimited: true })]);
    assert.equal(told(intent)[0], `lets ${UNPINNED} (no name) take EVERY BAYC, now and later`);
  });

  // Address poisoning, 3 May 2024, 1155 WBTC: the victim copied from its history an address with the same first and
  // last digits, planted there by a transfer of nothing. Source: Chainalysis, "Anatomy of an Address Poisoning Scam".
  it("address poisoning: a look-alike has no name, and stands there with all its digits", () => {
    const lookAlike = `${OTHER.slice(0, 8)}${"00".repeat(13)}${OTHER.slice(-8)}`.toLowerCase();
    const intent = transaction(USDC, encode("transfer", lookAlike, 10n ** 12n));
    const [line] = told(intent);
    assert.match(line!, /^pays 1000000 USDC to 0x[0-9a-fA-F]{40} \(no name\)$/);
    assert.ok(line!.toLowerCase().includes(lookAlike));
    assert.notDeepEqual(intent.operations, [moves("USDC", OWN, OTHER, 10n ** 12n)]);
  });

  // Delegation phishing since Pectra, May 2025: nearly all first EIP-7702 delegations went to sweepers' code.
  // Source: Wintermute, "CrimeEnjoyor", May 2025.
  it("EIP-7702: a transaction of nothing that carries the account's own delegation hands the account over", () => {
    const own = new Wallet(`0x${"44".repeat(32)}`);
    const { signature, address } = own.authorizeSync({ address: UNPINNED, nonce: 1, chainId: 1 });
    const list = [
      {
        address: address as Hex,
        chainId: 1,
        nonce: 1,
        r: signature.r as Hex,
        s: signature.s as Hex,
        yParity: signature.yParity,
      },
    ];
    const bytes = bytesOf(serializeTransaction({ ...base, type: "eip7702", to: OTHER, authorizationList: list }));
    const intent = intentOf(decodeUnsigned(bytes), at.account(own.address), at.registry, () =>
      bytesOf(own.signingKey.publicKey),
    );
    assert.deepEqual(intent.operations.at(-1), {
      kind: "delegate",
      from: at.account(own.address),
      to: at.account(UNPINNED),
    });
    assert.match(told(intent)[0]!, /^CANNOT BE KNOWN: hands .* over to the code/);
  });

  // One call too many in a batch, where a screen shows the first. Source: Uniswap v3 periphery, Multicall.sol: each runs
  // in the sender's name.
  it("multicall: what hides among harmless calls is told, and what is not understood comes first", () => {
    const swap = encodeFunctionData({
      abi: at.ROUTER_ABI,
      functionName: "swapExactTokensForTokens",
      args: [1n, 1n, [USDC], OTHER],
    });
    const intent = transaction(
      ROUTER,
      encode("multicall", [swap, encode("multicall", [encode("transfer", THIRD, 5n)]), swap]),
    );
    assert.deepEqual(intent.operations[1], calls(OWN, ROUTER, "0xa9059cbb"));
    assert.match(told(intent)[0]!, /^CANNOT BE KNOWN: calls/);
  });

  it("MultiSend: a payment to somebody else in a Safe's batch is one of its operations", () => {
    const part = (to: string, amount: bigint) => {
      const data = encode("transfer", to, amount);
      return concatHex(["0x00", USDC, numberToHex(0, { size: 32 }), numberToHex(size(data), { size: 32 }), data]);
    };
    const batch = encode("multiSend", concatHex([part(OTHER, 1n), part(THIRD, 999n)]));
    const zero = at.ZERO;
    const { operations } = transaction(
      SAFE,
      encode("execTransaction", at.MULTISEND, 0n, batch, 1, 0n, 0n, 0n, zero, zero, "0x"),
    );
    assert.deepEqual(operations, [moves("USDC", SAFE, OTHER, 1n), moves("USDC", SAFE, THIRD, 999n)]);
  });

  // Anybody can deploy a token that calls itself USDC and says that it has other decimals. Source: ERC-20, where name,
  // symbol and decimals are optional and the contract's own word.
  it("fake token: neither symbol nor decimals come from a contract that nobody pinned", () => {
    const intent = transaction(UNPINNED, encode("transfer", OTHER, 10n ** 12n));
    assert.deepEqual(intent.operations, [calls(OWN, UNPINNED, "0xa9059cbb")]);
    assert.ok(told(intent).every((line) => !line.includes("USDC")));
  });

  // 7 September 2023, 24 million dollars; OpenZeppelin removed the function for it.
  // Source: https://github.com/OpenZeppelin/openzeppelin-contracts/issues/4583
  it("increaseAllowance: a small increase on top of what nobody knows is unlimited", () => {
    const { operations } = transaction(USDC, encode("increaseAllowance", UNPINNED, 1n));
    assert.deepEqual(operations, [allows("USDC", OWN, UNPINNED, MAX, { unlimited: true, change: "1" })]);
  });

  // eth_sign phishing: 32 bytes "to verify ownership" were the hash of an order or a transaction.
  // Source: MetaMask, "What is eth_sign and why is it a risk".
  it("opaque message: 32 bytes, or their digits as text, are a signature on anything", () => {
    const digest = "8f".repeat(32);
    for (const message of [bytesOf(digest), new TextEncoder().encode(`0x${digest}`)]) {
      const intent = intentOfMessage(message, at.account(OWN), at.registry);
      assert.deepEqual(intent.operations, [{ kind: "raw-digest", from: at.account(OWN), digest: `0x${digest}` }]);
      assert.match(told(intent)[0]!, /^CANNOT BE KNOWN: signs a digest of something unseen/);
    }
  });

  // Since EIP-7702 an own account can have code that answers: data sent to it is no transfer to oneself.
  it("a call of one's own account is a call", () => {
    assert.deepEqual(transaction(OWN, encode("transfer", OWN, 0n)).operations, [calls(OWN, OWN, "0xa9059cbb")]);
  });
});
