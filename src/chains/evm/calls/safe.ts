import { addressOf, type Account } from "../../../domain/chain.ts";
import { GatewayError } from "../../../domain/errors.ts";
import type { Operation } from "../../../domain/intent.ts";
import { decodeArguments } from "../abi.ts";
import { checksumAddress } from "../address.ts";
import { copyOf, toHex, uintOf } from "../bytes.ts";
import { transfer, ZERO_ADDRESS } from "./amounts.ts";
import { GOVERN_SAFE } from "./govern.ts";
import { meaning, meaningsOf, selectorOf, undecodedCall, type Call, type Scene } from "./meaning.ts";

/** The fields of a Safe transaction that decide what it does. Source: safe-smart-account, Safe.sol, `execTransaction`. */
export type SafeTransaction = {
  readonly to: string;
  readonly value: bigint;
  readonly data: Uint8Array;
  /** 0 call, 1 delegatecall. */
  readonly operation: bigint;
  readonly safeTxGas: bigint;
  readonly baseGas: bigint;
  readonly gasPrice: bigint;
  readonly gasToken: string;
  readonly refundReceiver: string;
};

/** What the Safe does, and what it pays back for the gas. */
export function safeOperations(safe: Account, tx: SafeTransaction, scene: Scene): readonly Operation[] {
  const call = { from: safe, to: scene.account(tx.to), value: tx.value, data: tx.data };
  return [...run(call, tx.operation, scene), ...refund(safe, tx, scene)];
}

export const SAFE = meaningsOf(
  meaning<[string, bigint, Uint8Array, bigint, bigint, bigint, bigint, string, string, Uint8Array]>(
    "execTransaction(address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 baseGas,uint256 gasPrice,address gasToken,address refundReceiver,bytes signatures)",
    (call, [to, value, data, operation, safeTxGas, baseGas, gasPrice, gasToken, refundReceiver], scene) =>
      safeOperations(
        call.to,
        { to, value, data, operation, safeTxGas, baseGas, gasPrice, gasToken, refundReceiver },
        scene,
      ),
  ),
  ...["execTransactionFromModule", "execTransactionFromModuleReturnData"].map((name) =>
    meaning<[string, bigint, Uint8Array, bigint]>(
      `${name}(address to,uint256 value,bytes data,uint8 operation)`,
      (call, [to, value, data, operation], scene) =>
        run({ from: call.to, to: scene.account(to), value, data }, operation, scene),
    ),
  ),
  // Whoever approves a hash approves what nobody here has seen: as good as a signature over it.
  meaning<[Uint8Array]>("approveHash(bytes32 hashToApprove)", (call, [hash]) => [
    { kind: "raw-digest", from: call.from, digest: toHex(hash) },
  ]),
  ...GOVERN_SAFE,
);

function run(call: Call, operation: bigint, scene: Scene): readonly Operation[] {
  if (operation === 0n) return scene.unfold(call);
  if (operation === 1n) return delegated(call, scene);
  throw new GatewayError("calldata-value", `expected a Safe operation of 0 or 1, found ${operation}`);
}

/**
 * Code run by delegatecall can do anything in the Safe's name, whatever its arguments say: how a Safe was emptied of 1.5
 * billion dollars in February 2025. Only MultiSend is known to do what its arguments say and nothing else.
 */
function delegated(call: Call, scene: Scene): readonly Operation[] {
  const kind = scene.registry.contracts?.get(call.to)?.kind;
  if ((kind !== "multisend" && kind !== "multisend-call-only") || selectorOf(call.data) !== MULTI_SEND.selector) {
    throw new GatewayError(
      "unsafe-delegatecall",
      `expected a delegatecall to a pinned MultiSend, found ${addressOf(call.to)}`,
      {
        facts: { to: call.to, safe: call.from },
        hint: "foreign code run by delegatecall can take over the whole Safe",
      },
    );
  }
  const [packed] = decodeArguments(MULTI_SEND, call.data) as [Uint8Array];
  const parts = partsOf(packed);
  // An empty batch does nothing; said as the call that it is, so that no intent is empty.
  if (parts.length === 0) return [undecodedCall(call)];
  return parts.flatMap(({ to, value, data }) => scene.unfold({ from: call.from, to: scene.account(to), value, data }));
}

const MULTI_SEND = meaning<[Uint8Array]>("multiSend(bytes transactions)", () => undefined).compiled;

type Part = Pick<SafeTransaction, "to" | "value" | "data">;

/** MultiSend.sol: operation (1 byte), to (20), value (32), length (32), data, one behind the other. */
const PART_HEAD_BYTES = 85;

function partsOf(packed: Uint8Array): Part[] {
  const parts: Part[] = [];
  for (let at = 0; at < packed.length;) {
    const start = at + PART_HEAD_BYTES;
    const length = start <= packed.length ? uintOf(packed, at + 53, start) : 0n;
    const end = BigInt(start) + length;
    if (end > BigInt(packed.length)) {
      throw new GatewayError("calldata-length", `expected ${end} bytes in a MultiSend, found ${packed.length}`);
    }
    parts.push(partAt(packed, at, Number(end)));
    at = Number(end);
  }
  return parts;
}

function partAt(packed: Uint8Array, at: number, end: number): Part {
  // Delegatecalls inside a batch would hide where nobody looks; MultiSendCallOnly has none.
  if (packed[at] !== 0)
    throw new GatewayError("unsafe-delegatecall", "expected only calls in a MultiSend, found another operation");
  const to = checksumAddress(packed.subarray(at + 1, at + 21));
  // MultiSend 1.5 reads the zero address as the Safe itself, older ones as the zero address.
  if (to === ZERO_ADDRESS)
    throw new GatewayError("calldata-value", "expected a recipient in a MultiSend, found the zero address");
  return { to, value: uintOf(packed, at + 21, at + 53), data: copyOf(packed, at + PART_HEAD_BYTES, end) };
}

/**
 * What `execute` may use besides the inner call's gas: the call itself, its value, a new account. With a gas price set
 * the inner call gets exactly `safeTxGas`, so these three bound what the Safe pays, whoever sends the transaction.
 */
const EXECUTE_GAS_MAX = 50_000n;

/** Safe.sol, `handlePayment`: the zero address as token is ether, as receiver it is who sends the transaction. */
function refund(safe: Account, tx: SafeTransaction, scene: Scene): Operation[] {
  if (tx.gasPrice === 0n) return [];
  const asset = tx.gasToken === ZERO_ADDRESS ? scene.native : scene.registry.byContract.get(scene.account(tx.gasToken));
  if (!asset || (asset.standard !== "erc20" && asset.standard !== "native")) {
    throw new GatewayError(
      "undecoded-refund",
      `expected a pinned token for the refund of a Safe, found ${tx.gasToken}`,
      {
        facts: { gasToken: tx.gasToken },
      },
    );
  }
  const anybody = scene.origin ?? scene.account(ZERO_ADDRESS);
  const to = tx.refundReceiver === ZERO_ADDRESS ? anybody : scene.account(tx.refundReceiver);
  return [transfer(asset, safe, to, (tx.safeTxGas + tx.baseGas + EXECUTE_GAS_MAX) * tx.gasPrice)];
}
