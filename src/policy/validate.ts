import { parseAmount } from "../domain/amount.ts";
import { GatewayError, quoted } from "../domain/errors.ts";
import { chainOf, type Account } from "../domain/chain.ts";
import { RESERVED_NAMES } from "../domain/names.ts";
import { addressesOf, assetIdentity, declaredIn, type Declared, type RegistryAsset } from "./declared.ts";
import {
  membersOf,
  REQUIRED_WITH,
  isAllow,
  type AllowRule,
  type Band,
  type ClientPolicy,
  type DenyRule,
  type HousePolicy,
  type LimitDocument,
} from "./document.ts";
import { durationMs } from "./fields.ts";
import { invalid, type DocumentPath, type Finding } from "./finding.ts";
import type { CheckAccount, ResolvedPolicy } from "./parse.ts";
import { requireBounds } from "./bounds.ts";
import { requireGuarded } from "./break-glass.ts";
import { checkOmnibus } from "./omnibus.ts";

/** Words with a meaning of their own where a name could stand. */
const RESERVED_IN_BOOK = ["own", "anyone", "any", ...RESERVED_NAMES];

const isReserved = (name: string): boolean => (RESERVED_NAMES as readonly string[]).includes(name);

export type Report = (
  path: DocumentPath,
  message: string,
  options?: { hint?: string; part?: "key" | "value"; file?: string },
) => void;

/** What the checks need: the policy, its names, and where to put a finding. */
export type Checked = { readonly policy: ResolvedPolicy; readonly declared: Declared; readonly report: Report };

/** What no schema can say: that names exist and mean one thing, that amounts fit their assets, that nothing is unbounded by omission. */
export function validate(policy: ResolvedPolicy, checkAccount: CheckAccount): Finding[] {
  const findings: Finding[] = [];
  const report: Report = (path, message, { hint, part, file = policy.entry } = {}) => {
    const at = policy.sources.get(file)!.locate(path, part);
    findings.push(invalid(file, at, message, hint));
  };
  const checked: Checked = { policy, declared: declaredIn(policy), report };
  checkRepeated(checked);
  checkRegistry(checked);
  checkAccounts(checked, checkAccount);
  checkBookNames(checked);
  checkKeys(checked);
  checkRules(checked, checkAccount);
  checkLimits(checked, checkAccount);
  checkFees(checked);
  if (policy.document.kind === "ClientPolicy") checkExit(checked, policy.document);
  if (policy.document.kind === "ClientPolicy") checkOmnibus(checked, policy.document);
  if (policy.document.kind === "ClientPolicy") checkClient(checked, policy.document);
  else checkHouse(checked, policy.document);
  // What may move without bound can be said only of a document whose parts fit together.
  if (policy.document.kind === "ClientPolicy" && findings.length === 0) requireBounds(checked, policy.document);
  return findings;
}

function checkRepeated({ declared, report }: Checked): void {
  for (const { name, what, first, file, path } of declared.repeated) {
    report(path, `expected each name once, found ${what} ${quoted(name)} also in \`${first}\``, {
      file,
      part: "key",
      hint: "rename one of the two",
    });
  }
}

function checkRegistry({ declared, report }: Checked): void {
  const identities = new Map<string, string>();
  for (const [symbol, { value: asset, file, path }] of declared.assets) {
    const say = (field: string, message: string) => report([...path, field], message, { file });
    if (!declared.chains.has(asset.chain))
      say("chain", `expected a chain of the registry, found ${quoted(asset.chain)}`);
    const contract = asset.standard === "native" ? undefined : asset.contract;
    if (contract && !contract.startsWith(`${asset.chain}:`))
      say("contract", `expected a contract on \`${asset.chain}\`, found ${quoted(contract)}`);
    const identity = assetIdentity({ chain: asset.chain, contract });
    const other = identities.get(identity);
    if (other)
      say(contract ? "contract" : "standard", `expected each asset once, found \`${symbol}\` to be \`${other}\` again`);
    identities.set(identity, symbol);
  }
  for (const [chain, { value, file, path }] of declared.chains) {
    const native = declared.assets.get(value.native)?.value;
    if (native?.standard !== "native" || native.chain !== chain) {
      report(
        [...path, "native"],
        `expected an asset of standard \`native\` on \`${chain}\`, found ${quoted(value.native)}`,
        { file },
      );
    }
    if (native && value.l1Fee) requireAmount(value.l1Fee.max, native.decimals, [...path, "l1Fee", "max"], file, report);
  }
  checkContracts({ declared, report });
}

