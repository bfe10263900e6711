import type { Operation } from "../../../domain/intent.ts";
import { meaning, meaningsOf, type Call, type Scene } from "./meaning.ts";

/** A contract that runs calls of itself by delegatecall: sender and address stay, and so does the value, once. */
const ofItself = (call: Call, calls: readonly Uint8Array[], scene: Scene): Operation[] =>
  calls.flatMap((data) => scene.unfold({ ...call, value: 0n, data }));

/** Uniswap's and OpenZeppelin's; the bounds before the calls say when they are valid, not what they do. */
export const MULTICALL = meaningsOf(
  meaning<[Uint8Array[]]>("multicall(bytes[] data)", (call, [calls], scene) => ofItself(call, calls, scene)),
  meaning<[bigint, Uint8Array[]]>("multicall(uint256 deadline,bytes[] data)", (call, [, calls], scene) =>
    ofItself(call, calls, scene),
  ),
  meaning<[Uint8Array, Uint8Array[]]>("multicall(bytes32 previousBlockhash,bytes[] data)", (call, [, calls], scene) =>
    ofItself(call, calls, scene),
  ),
);

/** Multicall3 calls others itself: they see it as their sender, whoever called it. */
const inItsName = (
  call: Call,
  calls: readonly { to: string; data: Uint8Array; value?: bigint }[],
  scene: Scene,
): Operation[] =>
  calls.flatMap(({ to, data, value = 0n }) => scene.unfold({ from: call.to, to: scene.account(to), value, data }));

type Target = readonly [to: string, data: Uint8Array];
const pair = ([to, data]: Target) => ({ to, data });
const CALLS = "(address target,bytes callData)[] calls";

/** Source: mds1/multicall, Multicall3.sol. Whether a failing call fails the batch changes nothing of what it may do. */
export const MULTICALL3 = meaningsOf(
  ...["aggregate", "blockAndAggregate"].map((name) =>
    meaning<[Target[]]>(`${name}(${CALLS})`, (call, [calls], scene) => inItsName(call, calls.map(pair), scene)),
  ),
  ...["tryAggregate", "tryBlockAndAggregate"].map((name) =>
    meaning<[boolean, Target[]]>(`${name}(bool requireSuccess,${CALLS})`, (call, [, calls], scene) =>
      inItsName(call, calls.map(pair), scene),
    ),
  ),
  meaning<[[string, boolean, Uint8Array][]]>(
    "aggregate3((address target,bool allowFailure,bytes callData)[] calls)",
    (call, [calls], scene) =>
      inItsName(
        call,
        calls.map(([to, , data]) => ({ to, data })),
        scene,
      ),
  ),
  meaning<[[string, boolean, bigint, Uint8Array][]]>(
    "aggregate3Value((address target,bool allowFailure,uint256 value,bytes callData)[] calls)",
    (call, [calls], scene) =>
      inItsName(
        call,
        calls.map(([to, , value, data]) => ({ to, data, value })),
        scene,
      ),
  ),
);
