import { createRequire } from "node:module";
import type { Abi, Hex } from "viem";

/** A token as small as its standards let it be (EIP-20, ERC-2612), with 6 decimals: all of it belongs to whoever deploys it. */
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
  mapping(address => uint256) public nonces;
  function DOMAIN_SEPARATOR() public view returns (bytes32) {
    return keccak256(abi.encode(
      keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
      keccak256("Test Dollar"), keccak256("1"), block.chainid, address(this)));
  }
  function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external {
    require(block.timestamp <= deadline, "expired");
    bytes32 message = keccak256(abi.encode(
      keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
      owner, spender, value, nonces[owner]++, deadline));
    address signer = ecrecover(keccak256(abi.encodePacked("\\x19\\x01", DOMAIN_SEPARATOR(), message)), v, r, s);
    require(signer != address(0) && signer == owner, "not the owner's");
    allowance[owner][spender] = value;
    emit Approval(owner, spender, value);
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
