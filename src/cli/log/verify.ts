import type { Account } from "../../domain/chain.ts";
import type { OutsideUse } from "../../domain/custody.ts";
import { GatewayError } from "../../domain/errors.ts";
import type { CallerName, ClientId, KeyName, SubAccountName } from "../../domain/names.ts";
import { NO_HOUSE } from "../../policy/world.ts";
import type { TreeHead } from "../../tlog/checkpoint.ts";
import type { Hash } from "../../tlog/hashes.ts";
import { formatVkey, noteKey, parseVkey, type NoteKey } from "../../tlog/note.ts";
import type { Witnesses } from "../../tlog/witnesses.ts";
import type { Anchored } from "../anchor.ts";
import { ApprovalCheck, type RequestOpening } from "./approval-check.ts";
import { AttemptsCheck } from "./attempts-check.ts";
import {
  AuthorityCheck,
  type AppliedOpening,
  type CancelledOpening,
  type DecidedUnder,
  type ScheduledOpening,
} from "./authority-check.ts";
import { BreakGlassCheck, type BreakGlassOpening } from "./break-glass-check.ts";
import { Findings, type Finding } from "./findings.ts";
import { FreezeCheck, type UnfrozenOpening } from "./freeze-check.ts";
import { FORMAT, parseLine, type HeaderLine, type LeafLine } from "./format.ts";
import { LienCheck } from "./lien-check.ts";
import { OmnibusCheck } from "./omnibus-check.ts";
import { RestoreCheck, type Restoration, type RestoredOpening } from "./restore-check.ts";
import { refuteEvidence, verifiesReleased } from "./signatures.ts";
import { TreeCheck } from "./tree-check.ts";
import { ReplacementCheck } from "./replacement-check.ts";
import { WindowCheck, type Reported } from "./window-check.ts";
import { isWitnessed } from "./witnessed.ts";

/*
 * The auditor's own check of an exported log. It shares with the gateway the mathematics of the specifications and the
 * reading of policy documents; what the gateway did with them is done again here, another way.
 */

export type VerifyOptions = {
  /** The log's key, from somewhere else than the log. Without it the export is believed, and the report says so. */
  readonly key?: NoteKey;
  /** Callers', officers' and released signatures too, not only the log's own. */
  readonly signatures: boolean;
  /** Whose cosignatures make a checkpoint worth believing. */
  readonly witnesses?: Witnesses;
  /** An earlier check has verified those of callers and keys in so many leaves. */
  readonly signaturesFrom?: number;
};

export type Report = {
  readonly ok: boolean;
  readonly origin: string;
  readonly of: string;
  readonly key: { readonly vkey: string; readonly from: "given" | "export" };
  readonly leaves: number;
  readonly opened: number;
  readonly checkpoints: number;
  readonly receipts: number;
  /** Leaves that answers had promised, held against the log. */
  readonly promises: number;
  readonly newest: { readonly size: number; readonly root: string } | null;
  /** Leaves under the largest checkpoint that enough witnesses have cosigned; null where none was asked for. */
  readonly witnessed: number | null;
  readonly limitsHeld: number;
  readonly signatures: number;
  readonly clients: Readonly<Record<string, number>>;
  /** Authorized, and the log does not say what came of it. */
  readonly outcomeUnknown: readonly { readonly request: string; readonly client: string; readonly leaf: number }[];
  /** Where officers went on with a store that may lack something. */
  readonly restorations: readonly Restoration[];
  /** Checkpoints that were found in chains, and hold. */
  readonly anchors: readonly (Anchored & { readonly client: string | null })[];
  readonly notChecked: readonly string[];
  readonly findings: readonly Finding[];
  readonly found: Readonly<Record<string, number>>;
};

type Opening = Readonly<Record<string, unknown>> & { readonly type: string };
type Opened = Extract<LeafLine, { opening: string }>;
type Authorization = {
  readonly leaf: number;
  readonly client: string;
  readonly caller: string;
  readonly key: string;
  readonly digest: string;
};

