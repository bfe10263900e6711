import type { DecisionFacts, Reason } from "../domain/decision.ts";
import { quoted } from "../domain/errors.ts";
import type { Intent, Operation } from "../domain/intent.ts";
import { UNALLOCATED, type CallerName, type SubAccountName } from "../domain/names.ts";
import type { CompiledPolicy } from "./compile.ts";
import type { ClientPolicy } from "./document.ts";
import type { Checked } from "./validate.ts";

/*
 * An omnibus client: the same accounts hold the assets of several owners, its sub-accounts. Here is what its policy says of
 * that; what each of them has left is asked of the ledger (`custody/register.ts`).
 */

/** Whose assets a request moves: the sub-account that it names, else the one that its caller is bound to. */
export const subAccountFor = (
  { callers }: Pick<CompiledPolicy, "callers">,
  caller: CallerName,
  named: SubAccountName | undefined,
): SubAccountName | undefined => named ?? callers.get(caller)?.subAccount;

/** Refused where there are none, asked for where there are, and only its own to a caller that is bound to one. */
export function wrongSubAccount(policy: CompiledPolicy, intent: Intent, facts: DecisionFacts): Reason[] {
  const { subAccounts } = policy;
  const { subAccount, caller } = facts;
  const no = (detail: string): Reason[] => [{ code: "sub-account", detail }];
  if (subAccounts === undefined)
    return subAccount === undefined
      ? []
      : no(`\`${policy.client}\` has no sub-accounts: a request for \`${subAccount}\` is none of its`);
  const unbooked = intent.operations.find((operation) => !isBooked(operation));
  if (unbooked)
    return no(`what this \`${unbooked.kind}\` may move can be booked to no sub-account: an omnibus client signs none`);
  if (subAccount === undefined)
    return movesNothing(intent)
      ? []
      : no("expected `subAccount`, whose assets it moves: this client holds several owners' together");
  if (!subAccounts.has(subAccount)) return no(`expected a sub-account of the policy, found \`${subAccount}\``);
  const bound = policy.callers.get(caller)?.subAccount;
  if (bound === undefined || bound === subAccount) return [];
  return no(`\`${caller}\` asks for \`${bound}\` alone, found \`${subAccount}\``);
}

/**
 * What a transfer takes is known when it is authorized; a text that can be read takes nothing. Of all else nobody knows. An
 * item of a collection is somebody's very own, and ledgers count amounts.
 */
const isBooked = (operation: Operation): boolean =>
  (operation.kind === "transfer" && operation.tokenId === undefined) ||
  (operation.kind === "message" && operation.format !== "opaque");

const movesNothing = ({ operations, fee }: Intent): boolean =>
  fee.max === 0n && operations.every(({ kind }) => kind === "message");

export function checkOmnibus({ report }: Checked, document: ClientPolicy): void {
  const { omnibus, owner, exit, callers, limits } = document;
  const names = omnibus?.subAccounts ?? [];
  for (const [index, name] of names.entries()) {
    const path = ["omnibus", "subAccounts", index];
    if (name === UNALLOCATED) report(path, `expected another name than the reserved word ${quoted(name)}`);
    if (names.indexOf(name) !== index) report(path, `expected each sub-account once, found ${quoted(name)} again`);
  }
  if (omnibus && owner === "house")
    report(["omnibus"], "expected no `omnibus` with `owner: house`: the custodian's own funds stand apart", {
      part: "key",
    });
  if (omnibus && exit !== undefined)
    report(["exit"], "expected no `exit` with `omnibus`: what is several owners' has no one place to return to", {
      part: "key",
    });
  for (const [caller, { role, subAccount }] of Object.entries(callers)) {
    if (subAccount === undefined) continue;
    const path = ["callers", caller, "subAccount"];
    if (role !== "wallet-service") report(path, `expected \`subAccount\` on a wallet service, found it on \`${role}\``);
    else if (!names.includes(subAccount))
      report(path, `expected a sub-account of \`omnibus\`, found ${quoted(subAccount)}`);
  }
  for (const [name, { per }] of Object.entries(limits ?? {}))
    if (per === "sub-account" && !omnibus)
      report(["limits", name, "per"], "expected `per: sub-account` with `omnibus` alone");
}

type Direction = { readonly direction: "tightening" | "loosening"; readonly text: string };

/**
 * What owners were promised changes when their assets are put together, and also when nothing keeps them apart any more:
 * neither is a tightening. Of a sub-account that is gone nothing is permitted any more, and its ledger stays.
 */
export function diffOmnibus({
  before,
  after,
}: {
  readonly before: CompiledPolicy;
  readonly after: CompiledPolicy;
}): Direction[] {
  const [old, now] = [before.subAccounts, after.subAccounts];
  const loosening = (text: string): Direction => ({ direction: "loosening", text });
  const changes: Direction[] = [];
  if (!old && now) changes.push(loosening("the assets become those of several owners together (`omnibus`)"));
  if (old && !now) changes.push(loosening("nothing keeps sub-accounts apart any more (`omnibus` is gone)"));
  for (const name of now ?? []) if (old && !old.has(name)) changes.push(loosening(`sub-account \`${name}\` is new`));
  for (const name of old ?? [])
    if (now && !now.has(name)) changes.push({ direction: "tightening", text: `sub-account \`${name}\` is gone` });
  // Bound or not: what it may ask for, or what it asks for without a name, is another.
  for (const [caller, { subAccount: bound }] of after.callers) {
    const known = before.callers.get(caller);
    if (known && known.subAccount !== bound)
      changes.push(
        loosening(`caller \`${caller}\` asks for ${boundText(bound)}, before for ${boundText(known.subAccount)}`),
      );
  }
  return changes;
}

const boundText = (subAccount: string | undefined): string =>
  subAccount === undefined ? "whichever it names" : `sub-account \`${subAccount}\``;