function requireAmount(text: string, decimals: string, path: DocumentPath, file: string, report: Report): void {
  try {
    parseAmount(text, Number(decimals));
  } catch (error) {
    report(path, (error as Error).message, { file });
  }
}

/** Two kinds at one account would leave it to chance which of them a call is read by. */
function checkContracts({ declared, report }: Pick<Checked, "declared" | "report">): void {
  const names = new Map<string, string>();
  const standards = new Map([...declared.assets.values()].map(({ value }) => [contractOf(value), value.standard]));
  for (const [name, { value, file, path }] of declared.contracts) {
    const say = (field: string, message: string) => report([...path, field], message, { file });
    const chain = value.address.slice(0, value.address.lastIndexOf(":"));
    if (!declared.chains.has(chain))
      say("address", `expected an account on a chain of the registry, found ${quoted(chain)}`);
    const other = names.get(value.address);
    if (other !== undefined) say("address", `expected each contract once, found \`${name}\` to be \`${other}\` again`);
    names.set(value.address, name);
    // WETH9's withdrawal takes its own tokens: without the asset there is no word for what is paid.
    if (value.kind === "weth" && standards.get(value.address) !== "erc20")
      say("kind", "expected an asset of standard `erc20` at the address of a `weth`, found none");
  }
}

const contractOf = (asset: RegistryAsset): string | undefined => ("contract" in asset ? asset.contract : undefined);

function checkAccounts({ declared, report }: Checked, checkAccount: CheckAccount): void {
  for (const { value: asset, file, path } of declared.assets.values()) {
    if (asset.standard !== "native") checkOne(asset.contract, [...path, "contract"], file, report, checkAccount);
  }
  for (const { value, file, path } of declared.contracts.values())
    checkOne(value.address, [...path, "address"], file, report, checkAccount);
  for (const { value: entry, file, path } of declared.book.values()) {
    const list = typeof entry.address !== "string";
    addressesOf(entry).forEach((account, index) =>
      checkOne(account, [...path, "address", ...(list ? [index] : [])], file, report, checkAccount),
    );
  }
}

function checkOne(account: string, path: DocumentPath, file: string, report: Report, checkAccount: CheckAccount): void {
  try {
    checkAccount(account);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const hint = error instanceof GatewayError ? error.hint : undefined;
    report(path, message, { file, ...(hint ? { hint } : {}) });
  }
}

function checkBookNames({ declared, report }: Checked): void {
  for (const [name, { file, path }] of declared.book) {
    if (RESERVED_IN_BOOK.includes(name))
      report(path, `expected another name than the reserved word ${quoted(name)}`, { file, part: "key" });
  }
}

function checkKeys({ policy, report }: Checked): void {
  const owners = new Map<string, string>();
  const callers: Readonly<Record<string, { readonly keys: readonly string[] }>> = policy.document.callers;
  for (const [name, caller] of Object.entries(callers)) {
    if (isReserved(name)) {
      report(["callers", name], `expected another name than the reserved word ${quoted(name)}`, { part: "key" });
    }
    caller.keys.forEach((key, index) => {
      const owner = owners.get(key);
      owners.set(key, name);
      if (!owner) return;
      report(["callers", name, "keys", index], `expected each key once, found the key of \`${owner}\` again`, {
        hint: "one key proves one identity",
      });
    });
  }
}

// ---- rules and limits -------------------------------------------------------------------------------------------

function checkRules(checked: Checked, checkAccount: CheckAccount): void {
  const seen = new Set<string>();
  for (const [index, rule] of (checked.policy.document.rules ?? []).entries()) {
    const path = ["rules", index];
    if (seen.has(rule.id))
      checked.report([...path, "id"], `expected each rule id once, found ${quoted(rule.id)} again`);
    seen.add(rule.id);
    checkMatch(checked, rule, path, checkAccount);
    checkBands(checked, rule.amount, [...path, "amount"]);
    checkBands(checked, rule.fee, [...path, "fee"]);
    checkArguments(checked, rule, path, checkAccount);
    if (isAllow(rule)) checkAllow(checked, rule, path);
  }
}

