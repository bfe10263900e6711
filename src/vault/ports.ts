import type { Holdings } from "../custody/liens.ts";
import type { Account, ChainId } from "../domain/chain.ts";
import type { CounterId } from "../domain/decision.ts";
import type { Freeze } from "../domain/freeze.ts";
import type { CallerName, ClientId, KeyName } from "../domain/names.ts";
import type { Lost } from "../domain/recovery.ts";
import type { RequestId, RequestState } from "../domain/request.ts";

/*
 * What the vault needs of the world outside it. Adapters implement these contracts and import nothing else of the vault.
 */

// ---------------------------------------------------------------------------------------------------------- the HSM

/** A token is known by both: labels are not unique, slot ids change when a token is made. */
export type TokenRef = { readonly label: string; readonly serial: string };

export type Curve = "secp256k1" | "p256" | "ed25519";

export type KeyRef = {
  /** CKA_ID, 32 hex digits: random, made with the key. */
  readonly id: string;
  /** CKA_LABEL. */
  readonly label: string;
  readonly curve: Curve;
  /** secp256k1, p256: SEC 1 uncompressed, 65 bytes; ed25519: 32 bytes. From the key's creation, never from the token again. */
  readonly publicKey: Uint8Array;
};

/** The attributes of I1 as the token shows them, by their PKCS#11 names. */
export type KeyAttributes = Readonly<Record<string, boolean>>;

/** Opaque to everybody: made by `permit.ts` only, worth one signature over one digest. */
export type SigningPermit = { readonly __permit: never };

/** What a permit turns out to be worth when it is redeemed. */
export type SigningOrder = { readonly client: ClientId; readonly keyId: string; readonly digest32: Uint8Array };

/** Of one token, since it was opened. */
export type SignatureCounts = {
  readonly made: number;
  /** What callers waited for those that were made, together. */
  readonly seconds: number;
  /** How many took at most so long; what took longer is in `made` alone. */
  readonly within: readonly { readonly seconds: number; readonly count: number }[];
  /** Those that callers were refused, by PKCS#11's name of the answer or the gateway's own code. */
  readonly failed: ReadonlyMap<string, number>;
  /** Faults of the token that healing was tried for, whether or not a caller saw them; named likewise. */
  readonly faults: ReadonlyMap<string, number>;
};

export type TokenHealth = {
  readonly ref: TokenRef;
  /** `healing`: a fault that callers do not see yet. `unavailable`: callers are refused until it answers again. */
  readonly state: "ready" | "healing" | "unavailable";
  /** Why it is not ready: PKCS#11's name of the answer, or the gateway's own code where the module gave none. */
  readonly ckr?: string;
  readonly leased: number;
  readonly waiting: number;
  /** Age of the oldest operation under way. */
  readonly oldestMs: number;
  readonly signatures: SignatureCounts;
};

export interface Hsm {
  /** As the module says of itself, for `status` and reports. */
  readonly module: { readonly path: string; readonly manufacturer: string; readonly version: string };

  /** Tokens that the module shows. Some modules show those made by others only after `refresh`. */
  listTokens(): Promise<readonly TokenRef[]>;

  /**
   * Initialises the module anew, to see tokens that others have made. Interrupts every token for a moment, which callers
   * see as a pause; meant for a person's act, not for a timer.
   * @throws {GatewayError} `hsm-unavailable`; it is then tried again by itself
   */
  refresh(): Promise<void>;

  /**
   * Makes a token with a user PIN (SoftHSM; on other HSMs their administrators do this).
   * @param soPin whoever has it can set a new user PIN; without it a random one is set and not kept
   * @throws {GatewayError} `token-exists` if any token has that label; `hsm-unavailable`
   */
  createToken(label: string, pin: string, soPin?: string): Promise<TokenRef>;

  /**
   * Logs in and keeps one idle session open as an anchor. Opening an open token again returns the same one.
   * MUST NOT try a PIN twice. Zero or two tokens with that label and serial are refused.
   * @throws {GatewayError} `token-not-found`, `pin-incorrect`, `pin-locked`, `hsm-unavailable`
   */
  openToken(token: TokenRef, pin: string): Promise<Token>;

