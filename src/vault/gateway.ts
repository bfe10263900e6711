import type { GatewayError } from "../domain/errors.ts";
import type { CallerName, ClientId } from "../domain/names.ts";
import type { Directory } from "./directory.ts";
import type { PerMinute } from "./per-minute.ts";
import type { Pins } from "./pins.ts";
import type { Hsm, LogToken, Store, TokenHealth } from "./ports.ts";
import type { Registers } from "./registers.ts";
import type { Recovery } from "./recovery.ts";
import type { SignDependencies } from "./sign.ts";
import type { RequestChanges } from "./waiting.ts";
import type { Witnessing } from "./witnessing.ts";

/** Everything that a command of the vault may need: joined once, in `main.ts`. */
export type Gateway = SignDependencies & {
  /** Name in callers' signatures and origin of the log. */
  readonly name: string;
  /** Under which its checkpoints verify: `name+id+base64` (C2SP signed-note). */
  readonly logKey: string;
  readonly store: Store;
  /** An officer has held the store's clock against another: see `confirmClock`. @returns the store's time, ms */
  readonly confirmClock: (seen: number, by: CallerName) => Promise<number>;
  /** How officers go on with a store that may lack something that was promised. */
  readonly recovery: Recovery;
  readonly hsm: Hsm;
  readonly directory: Directory;
  readonly logToken: LogToken;
  readonly pins: Pins;
  /** Every token that was opened, the gateway's own among them. */
  readonly health: () => readonly TokenHealth[];
  /** A new token's SO PIN, whose shares are kept already; `undefined`: nobody keeps it. */
  readonly newSoPin?: (label: string) => string | undefined;
  /** For what is shown of states that end with time; decisions go by the store's own clock. ms */
  readonly now: () => number;
  /** `none (…)` where edge and vault share a user. */
  readonly isolation: string;
  /** Told of every fault that the caller learns nothing of. */
  readonly fault: (error: unknown, requestId?: string) => void;
  /** Why nothing is written or signed at the moment (I19); the store refuses by itself. */
  readonly refusal: () => GatewayError | undefined;
  /** Whose cosignatures checkpoints get. */
  readonly witnessing: Witnessing;
  /** What each client holds, as the log says. */
  readonly registers: Registers;
  /** Clients whose rows did not fit the log, with the reason: nothing is signed for them (I19). */
  readonly stopped: ReadonlyMap<ClientId, GatewayError>;
  /** Refusals of proven callers that became leaves: more than the bound are not recorded. */
  readonly refusals: PerMinute<{ leaves: number }>;
  /** Requests that were nobody's, by the code of their refusal: counted, since strangers could fill the log. */
  readonly strangers: Map<string, number>;
  /** Wakes those who wait for a request's next state. */
  readonly changed: RequestChanges;
};
