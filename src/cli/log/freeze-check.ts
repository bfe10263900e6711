import { useId, type OutsideUse } from "../../domain/custody.ts";
import { unfreezeSigningText } from "../../domain/freeze.ts";
import type { AuthorityCheck, Signatures } from "./authority-check.ts";
import type { Findings } from "./findings.ts";

/** Where a `frozen` leaf stands. */
type Standing = { readonly index: number; readonly hash: string };

export type UnfrozenOpening = {
  readonly target: string;
  readonly frozen: number;
  readonly signatures: Signatures;
};

/** Whose request it is, for which key. */
type Asked = { readonly client: string; readonly key: string; readonly caller: string };

/** What stood frozen at each leaf: none of it is authorized, attempted or signed, and each freeze ends by a quorum (I16). */
export class FreezeCheck {
  readonly #findings: Findings;
  readonly #authority: AuthorityCheck;
  readonly #standing = new Map<string, Standing>();
  /** Since which leaf each client may sign: it was added, or unfrozen there. */
  readonly #freeSince = new Map<string, number>();
  /** Uses of keys elsewhere that an observer has reported, by client. */
  readonly #uses = new Set<string>();
  /** What has to freeze its client by that client's next leaf, and the leaf that says so. */
  readonly #due = new Map<string, number>();
  #restored = -1;

  constructor(findings: Findings, authority: AuthorityCheck) {
    this.#findings = findings;
    this.#authority = authority;
  }

  add(client: string, leaf: number): void {
    this.#freeSince.set(client, leaf);
  }

  /** From here on every client is frozen, whatever its own leaves say. */
  restore(leaf: number): void {
    this.#restored = leaf;
  }

  /** @param by a restore freezes anew what was frozen */
  freeze(client: string, { target, by }: { target: string; by: string }, standing: Standing): void {
    const name = nameOf(client, target);
    if (this.#standing.has(name) && by !== "restored")
      this.#add("frozen-twice", `leaf ${standing.index} freezes ${target} of \`${client}\` again`, standing.index);
    this.#standing.set(name, standing);
    const caller = /^caller (.+)$/.exec(target)?.[1];
    if (client === "house" && caller !== undefined) this.#authority.barred.add(caller);
  }

  /** @param check whether officers' signatures are verified too */
  unfreeze(
    client: string,
    { target, frozen, signatures }: UnfrozenOpening,
    { leaf, origin, check }: { leaf: number; origin: string; check: boolean },
  ): void {
    const standing = this.#standing.get(nameOf(client, target));
    if (standing?.index !== frozen)
      return this.#add("not-frozen", `leaf ${leaf} ends a freeze of ${target} that does not stand`, leaf);
    this.#standing.delete(nameOf(client, target));
    if (target === "client") this.#freeSince.set(client, leaf);
    this.#authority.barred.delete(target.replace("caller ", ""));
    const text = unfreezeSigningText({ origin, client, target, leaf: standing });
    if (check) this.#authority.checkQuorum("unfreeze", signatures, text, leaf);
  }

  /** A key was used elsewhere: the first time that it is said the policy may want the client frozen. */
  observe(client: string, use: Pick<OutsideUse, "account" | "first" | "last">, leaf: number): void {
    const name = `${client}/${useId(use)}`;
    const isNew = !this.#uses.has(name);
    this.#uses.add(name);
    if (!isNew || this.#authority.policies.get(client)?.signedOutside !== "freeze") return;
    if (!this.#standing.has(nameOf(client, "client"))) this.#due.set(client, leaf);
  }

  /** A leaf of that client, before it is looked at. */
  pass(client: string, opening: { readonly type: string; readonly target?: unknown }): void {
    const leaf = this.#due.get(client);
    if (leaf === undefined) return;
    this.#due.delete(client);
    if (opening.type !== "frozen" || opening.target !== "client") this.#notFrozen(leaf);
  }

  finish(): void {
    for (const leaf of this.#due.values()) this.#notFrozen(leaf);
  }

  #notFrozen(leaf: number): void {
    this.#add("outside-not-frozen", `leaf ${leaf} tells of a key used elsewhere, and its client was not frozen`, leaf);
  }

  /** @param does what the leaf does with that request: `authorizes`, `signs` */
  require(asked: Asked, does: string, leaf: number): void {
    const target = this.#freezeOf(asked);
    if (target === undefined) return;
    this.#add("signed-frozen", `leaf ${leaf} ${does} a request while ${target} was frozen`, leaf);
  }

  /** Whether that person, of the client's own document, may decide nothing at present. */
  isFrozen(client: string, person: string): boolean {
    return this.#standing.has(nameOf(client, `caller ${person}`));
  }

  withhold(asked: Asked, leaf: number): void {
    if (this.#freezeOf(asked) !== undefined) return;
    this.#add("withheld-unfrozen", `leaf ${leaf} withholds a signature of what was not frozen`, leaf);
  }

  #freezeOf({ client, key, caller }: Asked): string | undefined {
    if ((this.#freeSince.get(client) ?? -1) < this.#restored) return `client of ${client}, since a restore,`;
    const concerned = [
      nameOf("house", "client"),
      nameOf(client, "client"),
      nameOf(client, `key ${key}`),
      nameOf(client, `caller ${caller}`),
      nameOf("house", `caller ${caller}`),
    ];
    return concerned.find((name) => this.#standing.has(name));
  }

  #add(code: string, message: string, leaf: number): void {
    this.#findings.add(code, message, leaf);
  }
}

const nameOf = (client: string, target: string): string => `${target} of ${client}`;
