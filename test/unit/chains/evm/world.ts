import { createRequire } from "node:module";
import type { Abi, Hex } from "viem";

/*
 * Contracts of every kind that calls have a meaning at, as small as their standards let them be; the Safe's execution,
 * its refund and MultiSend as in safe-smart-account 1.3 (signatures are left out, of the Safe, of ERC-2612 and of Permit2: who may is not the question here).
 */
const SOURCE = `// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.0;

contract Token {
  mapping(address => uint256) public balanceOf;
  mapping(address => mapping(address => uint256)) public allowance;
  function mint(address to, uint256 value) external { balanceOf[to] += value; }
  function transfer(address to, uint256 value) external returns (bool) { return move(msg.sender, to, value); }
  function transferFrom(address from, address to, uint256 value) external returns (bool) {
    if (from != msg.sender) allowance[from][msg.sender] -= value;
    return move(from, to, value);
  }
  function approve(address spender, uint256 value) external returns (bool) { allowance[msg.sender][spender] = value; return true; }
  function permit(address owner, address spender, uint256 value, uint256, uint8, bytes32, bytes32) external { allowance[owner][spender] = value; }
  function permit(address holder, address spender, uint256, uint256, bool allowed, uint8, bytes32, bytes32) external { allowance[holder][spender] = allowed ? type(uint256).max : 0; }
  function transferWithAuthorization(address from, address to, uint256 value, uint256, uint256, bytes32, uint8, bytes32, bytes32) external { move(from, to, value); }
  function increaseAllowance(address spender, uint256 value) external returns (bool) { allowance[msg.sender][spender] += value; return true; }
  function decreaseAllowance(address spender, uint256 value) external returns (bool) { allowance[msg.sender][spender] -= value; return true; }
  function move(address from, address to, uint256 value) internal returns (bool) {
    balanceOf[from] -= value;
    balanceOf[to] += value;
    return true;
  }
}

contract Wrapped is Token {
  receive() external payable { deposit(); }
  function deposit() public payable { balanceOf[msg.sender] += msg.value; }
  function withdraw(uint256 wad) external { balanceOf[msg.sender] -= wad; payable(msg.sender).transfer(wad); }
}

contract Bundled is Token {
  function multicall(bytes[] calldata data) external {
    for (uint256 i = 0; i < data.length; i++) {
      (bool success, ) = address(this).delegatecall(data[i]);
      require(success);
    }
  }
}

contract Collection {
  mapping(uint256 => address) public ownerOf;
  mapping(uint256 => address) public getApproved;
  mapping(address => mapping(address => bool)) public isApprovedForAll;
  function mint(address to, uint256 id) external { ownerOf[id] = to; }
  function setApprovalForAll(address operator, bool approved) external { isApprovedForAll[msg.sender][operator] = approved; }
  function approve(address to, uint256 id) external { require(ownerOf[id] == msg.sender); getApproved[id] = to; }
  function transferFrom(address from, address to, uint256 id) public {
    require(ownerOf[id] == from && (from == msg.sender || isApprovedForAll[from][msg.sender] || getApproved[id] == msg.sender));
    ownerOf[id] = to;
    getApproved[id] = address(0);
  }
  function safeTransferFrom(address from, address to, uint256 id) external { transferFrom(from, to, id); }
  function safeTransferFrom(address from, address to, uint256 id, bytes calldata) external { transferFrom(from, to, id); }
}

contract Items {
  mapping(address => mapping(uint256 => uint256)) public balanceOf;
  mapping(address => mapping(address => bool)) public isApprovedForAll;
  function mint(address to, uint256 id, uint256 value) external { balanceOf[to][id] += value; }
  function setApprovalForAll(address operator, bool approved) external { isApprovedForAll[msg.sender][operator] = approved; }
  function move(address from, address to, uint256 id, uint256 value) internal {
    require(from == msg.sender || isApprovedForAll[from][msg.sender]);
    balanceOf[from][id] -= value;
    balanceOf[to][id] += value;
  }
  function safeTransferFrom(address from, address to, uint256 id, uint256 value, bytes calldata) external { move(from, to, id, value); }
  function safeBatchTransferFrom(address from, address to, uint256[] calldata ids, uint256[] calldata values, bytes calldata) external {
    for (uint256 i = 0; i < ids.length; i++) move(from, to, ids[i], values[i]);
  }
}

contract Permit2 {
  struct Allowed { uint160 amount; uint48 expiration; uint48 nonce; }
  mapping(address => mapping(address => mapping(address => Allowed))) public allowance;
  function approve(address token, address spender, uint160 amount, uint48 expiration) external {
    allowance[msg.sender][token][spender] = Allowed(amount, expiration, 0);
  }
  function transferFrom(address from, address to, uint160 amount, address token) external { move(from, to, amount, token); }
  struct Move { address from; address to; uint160 amount; address token; }
  function transferFrom(Move[] calldata moves) external {
    for (uint256 i = 0; i < moves.length; i++) move(moves[i].from, moves[i].to, moves[i].amount, moves[i].token);
  }
  struct PermitDetails { address token; uint160 amount; uint48 expiration; uint48 nonce; }
  struct PermitSingle { PermitDetails details; address spender; uint256 sigDeadline; }
  struct PermitBatch { PermitDetails[] details; address spender; uint256 sigDeadline; }
  function permit(address owner, PermitSingle memory single, bytes calldata) external { grant(owner, single.details, single.spender); }
  function permit(address owner, PermitBatch memory batch, bytes calldata) external {
    for (uint256 i = 0; i < batch.details.length; i++) grant(owner, batch.details[i], batch.spender);
  }
  function grant(address owner, PermitDetails memory details, address spender) internal {
    allowance[owner][details.token][spender] = Allowed(details.amount, details.expiration, details.nonce + 1);
  }
  struct Pair { address token; address spender; }
  function lockdown(Pair[] calldata pairs) external {
    for (uint256 i = 0; i < pairs.length; i++) allowance[msg.sender][pairs[i].token][pairs[i].spender].amount = 0;
  }
  function move(address from, address to, uint160 amount, address token) internal {
    Allowed storage allowed = allowance[from][token][msg.sender];
    require(block.timestamp <= allowed.expiration);
    if (allowed.amount != type(uint160).max) allowed.amount -= amount;
    Token(token).transferFrom(from, to, amount);
  }
  struct Permitted { address token; uint256 amount; }
  struct Transfer { Permitted permitted; uint256 nonce; uint256 deadline; }
  struct Transfers { Permitted[] permitted; uint256 nonce; uint256 deadline; }
  struct Details { address to; uint256 requestedAmount; }
  function permitTransferFrom(Transfers memory permit, Details[] calldata details, address owner, bytes calldata) external { moveAll(permit, details, owner); }
  function permitWitnessTransferFrom(Transfers memory permit, Details[] calldata details, address owner, bytes32, string calldata, bytes calldata) external { moveAll(permit, details, owner); }
  function moveAll(Transfers memory permit, Details[] calldata details, address owner) internal {
    require(block.timestamp <= permit.deadline && permit.permitted.length == details.length);
    for (uint256 i = 0; i < details.length; i++) {
      require(details[i].requestedAmount <= permit.permitted[i].amount);
      if (details[i].requestedAmount != 0) Token(permit.permitted[i].token).transferFrom(owner, details[i].to, details[i].requestedAmount);
    }
  }
  function permitTransferFrom(Transfer memory permit, Details calldata details, address owner, bytes calldata) external {
    require(block.timestamp <= permit.deadline && details.requestedAmount <= permit.permitted.amount);
    Token(permit.permitted.token).transferFrom(owner, details.to, details.requestedAmount);
  }
}

contract Multicall3 {
  struct Call3Value { address target; bool allowFailure; uint256 value; bytes callData; }
  receive() external payable {}
  function aggregate3Value(Call3Value[] calldata calls) external payable {
    for (uint256 i = 0; i < calls.length; i++) {
      (bool success, ) = calls[i].target.call{value: calls[i].value}(calls[i].callData);
      require(success || calls[i].allowFailure);
    }
  }
}

contract MultiSend {
  address private immutable singleton = address(this);
  function multiSend(bytes memory transactions) public payable {
    require(address(this) != singleton);
    assembly {
      let length := mload(transactions)
      let i := 0x20
      for {} lt(i, length) {} {
        let to := shr(0x60, mload(add(transactions, add(i, 0x01))))
        let value := mload(add(transactions, add(i, 0x15)))
        let dataLength := mload(add(transactions, add(i, 0x35)))
        let success := call(gas(), to, value, add(transactions, add(i, 0x55)), dataLength, 0, 0)
        if iszero(success) { revert(0, 0) }
        i := add(i, add(0x55, dataLength))
      }
    }
  }
}

contract Safe {
  receive() external payable {}
  function execTransaction(
    address to, uint256 value, bytes memory data, uint8 operation, uint256 safeTxGas, uint256 baseGas, uint256 gasPrice,
    address gasToken, address payable refundReceiver, bytes memory
  ) public payable returns (bool success) {
    uint256 gasUsed = gasleft();
    success = execute(to, value, data, operation, gasPrice == 0 ? (gasleft() - 2500) : safeTxGas);
    gasUsed = gasUsed - gasleft();
    require(success || safeTxGas != 0 || gasPrice != 0, "GS013");
    if (gasPrice > 0) handlePayment(gasUsed, baseGas, gasPrice, gasToken, refundReceiver);
  }
  function execute(address to, uint256 value, bytes memory data, uint8 operation, uint256 txGas) internal returns (bool success) {
    if (operation == 1) { assembly { success := delegatecall(txGas, to, add(data, 0x20), mload(data), 0, 0) } }
    else { assembly { success := call(txGas, to, value, add(data, 0x20), mload(data), 0, 0) } }
  }
  function handlePayment(uint256 gasUsed, uint256 baseGas, uint256 gasPrice, address gasToken, address payable refundReceiver) private {
    address payable receiver = refundReceiver == address(0) ? payable(tx.origin) : refundReceiver;
    if (gasToken == address(0)) {
      uint256 payment = (gasUsed + baseGas) * (gasPrice < tx.gasprice ? gasPrice : tx.gasprice);
      require(receiver.send(payment), "GS011");
    } else {
      require(Token(gasToken).transfer(receiver, (gasUsed + baseGas) * gasPrice), "GS012");
    }
  }
}`;

