import assert from "node:assert/strict";
import { parse } from "yaml";
import { createWalletClient, encodeDeployData, http, publicActions, getAddress, type Address } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { createRequire } from "node:module";
import { entryText, tokenFromNode } from "../../src/cli/assets-add.ts";
import { FIRST_ACCOUNT_KEY, startAnvil, type Anvil } from "../support/anvil.ts";

// Goal: `assets add` reads from a real node what the registry needs, and refuses what it cannot use.
// Method: tokens of every shape, compiled here, on anvil.

const SOURCE = `// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.0;
contract Text { function decimals() external pure returns (uint8) { return 6; } function symbol() external pure returns (string memory) { return "TUSD"; } }
contract Word { function decimals() external pure returns (uint256) { return 18; } function symbol() external pure returns (bytes32) { return "MKR"; } }
contract Strange { function decimals() external pure returns (uint8) { return 200; } function symbol() external pure returns (string memory) { return unicode"US\u202eDC"; } }
contract Collection { function symbol() external pure returns (string memory) { return "APE"; } function supportsInterface(bytes4 id) external pure returns (bool) { return id == 0x80ac58cd; } }
contract Proxy {
  constructor() { assembly { sstore(0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc, 1) } }
  function decimals() external pure returns (uint8) { return 8; } function symbol() external pure returns (string memory) { return "PRX"; }
}
contract Nothing {}`;

function compile(): Record<string, { evm: { bytecode: { object: string } } }> {
  const solc = createRequire(import.meta.url)("solc") as { compile: (input: string) => string };
  const settings = { outputSelection: { "*": { "*": ["evm.bytecode.object"] } } };
  const input = {
    language: "Solidity",
    sources: { "t.sol": { content: SOURCE.replace("\u202e", "\\u202e") } },
    settings,
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input))) as {
    contracts: { "t.sol": ReturnType<typeof compile> };
  };
  return output.contracts["t.sol"];
}

describe("assets add --from-node", function () {
  let anvil: Anvil;
  const at: Record<string, Address> = {};

  before(async () => {
    anvil = await startAnvil();
    const wallet = createWalletClient({
      account: privateKeyToAccount(FIRST_ACCOUNT_KEY),
      chain: foundry,
      transport: http(anvil.url),
      pollingInterval: 10,
    }).extend(publicActions);
    for (const [name, { evm }] of Object.entries(compile())) {
      const hash = await wallet.sendTransaction({
        data: encodeDeployData({ abi: [], bytecode: `0x${evm.bytecode.object}` }),
      });
      at[name] = getAddress((await wallet.waitForTransactionReceipt({ hash })).contractAddress!);
    }
  });
  after(() => anvil.stop());

  const entry = (name: string, rest: object) => ({
    chain: "eip155:31337",
    decimals: 0,
    standard: "erc20",
    contract: `eip155:31337:${at[name]}`,
    proxy: false,
    ...rest,
  });

  for (const [name, expected] of Object.entries({
    Text: { symbol: "TUSD", decimals: 6 },
    Word: { symbol: "MKR", decimals: 18 },
    Proxy: { symbol: "PRX", decimals: 8, proxy: true },
    Collection: { symbol: "APE", standard: "erc721" },
  })) {
    it(`reads ${name}, and prints what the registry reads`, async () => {
      const found = await tokenFromNode(anvil.url, at[name]!);
      assert.deepEqual(found, entry(name, expected));
      const { symbol, proxy, ...rest } = found;
      assert.deepEqual(parse(entryText(found)), { [symbol]: { ...rest, ...(proxy ? { proxy } : {}) } });
    });
  }

  it("refuses decimals and symbols that no entry can have; `--symbol` gives another name", async () => {
    await assert.rejects(tokenFromNode(anvil.url, at["Strange"]!), { code: "symbol-unusable" });
    await assert.rejects(tokenFromNode(anvil.url, at["Strange"]!, "STRANGE"), { code: "not-a-token" });
    assert.equal((await tokenFromNode(anvil.url, at["Word"]!, "MAKER")).symbol, "MAKER");
  });

  it("refuses what is no token, no contract, no checksum, no node", async () => {
    await assert.rejects(tokenFromNode(anvil.url, at["Nothing"]!, "X"), { code: "not-a-token" });
    await assert.rejects(tokenFromNode(anvil.url, "0x00000000000000000000000000000000000000A1"), {
      code: "not-a-contract",
    });
    await assert.rejects(tokenFromNode(anvil.url, at["Text"]!.toLowerCase()), { code: "address-checksum" });
    await assert.rejects(tokenFromNode("http://127.0.0.1:1", at["Text"]!), { code: "node-unreachable" });
  });
});
