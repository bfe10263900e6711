import { touchedBy, Holdings } from "../../custody/liens.ts";
import { Register, type Lien, type Opening } from "../../custody/register.ts";
import { APPROVAL_NAMESPACE, type PersonSignature } from "../../domain/approval.ts";
import type { Account } from "../../domain/chain.ts";
import { lienReleaseText, lienText } from "../../domain/custody.ts";
import { intentFromJson } from "../../domain/intent.ts";
import type { AuthorityCheck, Signatures } from "./authority-check.ts";
import type { Findings } from "./findings.ts";
import { verifiesPerson } from "./person-signatures.ts";

type Placed = Omit<Lien, "amount"> & {
  readonly amount: string;
  readonly policy: string;
  readonly signatures: Signatures;
  readonly agreement: PersonSignature;
};
type Released = { readonly lien: string; readonly remaining: string; readonly signature: PersonSignature };
type Place = { readonly leaf: number; readonly client: string; readonly origin: string; readonly check: boolean };

/** Of an opening. */
type Versioned = { readonly type: string; readonly request?: unknown; readonly replaces?: unknown };

/** One client's past, read when its first lien is placed. */
type Kept = { openings: Opening[]; register: Register | undefined };

/** What the register reads of a leaf: what else is in it need not be kept. */
const slim = (opening: Opening): Opening => {
  const { type, index, at, accounts, request, subAccount, intent, replaces, spend, lost } = opening;
  return { type, index, at, accounts, request, subAccount, intent, replaces, spend, lost };
};

/**
 * Whether each lien was agreed to by whom it concerns, was released by nobody else, and was kept by every authorization
 * while it stood: counted here from the leaves before it.
 */
export class LienCheck {
  readonly #findings: Findings;
  readonly #authority: AuthorityCheck;
  readonly #clients = new Map<string, Kept>();

  constructor(findings: Findings, authority: AuthorityCheck) {
    this.#findings = findings;
    this.#authority = authority;
  }

  /** Every leaf of the client, in the order of the log; those of liens and authorizations once they were checked. */
  take(client: string, opening: Opening): void {
    const kept = this.#keptOf(client);
    if (kept.register) return kept.register.apply(opening);
    if (opening.type === "observed") kept.openings.push(opening);
    else if (RELEVANT.has(opening.type)) kept.openings.push(slim(opening));
  }

  restore(opening: Opening): void {
    for (const client of this.#clients.keys()) this.take(client, opening);
  }

  place({ leaf, client, origin, check }: Place, opening: Placed): void {
    const register = this.registerOf(client);
    const { lien, asset, chain, contract, amount, securedParty, subAccount, keys, policy, signatures, agreement } =
      opening;
    const add = (code: string, message: string) => this.#findings.add(code, message, leaf);
    if (register.wasPledged(lien)) add("lien-order", `leaf ${leaf} places a lien of a name that was used before`);
    const holdings = new Holdings(register);
    const what = { asset, chain, ...(contract === undefined ? {} : { contract }) };
    const available = holdings.availableFor(subAccount, what);
    const isCovered =
      amount === "all" ? !holdings.isPledged(asset, subAccount) : available !== "none" && BigInt(amount) <= available;
    if (!isCovered) add("lien-uncovered", `leaf ${leaf} pledges what was not free`);
    const active = this.#authority.policies.get(client);
    const party = active?.callers.get(securedParty as never);
    if (active && (active.hash !== policy || party?.role !== "secured-party" || party.keys.join() !== keys.join()))
      add("lien-party", `leaf ${leaf} places a lien for whom the policy does not declare so`);
    const subAccounts = active?.subAccounts;
    if (active && (subAccount === undefined ? subAccounts !== undefined : !subAccounts?.has(subAccount)))
      add("sub-account", `leaf ${leaf} pledges what is of no sub-account of its policy`);
    if (!check) return;
    const text = lienText({ origin, client, subAccount, lien, asset, amount, securedParty, policy });
    this.#authority.checkQuorum("lien", signatures, text, leaf, this.#authority.barred);
    if (!verifiesPerson(keys, text, agreement, APPROVAL_NAMESPACE))
      add("lien-signature", `leaf ${leaf} places a lien that \`${securedParty}\` has not agreed to`);
  }

  release({ leaf, client, origin, check }: Place, { lien: name, remaining, signature }: Released): void {
    const lien = this.registerOf(client).liens.get(name);
    const add = (code: string, message: string) => this.#findings.add(code, message, leaf);
    if (!lien) return add("lien-order", `leaf ${leaf} releases a lien that does not stand`);
    if (remaining !== "none" && lien.amount !== "all" && BigInt(remaining) >= lien.amount)
      add("lien-order", `leaf ${leaf} releases nothing of a lien`);
    if (!check) return;
    const text = lienReleaseText({ origin, client, lien: name, placedIn: lien.placedIn, remaining });
    if (!verifiesPerson(lien.keys, text, signature, APPROVAL_NAMESPACE))
      add("lien-signature", `leaf ${leaf} releases a lien without \`${lien.securedParty}\``);
  }

  authorize(
    { leaf, client }: Pick<Place, "leaf" | "client">,
    opening: Opening,
    owns: (account: Account) => boolean,
  ): void {
    const kept = this.#clients.get(client);
    const except = this.versionsOf(opening);
    if (!kept?.register || kept.register.liens.size === 0) return;
    const encumbered = new Holdings(kept.register).encumbered(except);
    for (const { asset, liens, holds } of touchedBy(intentFromJson(opening["intent"]), encumbered, owns)) {
      if (holds) continue;
      const message = `leaf ${leaf} authorizes what breaks lien \`${liens.join("`, `")}\` on ${asset}`;
      this.#findings.add("lien-broken", message, leaf);
    }
  }

  readonly #replaced = new Map<string, string>();

  /** It and those whose place it takes. */
  versionsOf({ request, replaces }: Versioned): ReadonlySet<string> {
    if (replaces !== undefined) this.#replaced.set(request as string, replaces as string);
    const versions = new Set<string>(); // a log that was made up may go round in a circle
    for (let id = request as string | undefined; id !== undefined && !versions.has(id); id = this.#replaced.get(id))
      versions.add(id);
    return versions;
  }

  #keptOf(client: string): Kept {
    let kept = this.#clients.get(client);
    if (!kept) this.#clients.set(client, (kept = { openings: [], register: undefined }));
    return kept;
  }

  /** As of the leaf at hand. */
  registerOf(client: string): Register {
    const kept = this.#keptOf(client);
    kept.register ??= Register.of(kept.openings);
    kept.openings = [];
    return kept.register;
  }
}

const RELEVANT: ReadonlySet<string> = new Set(["key-created", "authorized", "signed", "failed", "restored"]);
