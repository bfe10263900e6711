import assert from "node:assert/strict";
import { copyFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { encodeFunctionData, parseAbi } from "viem";
import { intentOf } from "../../../src/chains/evm/intent.ts";
import { describeIntent } from "../../../src/chains/evm/describe.ts";
import type { Account, ChainId } from "../../../src/domain/chain.ts";
import { checkRegistryFiles } from "../../../src/cli/assets-check.ts";
import { lookAlikes } from "../../../src/cli/look-alikes.ts";
import { readRegistry } from "../../../src/cli/registry.ts";

// Goal: what a registry says reaches the decoders, and a registry that could be misread is refused.
// Method: the shipped files, changed in one place each.

const POLICIES = fileURLToPath(new URL("../../../policies/", import.meta.url));
const FILES = ["assets", "rollups", "uniswap"].map((name) => `shared/${name}.yaml`);
const OWN = "0x00000000000000000000000000000000000000A1";
const USDC = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48";
const DAI = "0x6B175474E89094C44Da98b954EedeAC495271d0F";
const ROUTER = "0x68b3465833fb72A70ecDF485E0e4C7bD8665Fc45";

describe("asset registry", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "assets-"));
    cpSync(join(POLICIES, "shared"), join(folder, "shared"), { recursive: true });
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const edit = (file: string, from: string, to: string) => {
    const text = readFileSync(join(folder, file), "utf8");
    assert.ok(text.includes(from), from);
    writeFileSync(join(folder, file), text.replace(from, to));
  };
  const findings = () => checkRegistryFiles(FILES.map((file) => join(folder, file))).findings;

  it("what ships has no findings", () => {
    assert.deepEqual(findings(), []);
  });

  const MISTAKES: readonly (readonly [name: string, file: string, from: string, to: string, message: RegExp])[] = [
    ["a checksum that does not hold", "assets", "0xA0b86991c", "0xa0b86991c", /checksum/],
    ["a symbol that looks like another", "assets", "  LINK:", "  U5DC:", /`U5DC` beside `USDC`/],
    [
      "a contract's name that looks like another",
      "assets",
      "permit2:",
      "rnulticall3:",
      /`multicall3` beside `rnulticall3`/,
    ],
    ["one token twice", "assets", "0x514910771AF9Ca656af840dff83E8264EcF986CA", DAI, /`LINK` to be `DAI` again/],
    [
      "one contract twice",
      "assets",
      "0xcA11bde05977b3631167028862bE2a173976CA11",
      "0x000000000022D473030F116dDEE9F6B43aC78BA3",
      /`multicall3` to be `permit2` again/,
    ],
    ["decimals of a collection", "assets", "decimals: 0", "decimals: 1", /expected `0`, found/],
    ["a `weth` that is no asset", "uniswap", "kind: multicall", "kind: weth", /standard `erc20`/],
    ["a kind that nobody knows", "uniswap", "kind: multicall", "kind: router", /kind|`weth`/],
    ["a contract on a chain that is not there", "uniswap", "eip155:1:", "eip155:5:", /chain of the registry/],
    ["more digits than the native asset has", "rollups", "0.002", "0.0000000000000000001", /decimal/],
    ["an ABI that is not there", "uniswap", "abis/uniswap", "abis/other", /other/],
  ];
  for (const [name, file, from, to, message] of MISTAKES) {
    it(`refuses ${name}`, () => {
      edit(`shared/${file}.yaml`, from, to);
      const said = () =>
        findings()
          .map((finding) => finding.message)
          .join("\n");
      if (name.startsWith("an ABI")) assert.throws(said, message);
      else assert.match(said(), message);
    });
  }

  it("refuses an ABI whose types the decoder could not read", () => {
    edit("shared/abis/uniswap-swap-router-02.json", '"uint24"', '"uint23"');
    assert.match(findings()[0]!.message, /type of the contract ABI/);
    copyFileSync(join(POLICIES, FILES[0]!), join(folder, "shared/abis/uniswap-swap-router-02.json"));
    assert.match(findings()[0]!.message, /list/);
  });

  it("kinds, ABI, descriptor and publishing fee reach the decoder and the words for people", () => {
    const registry = readRegistry(...FILES.map((file) => join(folder, file)));
    const data = encodeFunctionData({
      abi: parseAbi([
        "function exactInputSingle((address tokenIn,address tokenOut,uint24 fee,address recipient,uint256 amountIn,uint256 amountOutMinimum,uint160 sqrtPriceLimitX96) params)",
      ]),
      args: [
        {
          tokenIn: USDC,
          tokenOut: DAI,
          fee: 500,
          recipient: OWN,
          amountIn: 5_000_000n,
          amountOutMinimum: 4n * 10n ** 18n,
          sqrtPriceLimitX96: 0n,
        },
      ],
    });
    const transaction = {
      type: "eip1559",
      chainId: 1n,
      nonce: 0n,
      gasLimit: 1n,
      maxFeePerGas: 1n,
      maxPriorityFeePerGas: 1n,
      accessList: [],
      to: ROUTER,
      value: 0n,
      data: Buffer.from(data.slice(2), "hex"),
    } as const;
    const intent = intentOf(transaction, `eip155:1:${OWN}` as Account, registry);
    const [call] = intent.operations;
    assert.equal(call?.kind === "call" && call.method?.arguments["params.amountIn"], "5000000");
    const words = describeIntent(intent, { registry, nameOf: () => undefined }).join("\n");
    assert.match(words, /Send.*5 USDC/);
    const onBase = intentOf(
      { ...transaction, chainId: 8453n, data: new Uint8Array(0) },
      `eip155:8453:${OWN}` as Account,
      registry,
    );
    assert.equal(onBase.fee.max, 2n * 10n ** 15n + 1n);
    assert.equal(registry.l1FeeMax?.has("eip155:42161" as ChainId), false);
  });

  it("names look alike as people read them", () => {
    assert.deepEqual(lookAlikes(["USDC", "DAI", "USDC.e", "DA1", "UNI", "UN1", "usdc"]), [
      ["DA1", "DAI"],
      ["UN1", "UNI"],
      ["usdc", "USDC"],
    ]);
  });
});