  /**
   * The same for the gateway's own log token, whose keys sign texts and never digests.
   * @param origin the log's name: the first line of its checkpoints (C2SP tlog-checkpoint), the only one it signs them for
   * @throws {GatewayError} also `token-in-use` if the token is open as a client's; `wrong-domain` for an unusable origin
   */
  openLogToken(token: TokenRef, pin: string, origin: string): Promise<LogToken>;

  /**
   * The same for the gateway's own token, whose one key seals the PINs of the others.
   * @throws {GatewayError} also `token-in-use`
   */
  openGatewayToken(token: TokenRef, pin: string): Promise<GatewayToken>;

  /**
   * Gives an open token another PIN; whoever opens it from now on needs the new one. Write the new PIN down (sealed) BEFORE
   * the call: where its outcome is unknown (`hsm-unavailable`), one of the two PINs is right, and opening tries one only.
   * @throws {GatewayError} `token-not-found` if it is not open; `pin-incorrect`, `pin-invalid`: the old PIN stands
   */
  changePin(token: TokenRef, pin: string, newPin: string): Promise<void>;

  /** Every token that was opened, as it is now: for `readyz`, metrics and the watchdog. */
  health(): readonly TokenHealth[];

  /** Waits for signatures under way, closes every session, C_Finalize. The last call. */
  close(): Promise<void>;
}

/** What a token says of itself (CK_TOKEN_INFO). */
export type TokenFacts = TokenRef & {
  readonly manufacturer: string;
  readonly model: string;
  readonly firmware: string;
  readonly hardware: string;
};

export interface Token {
  readonly ref: TokenRef;

  /** @throws {GatewayError} `hsm-unavailable` */
  describe(): Promise<TokenFacts>;

  /**
   * Makes a key pair inside the token (I1), reads its attributes back and has it sign a fresh challenge.
   * @throws {GatewayError} `key-exists` if the token has an object with that label; `key-refused` naming the attribute
   */
  generateKey(label: string, curve: Curve): Promise<{ readonly key: KeyRef; readonly attributes: KeyAttributes }>;

  /**
   * I1, for a key that exists: exactly one private key with this id and label, every attribute as it must be, and a
   * signature over a fresh challenge that verifies under `key.publicKey`. Public objects in the token are never believed.
   * The challenge is SHA-256 of a fixed text and 32 random bytes: it can never be the digest of a transaction.
   * @throws {GatewayError} `key-refused` (facts: `attribute`), `key-not-found`, `key-ambiguous`, `hsm-unavailable`
   */
  proveKey(key: KeyRef): Promise<KeyAttributes>;

  /**
   * Takes on the keys of a token that others have made: all private keys in it, each held against I1, its public key
   * proven by a challenge. With one that fails, none.
   * @throws {GatewayError} `key-refused` (facts: `attribute`), `key-ambiguous`, `hsm-unavailable`
   */
  adoptKeys(): Promise<readonly { readonly key: KeyRef; readonly attributes: KeyAttributes }[]>;

  /**
   * The only way to a signature of a client's key. Redeems the permit, whatever happens afterwards.
   * @returns secp256k1, p256: r ‖ s, 64 bytes, either half of the order, NOT yet verified
   * @throws {GatewayError} `permit-invalid`, `key-not-found`, `hsm-unavailable`, `hsm-busy` (bounded queue; nothing was signed).
   *   Its fact `unsigned: true` says that no signature came into being, in none of the tries behind this call: the key was
   *   not reached, or C_Sign was refused before its work. MUST be absent wherever that is not certain.
   */
  sign(key: KeyRef, permit: SigningPermit): Promise<Uint8Array>;
}

/** Domains of the log token's keys: each key signs texts that begin with its own fixed type, and nothing else (I18). */
export type LogKeyName = "checkpoint" | "answers" | "statement";

export interface LogToken {
  readonly ref: TokenRef;
  /** Makes the key on first use; ed25519. */
  publicKey(name: LogKeyName): Promise<Uint8Array>;
  /**
   * @param text UTF-8; the first line is the key's own type, e.g. `portcullis/answers/v1`; for `checkpoint` three lines:
   *   the log's origin, the tree size, the root hash in base64
   * @returns the Ed25519 signature, 64 bytes
   * @throws {GatewayError} `wrong-domain` if the text does not begin with the key's type
   */
  sign(name: LogKeyName, text: string): Promise<Uint8Array>;
}

