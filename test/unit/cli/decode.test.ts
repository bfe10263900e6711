import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { serializeTransaction, keccak256, hashMessage, parseGwei } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { decodeLine } from "../../../src/cli/decode.ts";
import { readRegistry } from "../../../src/cli/registry.ts";

// Goal: `portcullis decode` says what payloads would do, one line each, and what it cannot read it says so.
// Oracle: viem makes the bytes and the digests.

const REGISTRY = readRegistry(fileURLToPath(new URL("../../../policies/shared/assets.yaml", import.meta.url)));
const TO = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

type Decoded = {
  intent?: { operations: { kind: string; asset?: string; amount?: string }[] };
  digest?: string;
  error?: { code: string };
};
const decode = (line: unknown): Decoded =>
  JSON.parse(decodeLine(typeof line === "string" ? line : JSON.stringify(line), REGISTRY)) as Decoded;

describe("portcullis decode", () => {
  it("an unsigned transaction: the intent and the digest that would be signed", () => {
    const unsigned = serializeTransaction({
      type: "eip1559",
      chainId: 1,
      nonce: 7,
      gas: 21000n,
      to: TO,
      value: 5n,
      maxFeePerGas: parseGwei("30"),
    });
    const { intent, digest } = decode({ chain: "eip155:1", payload: { type: "evm-transaction", unsigned } });
    assert.deepEqual(
      intent?.operations.map(({ kind, asset, amount }) => ({ kind, asset, amount })),
      [{ kind: "transfer", asset: "ETH", amount: "5" }],
    );
    assert.equal(digest, keccak256(unsigned));
  });

  it("a transaction that carries an authorization: to whom which account delegates", async () => {
    const authority = privateKeyToAccount(`0x${"42".repeat(32)}`);
    const authorization = await authority.signAuthorization({ chainId: 1, contractAddress: TO, nonce: 8 });
    const unsigned = serializeTransaction({
      type: "eip7702",
      chainId: 1,
      nonce: 7,
      gas: 100_000n,
      to: TO,
      maxFeePerGas: parseGwei("30"),
      authorizationList: [authorization],
    });
    const account = `eip155:1:${authority.address}`;
    const { intent, digest } = decode({ chain: "eip155:1", account, payload: { type: "evm-transaction", unsigned } });
    const delegation = intent?.operations.find(({ kind }) => kind === "delegate") as { from?: string; to?: string };
    assert.deepEqual([delegation.from, delegation.to], [account, `eip155:1:${TO}`]);
    assert.equal(digest, keccak256(unsigned));
  });

  it("a message: the digest of EIP-191", () => {
    assert.equal(
      decode({ chain: "eip155:1", payload: { type: "evm-message", message: "hello" } }).digest,
      hashMessage("hello"),
    );
  });

  it("a chain that the registry does not have keeps its own coin", () => {
    const transaction = { to: TO, value: "1", nonce: 0, gas: 21000, gasPrice: 1 };
    assert.equal(
      decode({ chain: "eip155:137", payload: { type: "evm-transaction", transaction } }).intent?.operations[0]?.asset,
      "NATIVE",
    );
  });

  for (const [what, line, code] of [
    ["no JSON", "{", "invalid-line"],
    [
      "an unknown field",
      { chain: "eip155:1", payload: { type: "evm-message", message: "x" }, extra: 1 },
      "invalid-line",
    ],
    ["another kind of chain", { chain: "bip122:0", payload: { type: "evm-message", message: "x" } }, "unknown-chain"],
    ["cut bytes", { chain: "eip155:1", payload: { type: "evm-transaction", unsigned: "0x02c3" } }, "rlp-truncated"],
  ] as const) {
    it(`${what}: \`${code}\``, () => assert.equal(decode(line).error?.code, code));
  }
});
