import { drawnBy } from "../../custody/liens.ts";
import type { Opening } from "../../custody/register.ts";
import type { Account } from "../../domain/chain.ts";
import { intentFromJson, type Intent } from "../../domain/intent.ts";
import type { CallerName, SubAccountName } from "../../domain/names.ts";
import type { CompiledPolicy } from "../../policy/compile.ts";
import type { AuthorityCheck } from "./authority-check.ts";
import type { Findings } from "./findings.ts";
import type { LienCheck } from "./lien-check.ts";

type Asked = Opening & {
  readonly request: string;
  readonly caller: CallerName;
  readonly replaces?: string;
  readonly subAccount?: SubAccountName;
};

/**
 * Whether every authorization of an omnibus client names whose assets it moves, as the policy of its moment lets its caller,
 * and takes no more than that one's own: each sub-account's ledger is counted here from the leaves before it.
 */
export class OmnibusCheck {
  readonly #findings: Findings;
  readonly #authority: AuthorityCheck;
  readonly #liens: LienCheck;
  readonly #named = new Map<string, SubAccountName | undefined>();

  constructor(findings: Findings, authority: AuthorityCheck, liens: LienCheck) {
    this.#findings = findings;
    this.#authority = authority;
    this.#liens = liens;
  }

  /** Before the register takes the leaf. */
  authorize({ leaf, client }: Place, opening: Asked, owns: (account: Account) => boolean): void {
    const policy = this.#authority.policies.get(client);
    if (!policy) return;
    const intent = policy.subAccounts && intentFromJson(opening["intent"]);
    for (const why of [this.#changes(opening), intent ? misnamed(policy, opening, intent) : named(opening)])
      if (why !== undefined) this.#findings.add("sub-account", `leaf ${leaf} ${why}`, leaf);
    this.#named.set(opening.request, opening.subAccount);
    if (!intent || opening.subAccount === undefined) return;
    const register = this.#liens.registerOf(client);
    const except = this.#liens.versionsOf(opening);
    for (const [asset, amount] of drawnBy(intent, owns)) {
      const available = register.availableTo(opening.subAccount, asset, except);
      if (available !== "none" && amount <= available) continue;
      const message = `leaf ${leaf} takes more ${asset} than is \`${opening.subAccount}\`'s own`;
      this.#findings.add("sub-account-short", message, leaf);
    }
  }

  /** Whose a transaction's assets are stands for all its versions. */
  #changes({ request, replaces, subAccount }: Asked): string | undefined {
    for (const before of [request, replaces])
      if (before !== undefined && this.#named.has(before) && this.#named.get(before) !== subAccount)
        return "is another sub-account's than it was before";
    return undefined;
  }
}

type Place = { readonly leaf: number; readonly client: string };

const isReadable = (operation: Intent["operations"][number]): boolean =>
  operation.kind === "message" && operation.format !== "opaque";

const named = ({ subAccount }: Asked): string | undefined =>
  subAccount === undefined ? undefined : "names a sub-account, and its policy has none";

function misnamed(
  { subAccounts, callers }: CompiledPolicy,
  { caller, subAccount }: Asked,
  { operations, fee }: Intent,
): string | undefined {
  for (const operation of operations)
    if (operation.kind === "transfer" ? operation.tokenId !== undefined : !isReadable(operation))
      return `authorizes \`${operation.kind}\`, which can be booked to no sub-account`;
  const isText = fee.max === 0n && operations.every(({ kind }) => kind === "message");
  if (subAccount === undefined) return isText ? undefined : "names no sub-account, and its policy has several";
  if (!subAccounts!.has(subAccount)) return "names a sub-account that its policy does not have";
  const bound = callers.get(caller)?.subAccount;
  return bound === undefined || bound === subAccount ? undefined : `is of a caller that asks for \`${bound}\` alone`;
}