/**
 * Seals small secrets under an AES-256 key that is born in the token and never leaves it (AES-GCM).
 * What was sealed opens only with the same context, and only there.
 */
export interface GatewayToken {
  readonly ref: TokenRef;
  /** @param context what the secret belongs to: authenticated, not kept */
  seal(secret: Uint8Array, context: string): Promise<Uint8Array>;
  /** @throws {GatewayError} `seal-broken` if it was changed, or sealed for another context or under another key */
  unseal(sealed: Uint8Array, context: string): Promise<Uint8Array>;
}

// -------------------------------------------------------------------------------------------------------- the store

/**
 * A token's PIN, sealed. Where there are several of one name, a change of PIN was cut short: the lowest version that was
 * not refused is the one to try.
 */
export type PinRow = {
  /** A client's id, `house` or `log`. */
  readonly name: string;
  readonly version: number;
  /** `refused`: the token did not take it; it is never offered again. */
  readonly state: "kept" | "refused";
  readonly sealed: Uint8Array;
};

export type ClientRow = {
  readonly id: ClientId;
  readonly owner: "client" | "house";
  /** Only `active` signs; whatever else a row says, it says no (I19). */
  readonly status: "active" | "frozen";
  /** Every freeze that is in force: of the client itself, of single keys and callers. */
  readonly freezes: readonly Freeze[];
  readonly token: TokenRef;
  /** Derives the salts of the client's leaves. */
  readonly saltKey: Uint8Array;
};

export type KeyRow = {
  readonly client: ClientId;
  readonly name: KeyName;
  readonly id: string;
  readonly curve: Curve;
  readonly purpose: "transactions" | "raw";
  /** SEC 1 uncompressed, as proven at creation. */
  readonly publicKey: Uint8Array;
  /** The network on which it lives, for ever (I14). */
  readonly chains: readonly ChainId[];
  readonly accounts: readonly Account[];
  readonly state: "active" | "disabled" | "retired";
  /** Index of the leaf that recorded its creation. */
  readonly leaf: number;
};

export type PolicyRow = {
  readonly client: ClientId;
  readonly version: number;
  readonly hash: string;
  readonly previousHash: string | null;
  /** Path of the document among `files`. */
  readonly entry: string;
  readonly files: Readonly<Record<string, string>>;
  readonly signatures: readonly { readonly person: CallerName; readonly signature: string }[];
  readonly appliedAt: number;
  readonly leaf: number;
};

/** A signed change that waits; verified again when its time has come. */
export type ScheduledPolicyRow = Omit<PolicyRow, "appliedAt"> & {
  readonly by: CallerName;
  /** Ms since 1970. */
  readonly activeAt: number;
};

/** A version as a list names it: without the document. */
export type PolicyVersionRow = Omit<PolicyRow, "entry" | "files">;

export type LeafRow = {
  readonly index: number;
  readonly at: number;
  /** RFC 6962 leaf hash of the entry, 32 bytes. */
  readonly hash: Uint8Array;
  /** SHA-256 of salt and opening: what outsiders see of the content. */
  readonly commitment: Uint8Array;
  /** Whose chain of numbers the leaf stands in; what concerns the gateway itself stands in the house's. */
  readonly client: ClientId;
  readonly number: number;
  /** JSON text; with the salt it opens the commitment. */
  readonly opening: string;
};

/** A leaf with the gateway's seal on it (I19): whoever can write to the store cannot make one. */
export type SealedLeaf = LeafRow & { readonly seal: string };

/** Where a leaf stands, as an answer promises it. */
export type LeafRef = { readonly index: number; readonly hash: string; readonly number: number };

/** A checkpoint of the log, as it was signed (C2SP tlog-checkpoint). */
export type CheckpointRow = {
  /** Leaves under it. */
  readonly size: number;
  readonly root: Uint8Array;
  readonly at: number;
  /** The signed note. */
  readonly note: string;
};