function checkArguments(
  checked: Checked,
  rule: AllowRule | DenyRule,
  path: DocumentPath,
  checkAccount: CheckAccount,
): void {
  for (const [name, test] of Object.entries(rule.arguments ?? {})) {
    const at = [...path, "arguments", name];
    if (!("to" in test)) {
      if ("max" in test && test.over !== undefined && BigInt(test.over) >= BigInt(test.max)) {
        checked.report([...at, "max"], `expected \`max\` above \`over\`, found \`${test.max}\` and \`${test.over}\``);
      }
      continue;
    }
    checkMatch(checked, { to: test.to }, at, checkAccount);
    test.to.forEach((word, index) => {
      // Whose an address is that stands in an argument is no fact of the decision.
      if (!["own", "house", "anyone"].includes(word) && !word.startsWith("client:")) return;
      checked.report([...at, "to", index], `expected an address book name, a tag or an account, found ${quoted(word)}`);
    });
  }
}

/** One place on each chain: which of two it is nobody should have to choose when the time comes. */
function checkExit({ declared, report }: Checked, { exit }: ClientPolicy): void {
  if (exit === undefined) return;
  const entry = declared.book.get(exit);
  if (!entry) return report(["exit"], `expected an address book name, found ${quoted(exit)}`);
  const chains = addressesOf(entry.value).map((account) => chainOf(account as Account));
  if (new Set(chains).size < chains.length) report(["exit"], "expected an entry with one address on each chain");
}

function checkLimits(checked: Checked, checkAccount: CheckAccount): void {
  for (const [name, limit] of Object.entries<LimitDocument>(checked.policy.document.limits ?? {})) {
    const path = ["limits", name];
    checkMatch(checked, limit, path, checkAccount);
    checkBands(checked, limit.amount, [...path, "amount"]);
    if (limit.window === "outstanding") checkOutstanding(checked, limit, path);
    if (!("sum" in limit)) continue;
    checkAmount(checked, limit.sum, limit.max, [...path, "max"], [...path, "sum"]);
    for (const symbol of Object.keys(limit.amount ?? {})) {
      if (symbol !== limit.sum)
        checked.report(
          [...path, "amount", symbol],
          `expected the limit's own asset \`${limit.sum}\`, found ${quoted(symbol)}`,
          { part: "key" },
        );
    }
  }
}

/** What comes back is known by where it comes from, and by nothing else. */
function checkOutstanding({ policy, report }: Checked, limit: LimitDocument, path: DocumentPath): void {
  const at = [...path, "window"];
  if (policy.document.kind !== "ClientPolicy") report(at, "expected `outstanding` in a client's document only");
  if (!("sum" in limit)) report(at, "expected `outstanding` with `sum`, found `count`");
  if (!limit.to) report(at, "expected `to` with `outstanding`: where it is sent, and comes back from");
  for (const word of limit.to ?? [])
    if (["own", "house", "anyone"].includes(word) || word.startsWith("client:"))
      report(
        [...path, "to"],
        `expected address book names, tags or accounts with \`outstanding\`, found ${quoted(word)}`,
      );
  for (const field of ["by", "key", "amount", "per"] as const)
    if (limit[field] !== undefined)
      report([...path, field], `expected no \`${field}\` with \`outstanding\``, { part: "key" });
}

type Match = Pick<DenyRule, "by" | "from" | "to" | "chain"> | Pick<LimitDocument, "by" | "to">;

function checkMatch(checked: Checked, match: Match, path: DocumentPath, checkAccount: CheckAccount): void {
  const { declared, report, policy } = checked;
  match.to?.forEach((word, index) => {
    const at = [...path, "to", index];
    if (word.startsWith("eip155:")) checkOne(word, at, policy.entry, report, checkAccount);
    else checkDestination(checked, word, at);
  });
  match.by?.forEach((caller, index) => checkBy(checked, caller, [...path, "by", index]));
  const from = "from" in match ? match.from : undefined;
  from?.forEach((word, index) => {
    if (!word.startsWith("account:") || declared.book.has(word.slice("account:".length))) return;
    report([...path, "from", index], `expected an address book name after \`account:\`, found ${quoted(word)}`);
  });
  const chain = "chain" in match ? match.chain : undefined;
  chain?.forEach((id, index) => {
    if (!declared.chains.has(id))
      report([...path, "chain", index], `expected a chain of the registry, found ${quoted(id)}`);
  });
}

