import { createRequire } from "node:module";
import type { Abi, Hex } from "viem";

/** A token as small as the standard lets it be (EIP-20), with 6 decimals: all of it belongs to whoever deploys it. */
const SOURCE = `// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.0;
contract Token {
  string public constant symbol = "TUSD";
  uint8 public constant decimals = 6;
  uint256 public constant totalSupply = 1000000000 * 10 ** 6;
  mapping(address => uint256) public balanceOf;
  mapping(address => mapping(address => uint256)) public allowance;
  event Transfer(address indexed from, address indexed to, uint256 value);
  event Approval(address indexed owner, address indexed spender, uint256 value);
  constructor() { balanceOf[msg.sender] = totalSupply; }
  function transfer(address to, uint256 value) external returns (bool) { return move(msg.sender, to, value); }
  function approve(address spender, uint256 value) external returns (bool) {
    allowance[msg.sender][spender] = value;
    emit Approval(msg.sender, spender, value);
    return true;
  }
  function transferFrom(address from, address to, uint256 value) external returns (bool) {
    allowance[from][msg.sender] -= value;
    return move(from, to, value);
  }
  function move(address from, address to, uint256 value) private returns (bool) {
    balanceOf[from] -= value;
    balanceOf[to] += value;
    emit Transfer(from, to, value);
    return true;
  }
}`;

type Compiled = {
  readonly errors?: readonly { severity: string; formattedMessage: string }[];
  readonly contracts: { "token.sol": { Token: { abi: Abi; evm: { bytecode: { object: string } } } } };
};

/** Compiles the token; takes a second or two. */
export function compileErc20(): { readonly abi: Abi; readonly bytecode: Hex } {
  const solc = createRequire(import.meta.url)("solc") as { compile: (input: string) => string };
  const input = {
    language: "Solidity",
    sources: { "token.sol": { content: SOURCE } },
    settings: { outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } } },
  };
  const { errors = [], contracts } = JSON.parse(solc.compile(JSON.stringify(input))) as Compiled;
  const failed = errors.find(({ severity }) => severity === "error");
  if (failed) throw new Error(failed.formattedMessage);
  const { abi, evm } = contracts["token.sol"].Token;
  return { abi, bytecode: `0x${evm.bytecode.object}` };
}