export type RequestRow = {
  readonly id: RequestId;
  readonly client: ClientId;
  readonly caller: CallerName;
  readonly key: KeyName;
  readonly idempotencyKey: string;
  /** SHA-256 of the raw body, hex. */
  readonly bodyHash: string;
  readonly state: RequestState;
  readonly submittedAt: number;
  readonly changedAt: number;
  /** As `record` has it; by itself, so that it is found. */
  readonly reference: string | null;
  /** JSON text of what was asked, and of what was authorized: bytes, moment, where its leaf stands. */
  readonly record: string;
  /** Index of the leaf that the request's present decision stands in; null only before the first one. */
  readonly decisionLeaf: number | null;
  /** Opening of that leaf: what was decided stands there and nowhere else. */
  readonly decision: string | null;
  /** JSON text of step 7: the result, and where its leaf stands. */
  readonly outcome: string | null;
};

/** An act that is not done twice: whose, and under which idempotency key. */
export type ActKey = Pick<RequestRow, "client" | "caller" | "idempotencyKey">;

/** What was asked: SHA-256 of method, target and body, hex. It is kept nowhere: there may be a PIN in it. */
export type Act = ActKey & { readonly asked: string };

/** What came of it, for whoever asks again; the body is JSON text. */
export type ActAnswer = { readonly status: number; readonly body: string };

/** As the store keeps it. The seal is on all of it, and on what was asked. */
export type AnswerRow = ActKey & ActAnswer & { readonly seal: string };

/** Officers have decided to go on with a store that may lack something that was promised. */
export type RecoveryRow = {
  /** Its `restored` leaf, which says the rest. */
  readonly leaf: number;
  readonly at: number;
  /** Of the largest tree that was promised and is given up. */
  readonly promisedSize: number;
  readonly lost: Lost;
};

/** What so many leaves say, in so many parts, numbered from 0. */
export type SnapshotRef = { readonly size: number; readonly parts: number };

/** A request as the store keeps it. */
export type SealedRequest = RequestRow & {
  /** The leaf that changed it last, but for its outcome. */
  readonly leaf: number;
  /** On everything but the outcome. */
  readonly seal: string;
  readonly outcomeSeal: string | null;
};

/** The moment and the leaf of an authorization: what it spends is counted there. */
export type Authorized = { readonly at: number; readonly leaf: number };

/** One entry of a counter, with the sum of all up to and with it. */
export type SpendEntry = Authorized & { readonly amount: bigint; readonly total: bigint };
export type SealedSpend = SpendEntry & { readonly seal: string };

/** None below it is free, as the leaf says that changed it last. */
export type NonceRow = { readonly next: bigint; readonly leaf: number };
export type SealedNonce = NonceRow & { readonly seal: string };

/*
 * Two faces of one store. Adapters keep rows with their seals and believe nothing and check nothing (`RowStore`). The
 * vault works with a `Store`: the same behind `sealedStore`, which seals what is written and holds what a decision reads
 * against the log (I19).
 */

