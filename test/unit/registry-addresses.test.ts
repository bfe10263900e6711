import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { getMultiSendCallOnlyDeployment, getMultiSendDeployment } from "@safe-global/safe-deployments";
import { base, arbitrum, mainnet, optimism } from "viem/chains";
import { parse } from "yaml";

// Goal: the registries that are shipped name the contracts that their symbols mean elsewhere: a wrong address there is
// another asset.
// Method: against what others publish: Uniswap's token list, Safe's deployments, viem's chains.

type Asset = {
  readonly chain: string;
  readonly decimals: number;
  readonly standard: string;
  readonly contract?: string;
};
type Registry = {
  readonly chains: Readonly<Record<string, unknown>>;
  readonly assets: Readonly<Record<string, Asset>>;
  readonly contracts?: Readonly<Record<string, { readonly address: string }>>;
};
type TokenList = {
  readonly tokens: readonly {
    readonly chainId: number;
    readonly address: string;
    readonly symbol: string;
    readonly decimals: number;
  }[];
};

const registry = (name: string): Registry =>
  parse(readFileSync(new URL(`../../policies/shared/${name}.yaml`, import.meta.url), "utf8")) as Registry;
const { tokens } = createRequire(import.meta.url)(
  "@uniswap/default-token-list/build/uniswap-default.tokenlist.json",
) as TokenList;
const listed = new Map(tokens.map((token) => [`eip155:${token.chainId}:${token.address}`, token]));
const [assets, rollups, uniswap] = [registry("assets"), registry("rollups"), registry("uniswap")];
const onNetworks = Object.entries({ ...assets.assets, ...rollups.assets }).filter(
  ([, { contract, chain }]) => contract !== undefined && chain !== "eip155:31337",
);

describe("the shipped registries", () => {
  for (const [symbol, { contract, decimals }] of onNetworks.filter(([, { standard }]) => standard === "erc20"))
    it(`${symbol} is the token of that name, with ${decimals} decimals`, () => {
      const token = listed.get(contract!);
      // `USDC-BASE` is USDC on Base.
      assert.deepEqual([token?.symbol, token?.decimals], [symbol.split("-")[0], decimals], contract);
    });

  it("rollups have the chain ids of their names", () => {
    const named = [optimism, base, arbitrum].map(({ id, name }) => [`eip155:${id}`, name]);
    const chains = Object.entries(rollups.chains).map(([id, chain]) => [id, (chain as { name: string }).name]);
    assert.deepEqual(chains, named);
  });

  it("contracts with a meaning are where they were deployed", () => {
    const safe = (version: string, find: typeof getMultiSendDeployment) =>
      find({ version, network: "1" })!.deployments["canonical"]!.address;
    const deployed = {
      weth: listed.get("eip155:1:0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2")!.address,
      // docs.uniswap.org, "Ethereum Deployments": Permit2 and SwapRouter02.
      permit2: "0x000000000022D473030F116dDEE9F6B43aC78BA3",
      multicall3: mainnet.contracts.multicall3.address,
      "safe-multisend-130": safe("1.3.0", getMultiSendDeployment),
      "safe-multisend-141": safe("1.4.1", getMultiSendDeployment),
      "safe-multisend-calls-130": safe("1.3.0", getMultiSendCallOnlyDeployment),
      "safe-multisend-calls-141": safe("1.4.1", getMultiSendCallOnlyDeployment),
      "uniswap-router": "0x68b3465833fb72A70ecDF485E0e4C7bD8665Fc45",
    };
    const pinned = Object.entries({ ...assets.contracts, ...uniswap.contracts });
    const lower = (entries: [string, string][]) => entries.map(([name, at]) => [name, at.toLowerCase()]).toSorted();
    assert.deepEqual(
      lower(pinned.map(([name, { address }]) => [name, address.slice("eip155:1:".length)])),
      lower(Object.entries(deployed)),
    );
  });
});