export type Compiled = { readonly abi: Abi; readonly bytecode: Hex };
export type ContractName =
  "Token" | "Wrapped" | "Bundled" | "Collection" | "Items" | "Permit2" | "Multicall3" | "MultiSend" | "Safe";

type Output = {
  readonly errors?: readonly { severity: string; formattedMessage: string }[];
  readonly contracts: { "world.sol": Record<ContractName, { abi: Abi; evm: { bytecode: { object: string } } }> };
};

/** Compiles all of them; takes a second or two. */
export function compileWorld(): Readonly<Record<ContractName, Compiled>> {
  const solc = createRequire(import.meta.url)("solc") as { compile: (input: string) => string };
  const input = {
    language: "Solidity",
    sources: { "world.sol": { content: SOURCE } },
    settings: {
      viaIR: true,
      optimizer: { enabled: true },
      outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
    },
  };
  const { errors = [], contracts } = JSON.parse(solc.compile(JSON.stringify(input))) as Output;
  const failed = errors.find(({ severity }) => severity === "error");
  if (failed) throw new Error(failed.formattedMessage);
  const compiled = Object.entries(contracts["world.sol"]).map(([name, { abi, evm }]) => [
    name,
    { abi, bytecode: `0x${evm.bytecode.object}` },
  ]);
  return Object.fromEntries(compiled) as Record<ContractName, Compiled>;
}
