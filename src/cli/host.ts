import type { ChainReader } from "../custody/chain-reader.ts";
import type { PostgresStore } from "../config.ts";
import type { Transport } from "../sdk/client.ts";

/*
 * What the commands need of the processes themselves. `main.ts` supplies it: the CLI opens no HSM and no store.
 */

export type Serving = {
  readonly url: string;
  readonly isolation: string;
  readonly pids: () => { readonly vault: number | undefined; readonly edge: number | undefined };
  readonly stop: () => Promise<void>;
};

export type VaultCommand = { readonly configPath: string; readonly isolation: string; readonly socketGroup?: number };

export type Founding = {
  readonly gateway: string;
  /** Where the store, the PINs and (for SoftHSM) the tokens go; made with mode 0700. */
  readonly vaultFolder: string;
  /** The founding house policy, and what it uses. */
  readonly entry: string;
  readonly files: Readonly<Record<string, string>>;
  /** Tokens that the HSM's administrators made; without it SoftHSM is set up in the vault's folder. */
  readonly adopt?: Adoption;
  /** Where the shares of the new tokens' SO PINs go; without it they are not kept. */
  readonly soPinShares?: readonly [string, string];
  /** For a gateway in tests: the file by which its clock is moved. */
  readonly testClock?: string;
  /** Where the store is; without it a SQLite file in the vault's folder. */
  readonly postgres?: PostgresStore;
};

/** The tokens by which a gateway begins: its own, its log's, the house's. */
export const FOUNDING_TOKENS = ["gateway", "log", "house"] as const;
export type FoundingToken = (typeof FOUNDING_TOKENS)[number];

export type Adoption = {
  readonly modulePath: string;
  /** What the module wants in its environment. */
  readonly environment: Readonly<Record<string, string>>;
  readonly tokens: Readonly<Record<FoundingToken, { readonly label: string; readonly pin: string }>>;
};

type TokenName = { readonly label: string; readonly serial: string };

export type Founded = {
  readonly module: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly tokens: { readonly gateway: TokenName; readonly log: TokenName };
  /** The file with the gateway token's PIN. */
  readonly bootSecret: string;
  readonly answersKey: string;
  readonly statementKey: string;
};

/** Numbers of the schema: what was there, what is there now. */
export type Migrated = { readonly from: number; readonly to: number };

export type StoreStatus = {
  readonly store: "sqlite" | "postgres";
  readonly schema: { readonly found: number; readonly expected: number };
  /** Whether a vault of this version would work on it; else `reasons` say why not. */
  readonly usable: boolean;
  readonly reasons: readonly { readonly code: string; readonly message: string }[];
  /** Number of leaves and the time of the last one; absent where there is no schema. */
  readonly log?: { readonly leaves: number; readonly lastAt: string | null };
  /** What the server says of itself. */
  readonly server?: Readonly<Record<string, string | number>>;
};

export type Host = {
  /** Starts vault and edge under the supervisor; as root the edge runs as the first of `edgeUsers` that exists. */
  readonly serve: (configPath: string, edgeUsers?: readonly string[]) => Promise<Serving>;
  /** Runs the edge in this process until it is told to end. */
  readonly runEdge: (configPath: string) => Promise<void>;
  readonly runVault: (command: VaultCommand) => Promise<{ stop: () => Promise<void> }>;
  /** Makes what a gateway begins with: its tokens, its store, leaf 0. */
  readonly found: (founding: Founding) => Promise<Founded>;
  /** Brings the store's schema up to this version's. */
  readonly migrateStore: (configPath: string) => Promise<Migrated>;
  readonly statusOfStore: (configPath: string) => Promise<StoreStatus>;
  /** A way to the vault past the edge: who may write to its socket. */
  readonly onSocket: (path: string) => Transport;
  /** @param lagMsMax how old the node's newest block may be @throws {GatewayError} `node-unreachable`, `node-answer` */
  readonly readChain: (url: string, lagMsMax: number) => Promise<ChainReader>;
};

/** What a command needs that reads a chain. */
export type ChainHost = Pick<Host, "readChain">;
