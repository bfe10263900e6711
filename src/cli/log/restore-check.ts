import { recoverySigningText, type HeadText, type Lost } from "../../domain/recovery.ts";
import type { TreeHead } from "../../tlog/checkpoint.ts";
import type { AuthorityCheck, Signatures } from "./authority-check.ts";
import type { Findings } from "./findings.ts";

export type RestoredOpening = {
  readonly store: HeadText;
  readonly promised: HeadText;
  readonly history: string;
  readonly lost: Lost;
  readonly signatures: Signatures;
};

/** As the report tells it: what was promised up to that size may be missing, and officers have said so. */
export type Restoration = Omit<RestoredOpening, "signatures"> & { readonly leaf: number };

/** Each `restored` leaf names the log before it, carries the officers' quorum, and no tree that was promised is signed anew. */
export class RestoreCheck {
  readonly #findings: Findings;
  readonly #authority: AuthorityCheck;
  readonly all: Restoration[] = [];

  constructor(findings: Findings, authority: AuthorityCheck) {
    this.#findings = findings;
    this.#authority = authority;
  }

  /**
   * @param before the tree of all leaves before that one
   * @param check whether officers' signatures are verified too
   */
  take(
    { leaf, client, before }: { leaf: number; client: string; before: TreeHead | undefined },
    { signatures, ...said }: RestoredOpening,
    { origin, check }: { origin: string; check: boolean },
  ): void {
    const { store, promised, history, lost } = said;
    const root = before && Buffer.from(before.root).toString("base64");
    if (client !== "house" || before?.size !== store.size || root !== store.root)
      this.#findings.add("restored-differs", `leaf ${leaf} names another log than the one before it`, leaf);
    const text = recoverySigningText({ origin, ...said }, lost);
    if (check) this.#authority.checkQuorum("recovery", signatures, text, leaf, this.#authority.barred);
    this.all.push({ leaf, store, promised, history, lost });
  }

  /** Of two trees of one size, signed by one key, nobody can say which is the log. */
  holdCheckpoint({ size }: TreeHead): void {
    const passed = this.all.find(({ leaf, promised }) => size > leaf && size <= promised.size);
    if (!passed) return;
    const message = `a checkpoint covers ${size} leaves, up to ${passed.promised.size} were promised before leaf ${passed.leaf}`;
    this.#findings.add("checkpoint-fork", message, passed.leaf);
  }
}