function checkDestination({ declared, report, policy }: Checked, word: string, path: DocumentPath): void {
  if (["own", "house", "anyone"].includes(word)) return;
  const [kind, name = ""] = word.split(":");
  if (kind === "client" && word.includes(":")) {
    const self = policy.document.kind === "ClientPolicy" && name === policy.document.client;
    if (self || name === "house")
      report(path, `expected another client, found ${quoted(word)}`, { hint: self ? "write `own`" : "write `house`" });
  } else if (kind === "tag" && word.includes(":")) {
    if (!declared.tags.has(name)) report(path, `expected a tag that an address book entry has, found ${quoted(word)}`);
  } else if (!declared.book.has(word)) {
    report(path, `expected a name of the address book, found ${quoted(word)}`, {
      hint: "add it to `addressBook`, or to a file that `use` names",
    });
  }
}

function checkBy({ policy, report }: Checked, caller: string, path: DocumentPath): void {
  // The house policy names callers of every client's document; it cannot know them all.
  if (policy.document.kind === "HousePolicy") return;
  const role = Object.hasOwn(policy.document.callers, caller) ? policy.document.callers[caller]!.role : undefined;
  if (role !== "wallet-service")
    report(
      path,
      `expected a caller with the role \`wallet-service\`, found ${quoted(caller)}${role ? `, which is \`${role}\`` : ""}`,
    );
}

function checkBands(checked: Checked, bands: Readonly<Record<string, Band>> | undefined, path: DocumentPath): void {
  if (!bands) return;
  if (Object.keys(bands).length === 0) checked.report(path, "expected at least one asset, found an empty map");
  for (const [symbol, band] of Object.entries(bands)) checkBand(checked, symbol, band, [...path, symbol]);
}

function checkBand(checked: Checked, symbol: string, band: Band, path: DocumentPath): void {
  if (band === "any") return checkAmount(checked, symbol, "0", path, path);
  const { over, max } = band;
  if (over === undefined && max === undefined)
    return checked.report(path, "expected `max` or `over`, found an empty map", {
      hint: "write `any` for every amount",
    });
  const low = over === undefined ? undefined : amountOf(checked, symbol, over, [...path, "over"], path);
  const high = max === undefined || max === "any" ? undefined : amountOf(checked, symbol, max, [...path, "max"], path);
  if (low !== undefined && high !== undefined && low >= high)
    checked.report([...path, "max"], `expected \`max\` above \`over\`, found \`${max}\` and \`${over}\``, {
      hint: "no amount lies in this band",
    });
}

function checkAmount(
  checked: Checked,
  symbol: string,
  text: string,
  path: DocumentPath,
  symbolPath: DocumentPath,
): void {
  amountOf(checked, symbol, text, path, symbolPath);
}

function amountOf(
  { declared, report }: Checked,
  symbol: string,
  text: string,
  path: DocumentPath,
  symbolPath: DocumentPath,
): bigint | undefined {
  const asset = declared.assets.get(symbol)?.value;
  if (!asset) {
    report(symbolPath, `expected an asset of the registry, found ${quoted(symbol)}`, {
      part: "key",
      hint: "add an asset registry to `use`",
    });
    return undefined;
  }
  try {
    return parseAmount(text, Number(asset.decimals));
  } catch (error) {
    report(path, (error as Error).message, { hint: `\`${symbol}\` has ${asset.decimals} decimals` });
    return undefined;
  }
}

function checkFees(checked: Checked): void {
  for (const [symbol, cap] of Object.entries(checked.policy.document.fee ?? {})) {
    const path = ["fee", symbol];
    checkAmount(checked, symbol, cap === "uncapped" ? "0" : cap.max, [...path, "max"], path);
    const asset = checked.declared.assets.get(symbol)?.value;
    if (asset && asset.standard !== "native")
      checked.report(path, `expected a native asset, found ${quoted(symbol)}`, {
        part: "key",
        hint: "fees are paid in the chain's own coin",
      });
  }
}

// ---- allow rules ------------------------------------------------------------------------------------------------

const REQUIRED_HINTS: Readonly<Record<keyof typeof REQUIRED_WITH, string>> = {
  to: "name destinations; `anyone` for every address of no other client",
  amount: "write a `max` for each asset; `any` for every amount",
  method: "write the method's signature or selector",
  domain: "name the EIP-712 domain that may be signed for",
  primaryType: "name the types that may be signed",
  unbounded: "write `unbounded: true` if this is meant: no limit can bound it",
};