/** What is asked in the same words on both sides. */
interface CommonReader {
  /** The store's clock, ms: never less than the last leaf's, and the same throughout one work: a decision has one time. */
  now(): Promise<number>;
  client(id: ClientId): Promise<ClientRow | undefined>;
  clients(): Promise<ClientRow[]>;
  keys(client: ClientId): Promise<KeyRow[]>;
  /** Whose the accounts are; those of nobody here are absent. */
  owners(accounts: readonly Account[]): Promise<ReadonlyMap<Account, ClientId>>;
  /** The active policy's hash alone. */
  policyHash(client: ClientId): Promise<string | undefined>;
  /** Another number after every change of the client's row, keys and policy: asked in every transaction. */
  revision(client: ClientId): Promise<number | undefined>;
  policy(client: ClientId, version?: number): Promise<PolicyRow | undefined>;
  /** Every version that was ever applied, newest first, below `before`. */
  policyVersions(client: ClientId, page: { before?: number; limit: number }): Promise<PolicyVersionRow[]>;
  /** Of each client at most one. */
  scheduledPolicy(client: ClientId): Promise<ScheduledPolicyRow | undefined>;
  /** All of them, without their documents. */
  scheduledPolicies(): Promise<Pick<ScheduledPolicyRow, "client" | "activeAt">[]>;
  /** Whose document first declared that caller key: a key belongs to one client for ever. */
  callerKeyOwner(key: string): Promise<ClientId | undefined>;
  /** Since when the active policies have named each address of that client's book, without a break. */
  heldSince(client: ClientId): Promise<ReadonlyMap<Account, number>>;
  /** What step 7 asks before it writes: cheaper than the whole row. */
  requestStanding(client: ClientId, id: RequestId): Promise<Pick<RequestRow, "state" | "decisionLeaf"> | undefined>;
  /** Newest first, after the cursor. */
  requests(
    client: ClientId,
    filter: {
      caller?: CallerName;
      state?: RequestState;
      key?: KeyName;
      reference?: string;
      /** Of submission, ms. */
      since?: number;
      until?: number;
      before?: RequestId;
      limit: number;
    },
  ): Promise<RequestRow[]>;
  /** All that were ever decided: few. */
  recoveries(): Promise<RecoveryRow[]>;
  claimedBy(claim: string): Promise<RequestId | undefined>;
  /** Their hashes alone, in order: what the tree is grown from. */
  leafHashes(from: number, limit: number): Promise<Uint8Array[]>;
  /** How many leaves the tiles of level 0 hold; never more than there are leaves. */
  treeSize(): Promise<number>;
  /** As `putTile` wrote it last: up to 256 hashes, side by side. */
  tile(level: number, index: number): Promise<Uint8Array | undefined>;
  lastCheckpoint(): Promise<CheckpointRow | undefined>;
  /** Those of at least that size, the smallest first. */
  checkpoints(fromSize: number, limit: number): Promise<CheckpointRow[]>;
  /** By version, the lowest first. */
  pins(name: string): Promise<PinRow[]>;
  /** The largest of which every part is there. */
  snapshot(): Promise<SnapshotRef | undefined>;
  snapshotPart(ref: SnapshotRef, part: number): Promise<Uint8Array | undefined>;
}

export interface RowReader extends CommonReader {
  request(client: ClientId, id: RequestId): Promise<SealedRequest | undefined>;
  requestByIdempotencyKey(
    client: ClientId,
    caller: CallerName,
    idempotencyKey: string,
  ): Promise<SealedRequest | undefined>;
  /** The latest entry. */
  lastSpend(counter: CounterId): Promise<SealedSpend | undefined>;
  /** The latest entry with `at <= moment`; MUST NOT get slower as entries get more. */
  spendBefore(counter: CounterId, moment: number): Promise<SealedSpend | undefined>;
  spendAt(counter: CounterId, authorization: Authorized): Promise<SealedSpend | undefined>;
  /** As `setNextNonce` left it. */
  nextNonce(account: Account): Promise<SealedNonce | undefined>;
  lastLeaf(client?: ClientId): Promise<SealedLeaf | undefined>;
  leaf(index: number): Promise<SealedLeaf | undefined>;
  /** In their order. Whoever walks along all of them lets others of this process have their turn after each page. */
  leaves(from: number, limit: number): Promise<SealedLeaf[]>;
  answer(key: ActKey): Promise<AnswerRow | undefined>;
}

export interface StoreReader extends CommonReader {
  request(client: ClientId, id: RequestId): Promise<RequestRow | undefined>;
  requestByIdempotencyKey(
    client: ClientId,
    caller: CallerName,
    idempotencyKey: string,
  ): Promise<RequestRow | undefined>;
  /** Exact sum of entries with `at > windowStartsAt`; MUST NOT get slower as entries get more. */
  spent(counter: CounterId, windowStartsAt: number): Promise<bigint>;
  /** The one entry of an authorization; 0 where it has none in that counter. */
  spentAt(counter: CounterId, authorization: Authorized): Promise<bigint>;
  /** What liens are held against, as the log says; undefined where none stands, unless it is `always` asked for. */
  holdings(client: ClientId, always?: "always"): Promise<Holdings | undefined>;
  /** When an officer confirmed the store's clock last, as the log says. */
  confirmedTime(): Promise<number | undefined>;
  /** Requests that wait although their time is over, as far as this process has read the log. */
  lapsed(): Promise<readonly Pick<RequestRow, "client" | "id">[]>;
  nextNonce(account: Account): Promise<bigint | undefined>;
  lastLeaf(client?: ClientId): Promise<LeafRow | undefined>;
  leaf(index: number): Promise<LeafRow | undefined>;
  /** In their order. Whoever walks along all of them lets others of this process have their turn after each page. */
  leaves(from: number, limit: number): Promise<LeafRow[]>;
  /** @throws {GatewayError} `idempotency-mismatch` where something else was asked under this key */
  answer(act: Act): Promise<ActAnswer | undefined>;
}