export class LogVerifier {
  readonly #options: VerifyOptions;
  readonly #findings = new Findings();
  readonly #tree = new TreeCheck(this.#findings);
  readonly #authority = new AuthorityCheck(this.#findings);
  readonly #attempts = new AttemptsCheck(this.#findings);
  readonly #replacements = new ReplacementCheck(this.#findings);
  readonly #liens = new LienCheck(this.#findings, this.#authority);
  readonly #omnibus = new OmnibusCheck(this.#findings, this.#authority, this.#liens);
  readonly #freezes = new FreezeCheck(this.#findings, this.#authority);
  readonly #owners = new Map<Account, ClientId>();
  readonly #windows = new WindowCheck(this.#findings, {
    policies: this.#authority.policies,
    house: () => this.#authority.house ?? (this.#header?.of === "house" ? undefined : NO_HOUSE),
    owners: this.#owners,
  });
  readonly #approvals = new ApprovalCheck(this.#findings, {
    policies: this.#authority.policies,
    house: () => this.#authority.house ?? (this.#header?.of === "house" ? undefined : NO_HOUSE),
    owners: this.#owners,
    origin: () => this.#header!.origin,
    isFrozen: (client, person) => this.#freezes.isFrozen(client, person),
  });
  readonly #glass = new BreakGlassCheck(this.#findings);
  readonly #restorations = new RestoreCheck(this.#findings, this.#authority);
  readonly #chains = new Map<string, { readonly number: number; readonly hash: string; readonly leaf: number }>();
  readonly #publicKeys = new Map<string, { readonly curve: string; readonly publicKey: string }>();
  readonly #anchors: Anchored[] = [];
  readonly #open = new Map<string, Authorization>();
  readonly #ended = new Set<string>();
  #header: HeaderLine | undefined;
  #key!: NoteKey;
  #lines = 0;
  #opened = 0;
  #witnessed = 0;
  #signatures = 0;
  #promises = 0;
  readonly #leftOut: string[] = [];

  constructor(options: VerifyOptions) {
    this.#options = options;
  }

  get leaves(): number {
    return this.#tree.size;
  }

  /** Whether every signature of callers and keys so far was a good one. */
  get signaturesHold(): boolean {
    return !SIGNATURE_FINDINGS.some((code) => this.#findings.has(code));
  }

  /** What others kept; before the first line. */
  keepCheckpoint(what: string, note: string): void {
    this.#tree.keepCheckpoint(what, note);
  }

  /** What stands in a chain. */
  keepAnchor(anchored: Anchored): void {
    this.#anchors.push(anchored);
    this.#tree.keepRoot(anchored.transaction, { size: anchored.size, root: Buffer.from(anchored.root, "base64") });
  }

  keepReceipt(what: string, text: string): void {
    this.#tree.keepReceipt(what, text);
  }

  /** The leaf that an answer promised: its index, its hash, its client's number. */
  keepPromise(what: string, { index, hash, number }: { index: number; hash: string; number: number }): void {
    this.#promises += 1;
    this.#tree.keepLeaf(
      what,
      index,
      (hashed, leaf) => hex(hashed) === hash && (!("number" in leaf) || leaf.number === number),
    );
  }

  /** Says in the report what this check was not given whole. */
  leaveOut(what: string): void {
    this.#leftOut.push(what);
  }

  /** @throws {GatewayError} `malformed-export`: what cannot be read cannot be judged */
  take(text: string): void {
    this.#lines += 1;
    const line = parseLine(text, this.#lines);
    if (this.#lines === 1) return this.#begin("header" in line ? line.header : undefined);
    if ("leaf" in line) this.#takeLeaf(line.leaf);
    else if ("checkpoint" in line) this.#takeCheckpoint(line.checkpoint);
    else if ("policy" in line) this.#authority.takeDocument(line.policy);
    else throw new GatewayError("malformed-export", `line ${this.#lines}: expected one header, found another`);
  }

  #begin(header: HeaderLine | undefined): void {
    if (header?.format !== FORMAT)
      throw new GatewayError("malformed-export", `line 1: expected the header of \`${FORMAT}\``);
    this.#header = header;
    this.#key = this.#options.key ?? parseVkey(header.key);
    if (this.#key.name !== header.origin)
      this.#findings.add("wrong-origin", `the export is of \`${header.origin}\`, the key of \`${this.#key.name}\``);
  }

  #takeCheckpoint(note: string): void {
    this.#tree.takeCheckpoint(note, this.#key);
    if (this.#tree.last) this.#restorations.holdCheckpoint(this.#tree.last);
    const { witnesses } = this.#options;
    if (witnesses && this.#tree.last && this.#isWitnessed(note, witnesses)) this.#witnessed = this.#tree.last.size;
  }

  #isWitnessed(note: string, witnesses: Witnesses): boolean {
    try {
      return isWitnessed(Buffer.from(note), this.#key, witnesses);
    } catch {
      return false; // what is wrong with it is found by the tree's check
    }
  }

  #takeLeaf(leaf: LeafLine): void {
    // The one kind of leaf that says what stands before it; a root for each leaf would cost more than all the rest.
    const before = "opening" in leaf && leaf.opening.startsWith(RESTORED) ? this.#tree.head : undefined;
    const hashed = this.#tree.take(leaf);
    if ("commitment" in leaf) return this.#checkWithheld(leaf.index);
    this.#opened += 1;
    const opening = objectIn(leaf.opening);
    const invalid = (what: string) => this.#findings.add("opening-invalid", `the ${what}`, leaf.index);
    if (!opening) return invalid(`opening of leaf ${leaf.index} is no JSON object`);
    // JSON has one spelling here, the one that it was written in: of two members of one name, or of a number in another
    // notation, somebody else's reader could show another one than is checked here. A fifth of the time without signatures.
    if (this.#options.signatures && JSON.stringify(opening) !== leaf.opening)
      invalid(`opening of leaf ${leaf.index} can be read in two ways`);
    this.#checkPlace(leaf, opening, hashed);
    try {
      if (opening.type === "restored") this.#takeRestored(leaf, opening as unknown as RestoredOpening, before);
      else this.#takeContent(leaf, opening, hashed);
    } catch (error) {
      // Whoever writes the log writes what it likes: what cannot be read is wrong, and not the end of the check.
      const why = (error as Error).message;
      invalid(`content of leaf ${leaf.index} cannot be read: ${why}`);
    }
  }

  /** Where everything is said to be open, a leaf that is not would be the one that matters: its numbers show no gap at the end. */
  #checkWithheld(index: number): void {
    if (this.#header!.of === "house")
      this.#findings.add("opening-missing", `leaf ${index} is not opened in an export of all openings`, index);
  }

  /** I9: each leaf of a client carries the client's next number and the hash of the one before. */
  #checkPlace(leaf: Opened, opening: Opening, hashed: Hash): void {
    const { index, at, client, number } = leaf;
    const before = this.#chains.get(client);
    const add = (code: string, message: string) => this.#findings.add(code, message, index);
    if (
      opening["index"] !== index ||
      opening["at"] !== at ||
      opening["client"] !== client ||
      opening["number"] !== number
    )
      add("place-differs", `the opening of leaf ${index} says that it stands elsewhere`);
    const expected = before ? before.number + 1 : 0;
    if (number !== expected)
      add("number-gap", `leaf ${index} is number ${number} of \`${client}\`, expected ${expected}`);
    if ((opening["previous"] ?? null) !== (before?.hash ?? null)) {
      const which = before ? `leaf ${before.leaf}, which is another one now` : "one before it";
      add("previous-differs", `leaf ${index} was written after ${which}`);
    }
    this.#chains.set(client, { number, hash: hex(hashed), leaf: index });
  }

  #takeContent(leaf: Opened, opening: Opening, hashed: Hash): void {
    const { index, client } = leaf;
    const decision = opening["decision"] as { policy: DecidedUnder } | undefined;
    if (decision && isDecision(opening)) this.#authority.checkDecision(client, decision.policy, index);
    if (leaf.evidence && this.#options.signatures) this.#checkEvidence(leaf, opening);
    this.#checkLiens(leaf, opening);
    if (opening.type !== "break-glass") this.#glass.pass(client);
    this.#freezes.pass(client, opening);
    switch (opening.type) {
      case "genesis":
        return this.#takeGenesis(leaf, opening);
      case "policy-applied":
        return this.#takePolicy(leaf, opening as unknown as AppliedOpening);
      case "policy-scheduled":
        return this.#authority.schedule(client, opening as unknown as ScheduledOpening, this.#signedAt(leaf));
      case "policy-cancelled":
        return this.#authority.cancel(client, opening as unknown as CancelledOpening, this.#signedAt(leaf));
      case "key-created":
        return this.#takeKey(client, opening);
      case "authorized":
        return this.#takeAuthorized(leaf, opening);
      case "signed":
        return this.#takeSigned(leaf, opening);
      case "attempted":
        return this.#takeAttempt(leaf, opening, (...attempt) => this.#attempts.again(...attempt));
      case "unsigned":
        return this.#takeAttempt(leaf, opening, (...attempt) => this.#attempts.unsigned(...attempt));
      case "withheld":
        return this.#takeAttempt(leaf, opening, (...attempt) => this.#attempts.withheld(...attempt));
      case "frozen":
        return this.#freezes.freeze(client, opening as never, { index, hash: hex(hashed) });
      case "unfrozen":
        return this.#takeUnfrozen(leaf, opening as unknown as UnfrozenOpening);
      case "failed":
        return this.#takeFailed(leaf, opening);
      case "pending":
        this.#approvals.begin(opening["request"] as string, leaf.at);
        return this.#expectGlass(leaf, opening);
      case "approved":
      case "rejected":
        this.#approvals.decide(leaf, opening as unknown as RequestOpening, this.#options.signatures);
        return this.#expectGlass(leaf, opening);
      case "break-glass":
        return this.#glass.take(client, opening as unknown as BreakGlassOpening, index);
      case "client-added":
        return this.#freezes.add(client, index);
      case "key-disabled":
      case "key-retired":
      case "pin-changed":
      case "denied":
      case "cancelled":
      case "expired":
      case "refused":
      case "heartbeat":
      case "clock-confirmed":
      case "observed":
        return this.#takeObserved(leaf, opening);
      case "reported":
      case "stated":
      case "lien-placed":
      case "lien-released":
      case "padding":
        return;
      default:
        return this.#findings.add("unknown-type", `leaf ${index} is of a type that is not known here`, index);
    }
  }

  #checkLiens(leaf: Opened, opening: Opening): void {
    const { index, client } = leaf;
    const owns = (account: Account): boolean => this.#owners.get(account) === client;
    if (opening.type === "authorized")
      for (const check of [this.#liens, this.#omnibus])
        check.authorize({ leaf: index, client }, opening as never, owns);
    else if (opening.type === "lien-placed") this.#liens.place({ ...this.#signedAt(leaf), client }, opening as never);
    else if (opening.type === "lien-released")
      this.#liens.release({ ...this.#signedAt(leaf), client }, opening as never);
    this.#liens.take(client, opening as never);
  }

  #signedAt({ index, at }: Opened) {
    return { leaf: index, at, origin: this.#header!.origin, check: this.#options.signatures };
  }

  /** Leaf 0 names the log's keys and the founding house policy: all authority traces to it (I15). */
  #takeGenesis({ index, client }: Opened, opening: Opening): void {
    if (index !== 0 || client !== "house")
      this.#findings.add("genesis", `leaf ${index} founds a log inside the log`, index);
    const said = opening["logKeys"] as { checkpoint: string };
    const raw = Buffer.from(said.checkpoint.replace(/^ed25519:/, ""), "base64");
    const key = noteKey(opening["gateway"] as string, "ed25519", raw);
    if (formatVkey(this.#key) !== formatVkey(key))
      this.#findings.add("wrong-key", "leaf 0 names another key than the one that checkpoints are held against", index);
    this.#authority.begin("house", { version: opening["version"] as number, hash: opening["policy"] as string }, index);
  }

  #takePolicy({ index, at, client }: Opened, opening: AppliedOpening): void {
    const { signatures: check } = this.#options;
    this.#authority.apply(client, opening, { leaf: index, at, origin: this.#header!.origin, check });
    this.#windows.recount(client);
    this.#approvals.hold(client, at);
  }

  #takeRestored({ index, at, client }: Opened, opening: RestoredOpening, before: TreeHead | undefined): void {
    const { signatures: check } = this.#options;
    this.#restorations.take({ leaf: index, client, before }, opening, { origin: this.#header!.origin, check });
    if (opening.lost === "nothing") return;
    this.#liens.restore({ type: "restored", index, at, lost: opening.lost });
    this.#freezes.restore(index);
    this.#attempts.restore();
    this.#approvals.restore();
    this.#authority.restore(index);
    this.#windows.restore(at);
  }

  #takeUnfrozen({ index, client }: Opened, opening: UnfrozenOpening): void {
    const { signatures: check } = this.#options;
    this.#freezes.unfreeze(client, opening, { leaf: index, origin: this.#header!.origin, check });
  }

  #takeKey(client: string, opening: Opening): void {
    const { key, curve, publicKey } = opening as unknown as Record<"key" | "curve" | "publicKey", string>;
    this.#publicKeys.set(`${client}/${key}`, { curve, publicKey });
    for (const account of opening["accounts"] as Account[]) this.#owners.set(account, client as ClientId);
  }

  #takeAuthorized({ index, at, client }: Opened, opening: Opening): void {
    const [request, caller, key] = [opening["request"], opening["caller"], opening["key"]] as [string, string, string];
    if (this.#ended.has(request))
      this.#findings.add("authorized-again", `leaf ${index} authorizes a request that had ended`, index);
    const before = this.#open.get(request);
    const digest = opening["digest"] as string;
    if (before && before.digest !== digest)
      this.#findings.add("bytes-differ", `leaf ${index} authorizes other bytes than leaf ${before.leaf} did`, index);
    this.#open.set(request, { leaf: index, client, caller, key, digest });
    this.#freezes.require({ client, key, caller }, "authorizes", index);
    this.#attempts.authorize(request);
    const authorized = {
      request,
      leaf: index,
      at,
      client: client as ClientId,
      caller: caller as CallerName,
      key: key as KeyName,
      intent: opening["intent"],
      ...(opening["replaces"] === undefined ? {} : { replaces: opening["replaces"] as string }),
      ...(opening["subAccount"] === undefined ? {} : { subAccount: opening["subAccount"] as SubAccountName }),
    };
    this.#replacements.authorize(authorized);
    this.#windows.authorize(authorized, opening["decision"] as never);
    this.#approvals.authorize({ index, at, client }, opening as unknown as RequestOpening);
    this.#expectGlass({ index, at, client }, opening);
  }

  /** Steps towards breaking the glass: whatever the gateway says of them, the documents do. */
  #expectGlass({ index, at, client }: Pick<Opened, "index" | "at" | "client">, opening: Opening): void {
    const { type: what, request } = opening as Opening & { request: string };
    if (what === "rejected") return;
    const rules = this.#approvals.breakGlass({ index, at, client }, opening as unknown as RequestOpening);
    this.#glass.expect(client, { leaf: index, what, request, rules });
  }

  #takeObserved({ index, at, client }: Opened, opening: Opening): void {
    if (opening["what"] === "signed-outside") this.#freezes.observe(client, opening["use"] as OutsideUse, index);
    if (opening["what"] !== "deposit") return;
    const deposit = opening["deposit"] as Reported["deposit"];
    const reported = { leaf: index, at, client: client as ClientId, deposit };
    this.#windows.observe(reported, opening["returned"] as Readonly<Record<string, string>> | undefined);
  }

  /** Both kinds name the request's authorization, of the same client. */
  #takeAttempt(
    { index, client }: Opened,
    opening: Opening,
    take: (request: string, attempt: unknown, leaf: number) => void,
  ): void {
    const request = opening["request"] as string;
    const authorization = this.#open.get(request);
    // What ended later than another attempt began names the authorization before: that one is an earlier leaf.
    const named = opening["authorized"];
    if (authorization?.client === client && typeof named === "number" && named <= authorization.leaf) {
      if (opening.type === "attempted") this.#freezes.require(authorization, "attempts", index);
      // The house's freezes are not in a client's own export.
      if (opening.type === "withheld" && this.#header!.of === "house") this.#freezes.withhold(authorization, index);
      return take(request, opening["attempt"], index);
    }
    this.#findings.add("not-authorized", `leaf ${index} is of an attempt that no leaf before it authorizes`, index);
  }

  /** Only an authorization fails; what it spent is forgotten where the log shows that no signature was made. */
  #takeFailed({ index, client }: Opened, opening: Opening): void {
    const request = opening["request"] as string;
    if (this.#open.get(request)?.client !== client)
      return this.#findings.add("not-authorized", `leaf ${index} fails what no leaf before it authorizes`, index);
    if (this.#attempts.fail(request, opening["spend"], index)) this.#windows.giveBack(request);
    else this.#windows.fail(request);
    this.#replacements.end(request);
    this.#end(request);
  }

  /** Each `signed` follows its `authorized`, over the same digest, by the key that was authorized. */
  #takeSigned({ index, client }: Opened, opening: Opening): void {
    const request = opening["request"] as string;
    const authorization = this.#open.get(request);
    const add = (code: string, message: string) => this.#findings.add(code, message, index);
    if (this.#ended.has(request)) return add("signed-twice", `leaf ${index} signs a request that had ended`);
    this.#attempts.sign(request, index);
    this.#windows.end(request);
    this.#replacements.end(request);
    this.#end(request);
    if (authorization?.leaf !== opening["authorized"] || authorization?.client !== client)
      return add("not-authorized", `leaf ${index} is signed, and no leaf before it authorizes that`);
    this.#freezes.require(authorization, "signs", index);
    if (authorization.digest !== opening["digest"])
      return add("not-authorized", `leaf ${index} signs another digest than leaf ${authorization.leaf} authorizes`);
    if (!this.#options.signatures) return;
    this.#signatures += 1;
    if (this.#isVerified()) return;
    const key = this.#publicKeys.get(`${client}/${authorization.key}`) ?? { curve: "none", publicKey: "" };
    if (!verifiesReleased(key, authorization.digest, opening["signature"] as string))
      add("signature-invalid", `the signature in leaf ${index} is not that of key \`${authorization.key}\``);
  }

  #end(request: string): void {
    this.#open.delete(request);
    this.#ended.add(request);
  }

  /** The caller's own signature over its request. */
  #checkEvidence({ index, client, evidence }: Opened, opening: Opening): void {
    const [caller, bodyHash] = [opening["caller"], opening["bodyHash"]] as [string, string];
    const keys = new Set([...this.#authority.keysOf(client, caller), ...this.#authority.keysOf("house", caller)]);
    this.#signatures += 1;
    if (this.#isVerified()) return;
    const why = refuteEvidence(evidence!, { caller, bodyHash, keys, origin: this.#header!.origin });
    if (why !== undefined) this.#findings.add("evidence-invalid", `the request behind leaf ${index}: ${why}`, index);
  }

  /** Of the leaf at hand, by an earlier check: it counts as one that was verified. */
  #isVerified(): boolean {
    return this.#tree.size <= (this.#options.signaturesFrom ?? 0);
  }

  finish(): Report {
    if (!this.#header) throw new GatewayError("malformed-export", "expected a header, found nothing");
    this.#tree.finish(this.#key);
    this.#checkAnchors();
    this.#glass.finish();
    this.#freezes.finish();
    if (this.#tree.checkpoints === 0) this.#findings.add("no-checkpoint", "expected a signed checkpoint, found none");
    const isAsked = this.#options.witnesses !== undefined;
    if (isAsked && this.#witnessed === 0)
      this.#findings.add("not-witnessed", "expected a checkpoint that enough witnesses have cosigned, found none");
    const { last, size } = this.#tree;
    const from = this.#options.key ? "given" : "export";
    return {
      ok: this.#findings.shown.length === 0,
      origin: this.#header.origin,
      of: this.#header.of,
      key: { vkey: formatVkey(this.#key), from },
      leaves: size,
      opened: this.#opened,
      checkpoints: this.#tree.checkpoints,
      receipts: this.#tree.receipts,
      promises: this.#promises,
      newest: last ? { size: last.size, root: Buffer.from(last.root).toString("base64") } : null,
      witnessed: isAsked ? this.#witnessed : null,
      limitsHeld: this.#windows.checked,
      signatures: this.#signatures + this.#authority.signatures + this.#approvals.signatures,
      clients: Object.fromEntries([...this.#chains].map(([client, { number }]) => [client, number + 1])),
      outcomeUnknown: [...this.#open].map(([request, { client, leaf }]) => ({ request, client, leaf })),
      restorations: this.#restorations.all,
      anchors: this.#anchors.map((each) => ({ ...each, client: this.#owners.get(each.sender) ?? null })),
      notChecked: this.#notChecked(last?.size ?? 0),
      findings: this.#findings.shown,
      found: this.#findings.counts,
    };
  }

  /** Anybody can write anything to a chain: an anchor is of this log's name, by a key that is in it. */
  #checkAnchors(): void {
    for (const { transaction, origin, sender } of this.#anchors) {
      if (origin !== this.#header!.origin)
        this.#findings.add("anchor-differs", `${transaction} anchors \`${origin}\`, which is another log`);
      if (this.#header!.of === "house" && !this.#owners.has(sender))
        this.#findings.add("anchor-differs", `${transaction} was sent by ${sender}, an account of no key in this log`);
    }
  }

  #notChecked(covered: number): string[] {
    const { size } = this.#tree;
    const { signaturesFrom = 0 } = this.#options;
    const earlier = `signatures of callers and keys in leaves 0 to ${signaturesFrom - 1}: by this run, an earlier one did`;
    return [
      ...this.#leftOut,
      ...(signaturesFrom > 0 ? [earlier] : []),
      ...(this.#options.key ? [] : ["that this is the right log: name its key with `--key`"]),
      ...(this.#options.signatures
        ? []
        : ["signatures of callers, officers and keys, and spelling of openings: left out on request"]),
      ...(this.#header!.of === "house" ? [] : ["limits of the house: this export holds one client's openings"]),
      ...(this.#header!.of === "house" || this.#anchors.length === 0
        ? []
        : ["whose account anchored the log: this export holds one client's openings"]),
      ...(this.#options.witnesses && this.#witnessed < covered
        ? [`leaves ${this.#witnessed} to ${covered - 1}: not enough witnesses have cosigned them yet`]
        : []),
      ...(covered < size ? [`leaves ${covered} to ${size - 1}: no checkpoint covers them yet`] : []),
    ];
  }
}

const SIGNATURE_FINDINGS = ["evidence-invalid", "signature-invalid"];

function objectIn(text: string): Opening | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Opening) : undefined;
  } catch {
    return undefined;
  }
}

/** How the opening begins that such a leaf is made with. */
const RESTORED = '{"type":"restored",';

/** Whether the leaf records a decision of its own moment: what could not be decoded any more keeps the one before. */
function isDecision({ type, problem }: Opening): boolean {
  if (type === "authorized" || type === "pending" || type === "approved") return true;
  return type !== "failed" && (problem as { code?: string } | undefined)?.code === "denied-by-policy";
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