function checkAllow(checked: Checked, rule: AllowRule, path: DocumentPath): void {
  const { report } = checked;
  for (const [field, kinds] of Object.entries(REQUIRED_WITH) as [keyof typeof REQUIRED_WITH, readonly string[]][]) {
    const kind = rule.allow.find((word) => kinds.includes(word));
    if (kind && rule[field] === undefined)
      report(path, `expected a field \`${field}\` where \`${kind}\` is allowed, found none`, {
        hint: REQUIRED_HINTS[field],
      });
  }
  for (const [symbol, band] of Object.entries(rule.amount ?? {})) {
    if (band !== "any" && band.max === undefined)
      report([...path, "amount", symbol], "expected `max` in an allow rule, found `over` alone", {
        hint: "write `max: any` if no bound is meant",
      });
  }
  checkApprovals(checked, rule, path);
  requireGuarded(rule, path, report);
}

function checkApprovals({ policy, report }: Checked, rule: AllowRule, path: DocumentPath): void {
  const { expireAfter, ...quorums } = rule.approvals ?? {};
  const groups = (policy.document as ClientPolicy).groups ?? {};
  for (const group of Object.keys(quorums)) {
    if (!Object.hasOwn(groups, group))
      report([...path, "approvals", group], `expected a name of \`groups\`, found ${quoted(group)}`, { part: "key" });
  }
  if (rule.approvals && Object.keys(quorums).length === 0)
    report([...path, "approvals"], "expected at least one group, found none");
  if (expireAfter && rule.delay && durationMs(rule.delay) >= durationMs(expireAfter)) {
    report(
      [...path, "approvals", "expireAfter"],
      `expected \`expireAfter\` above the delay of \`${rule.delay}\`, found \`${expireAfter}\``,
      { hint: "the request would lapse before its delay ends" },
    );
  }
}

// ---- the two kinds ----------------------------------------------------------------------------------------------

function checkClient({ declared, report }: Checked, document: ClientPolicy): void {
  const { client, callers } = document;
  if (isReserved(client)) {
    const hint =
      client === "house" ? { hint: "name the custodian's own client otherwise, and write `owner: house`" } : {};
    report(["client"], `expected another name than the reserved word ${quoted(client)}`, hint);
  }
  for (const [name, group] of Object.entries(document.groups ?? {})) {
    const members = membersOf(group);
    const path = Array.isArray(group) ? ["groups", name] : ["groups", name, "members"];
    if (Object.hasOwn(callers, name))
      report(["groups", name], `expected each name once, found a caller ${quoted(name)} too`, { part: "key" });
    members.forEach((member, index) =>
      checkApprover(callers, member, [...path, index], members.indexOf(member) !== index, report),
    );
  }
  for (const [name, caller] of Object.entries(callers)) {
    caller.operatedBy?.forEach((person, index) =>
      checkApprover(callers, person, ["callers", name, "operatedBy", index], false, report),
    );
    if (caller.operatedBy && caller.role !== "wallet-service")
      report(
        ["callers", name, "operatedBy"],
        `expected \`operatedBy\` on a wallet service, found it on \`${caller.role}\``,
      );
  }
  if (declared.assets.size === 0)
    report(["use"], "expected an asset registry in `use`, found none", { hint: "add `shared/assets.yaml`" });
}

function checkApprover(
  callers: ClientPolicy["callers"],
  member: string,
  path: DocumentPath,
  again: boolean,
  report: Report,
): void {
  const role = Object.hasOwn(callers, member) ? callers[member]!.role : undefined;
  if (role !== "approver")
    report(
      path,
      `expected a caller with the role \`approver\`, found ${quoted(member)}${role ? `, which is \`${role}\`` : ""}`,
    );
  else if (again) report(path, `expected each person once, found ${quoted(member)} again`);
}

function checkHouse({ report }: Checked, document: HousePolicy): void {
  const officers = Object.values(document.callers).filter(({ role }) => role === "policy-officer").length;
  if (officers === 0)
    report(["callers"], "expected at least one `policy-officer`, found none", {
      hint: "nobody could change a policy again",
    });
  else if (Number(document.policyQuorum ?? "1") > officers) {
    report(
      ["policyQuorum"],
      `expected at most ${officers}, the number of policy officers, found \`${document.policyQuorum}\``,
    );
  }
}