/** What is written in the same words on both sides. */
interface CommonWriter {
  /** MUST fail where the client has one already. */
  putScheduledPolicy(row: ScheduledPolicyRow): Promise<void>;
  removeScheduledPolicy(client: ClientId): Promise<void>;
  /** A client begins without freezes. */
  insertClient(row: ClientRow): Promise<void>;
  /** Those that are in force from now on; `status` follows: `frozen` with one of the client itself, else `active`. */
  putFreezes(client: ClientId, freezes: readonly Freeze[]): Promise<void>;
  insertKey(row: KeyRow): Promise<void>;
  updateKeyState(client: ClientId, name: KeyName, state: KeyRow["state"]): Promise<void>;
  /** Of name and version there is one row: the last that was put. */
  putPin(row: PinRow): Promise<void>;
  removePin(name: string, version: number): Promise<void>;
  /** Makes it the client's active policy. */
  insertPolicy(row: PolicyRow, heldSince: ReadonlyMap<Account, number>): Promise<void>;
  /** Remembers it for ever; no-op where it is this client's already. */
  insertCallerKey(key: string, client: ClientId): Promise<void>;
  insertClaim(claim: string, request: RequestId): Promise<void>;
  /** It is free again, also within this transaction; no-op where it is not claimed. */
  removeClaim(claim: string): Promise<void>;
  /** Drops all counters of the policies' owner (`house` or a client), before they are rebuilt. */
  clearSpend(of: ClientId): Promise<void>;
  /** Changes the house's revision. */
  insertRecovery(row: RecoveryRow): Promise<void>;
  /** A tile that is new or has grown: what it held before is its beginning (C2SP tlog-tiles). */
  putTile(level: number, index: number, hashes: Uint8Array): Promise<void>;
  /** The size MUST be above the last one's, or the transaction fails. */
  insertCheckpoint(row: CheckpointRow): Promise<void>;
  /** The checkpoint of that size, with more signatures below the same text. */
  cosignCheckpoint(size: number, note: string): Promise<void>;
  /** One part of a snapshot; what stood in its place is gone. */
  putSnapshotPart(ref: SnapshotRef, part: number, bytes: Uint8Array): Promise<void>;
  /** Of fewer leaves than that. */
  removeSnapshots(below: number): Promise<void>;
  /**
   * Some tasks are one vault's at a time, and the store says whose. A turn lasts `forMs` by the store's clock and is
   * taken again by its holder as often as it likes; when it has run out, whoever asks first has it.
   * @param holder a name that no other process has
   * @returns whether it is `holder`'s now
   */
  takeTurn(task: string, holder: string, forMs: number): Promise<boolean>;
}

type Decided = Pick<RequestRow, "client" | "id" | "state" | "changedAt" | "record" | "decisionLeaf">;
type Outcome = Pick<RequestRow, "client" | "id" | "state" | "changedAt" | "decisionLeaf"> & {
  readonly outcome: string;
};

export interface RowTransaction extends RowReader, CommonWriter {
  /** Its `decision` is in the log already, under `decisionLeaf`. */
  insertRequest(row: SealedRequest): Promise<void>;
  /** Another decision, with a leaf of its own. */
  updateRequest(row: Decided & Pick<SealedRequest, "leaf" | "seal">): Promise<void>;
  /** Step 7. MUST fail unless the request still stands as `authorized` in that leaf. */
  recordOutcome(row: Outcome & { readonly outcomeSeal: string }): Promise<void>;
  setNextNonce(account: Account, nonce: SealedNonce): Promise<void>;
  /** From one entry of a counter to the next `at` never falls, and at the same `at` the leaf rises, or the transaction fails. */
  insertSpend(counter: CounterId, entry: SealedSpend): Promise<void>;
  /** Index and number MUST follow on the last ones, or the transaction fails. */
  insertLeaf(row: SealedLeaf): Promise<void>;
  /** MUST fail where the key has an answer already. */
  insertAnswer(row: AnswerRow): Promise<void>;
}

export interface StoreTransaction extends StoreReader, CommonWriter {
  /** Its `decision` is in the log already, under `decisionLeaf`. */
  insertRequest(row: RequestRow): Promise<void>;
  /** Another decision, with a leaf of its own; or what became of an attempt. */
  updateRequest(row: RequestRow): Promise<void>;
  /** Step 7. MUST fail unless the request still stands as `authorized` in that leaf. */
  recordOutcome(row: Outcome): Promise<void>;
  setNextNonce(account: Account, next: bigint): Promise<void>;
  /**
   * `leaf` is the authorization that it belongs to: what that leaf charges is added here, no more and no less. That it was
   * given back, or decided again, is said by a leaf alone.
   */
  addSpend(counter: CounterId, entry: Authorized & { readonly amount: bigint }): Promise<void>;
  /** Whether an observer has said so before. @param what `depositId` or `useId` */
  isReported(client: ClientId, what: string): Promise<boolean>;
  /** Whether what that authorization charged counts no more. */
  isVoid(leaf: number): boolean;
  /** @param said what the opening says, before it was made a text */
  insertLeaf(row: LeafRow, said: LeafSaid): Promise<void>;
  /** MUST fail where the key has an answer already. */
  insertAnswer(act: Act, answer: ActAnswer): Promise<void>;
}

/** The members of a leaf's opening. */
export type LeafSaid = { readonly type: string; readonly [field: string]: unknown };

/**
 * What a work will ask for, so that a store at the other end of a wire can fetch it for a whole group at once. It costs
 * time where it is wrong or left out, never truth; a store that is near ignores it.
 */
export type Expected = {
  readonly requests?: readonly Pick<RequestRow, "client" | "caller" | "idempotencyKey">[];
  readonly claims?: readonly string[];
};

/**
 * `write` MUST NOT resolve before everything that `work` did is durable, and MUST NOT let another transaction see any of
 * it before. Works of the same moment share one COMMIT; each sees those before it. A work that throws leaves nothing
 * behind and does not disturb the others. `work` may run more than once and awaits nothing but the transaction.
 */
interface StoreOf<Reader, Transaction> {
  /** Absent where the log cannot be moved under a running vault: a file is a file. */
  readonly history?: StoreHistory<Transaction>;
  write<T>(work: (transaction: Transaction) => Promise<T>, expected?: Expected): Promise<T>;
  read<T>(work: (reader: Reader) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/**
 * A database server has a history, which a failover or a restore ends and another one continues: the last COMMITs may be
 * missing in it. While the log stands in another history than the one it was written in, `write` fails (`store-moved`).
 */
export interface StoreHistory<Transaction> {
  /** Texts that are equal as long as nothing has moved. @throws {GatewayError} `store-unavailable` */
  read(): Promise<{ readonly writtenIn: string; readonly found: string }>;
  /**
   * `write`, in a history that is not the log's: once it has committed, it is the log's own for every vault.
   * @throws {GatewayError} `store-moved` if another one than `found` answers by then
   */
  adopt<T>(found: string, work: (transaction: Transaction) => Promise<T>): Promise<T>;
}

export type RowStore = StoreOf<RowReader, RowTransaction>;
export type Store = StoreOf<StoreReader, StoreTransaction>;

// ------------------------------------------------------------------------------------------------------- the anchor

/** The newest checkpoint, kept where a restored store does not reach (I19). */
export interface Anchor {
  /** @returns undefined where none was ever written */
  read(): Promise<string | undefined>;
  /** MUST be durable, and whole, before it resolves; a crash leaves the old one or the new one. */
  write(note: string): Promise<void>;
}
