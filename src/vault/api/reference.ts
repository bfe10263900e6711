import { ROLES } from "../../domain/names.ts";
import { PROBLEM_SECTIONS, type Again, type ProblemKind } from "./problem-list.ts";
import { rpcCodeOf } from "./problems.ts";
import type { CallerRoute, Route } from "./routes.ts";

/* `docs/roles.md`, `docs/errors.md` and `docs/asking-again.md`, printed from the route table and the list of problems. */

const WRITTEN =
  "<!-- Printed from the code; test/unit/vault/api/reference.test.ts compares (PORTCULLIS_WRITE=1 writes it). -->";

const row = (...cells: readonly string[]): string => `| ${cells.join(" | ")} |`;

const table = (heads: readonly string[], rows: readonly (readonly string[])[]): string =>
  [row(...heads), row(...heads.map(() => "---")), ...rows.map((cells) => row(...cells))].join("\n");

export const rolesPage = (routes: readonly Route[]): string =>
  [
    "# Who may do what",
    WRITTEN,
    "A caller has one role, which the client's policy document declares, or the house's. A client's callers are strangers " +
      "to every other client; the house's callers have their role for every client. Whoever may not is answered 403 " +
      "`not-permitted`. Routes that name no client are the house's callers' alone.",
    table(
      ["route", "what it does", ...ROLES],
      routes.map(({ method, path, roles, summary }) => [
        `\`${method} ${path}\``,
        summary,
        ...ROLES.map((role) => (roles === "anyone" ? "open" : roles.includes(role) ? "✓" : "")),
      ]),
    ),
    "`/livez` and `/readyz` are open as well.",
    "",
  ].join("\n\n");

/** What the same request again, under the same idempotency key, does. */
function repeatedOf({ once, dryRun, repeated }: CallerRoute): string {
  if (once) return "gets the first one's answer";
  if (dryRun) return "says what would be decided now; there is no key";
  return repeated!;
}

const isChange = (route: Route): route is CallerRoute => route.method !== "GET";

export const askingAgainPage = (routes: readonly Route[]): string =>
  [
    "# Asking again",
    WRITTEN,
    "An answer can be lost on its way, and the edge waits ten seconds for one. Whoever got none sends the same request " +
      "again: same caller, same idempotency key, same bytes. From any vault of the gateway, also after a restart:",
    table(
      ["request", "the same again"],
      routes.filter(isChange).map((route) => [`\`${route.method} ${route.path}\``, repeatedOf(route)]),
    ),
    "While the first is still under way the answer is 409 `request-in-progress`; another request under a key that was " +
      "used is 422 `idempotency-mismatch`. A refusal has done nothing, and leaves the key free (but for signing requests " +
      "that were decided: [errors.md](errors.md)).",
    "A vault that ends in the instant between an act and the record of its answer leaves an act without one: the same " +
      "request then meets what is there already (`key-exists`, `client-exists`, `key-disabled`, `policy-conflict`, " +
      "`not-frozen`, `lien-exists`), and is done; a changed PIN, a statement or a report is made once more, which does no " +
      "harm. One that ends while the HSM makes a key or a token may leave one there that nobody has recorded: it is never " +
      "used, and its name is taken in the HSM, so `key-exists` or `token-exists` names a thing that the gateway does not " +
      "list. Choose another name.",
    "",
  ].join("\n\n");

const AGAIN: Readonly<Record<Again, string>> = {
  yes: "yes: that is what to do",
  corrected: "nothing was recorded under the key: it is still free",
  final: "answered the same for ever: a new key",
};

const problemRow = ([code, { status, cause, remedy, again, unsigned }]: [string, ProblemKind]): string[] => [
  `\`${code}\``,
  `${status}${unsigned ? " \\*" : ""}`,
  cause,
  remedy,
  AGAIN[again],
  unsigned ? "" : `${rpcCodeOf(code)}`,
];

export const errorsPage = (): string =>
  [
    "# Problems",
    WRITTEN,
    "Every refusal is an RFC 9457 problem: `code` is stable and meant for programs, `detail` and `hint` for people; the " +
      "facts stand beside them. The fifth column answers whether the same request may be sent again with the same " +
      "idempotency key. It always may: a key belongs to one body for ever, and is never worth two signatures. A code that " +
      "is not listed refuses what the payload says (422). \\* Said by the edge, without the vault's signature: whether the " +
      "vault has seen the request is not known from it.",
    "Over JSON-RPC the code stands in `error.data.code`; the last column is `error.code`, of which json-rpc.md says what " +
      "to do. An identity that is not proven, and a body that is no JSON-RPC, are problems there as well, with their HTTP " +
      "status.",
    ...Object.entries(PROBLEM_SECTIONS).flatMap(([title, problems]) => [
      `## ${title}`,
      table(
        ["code", "status", "cause", "what to do", "the same again?", "JSON-RPC"],
        Object.entries(problems).map(problemRow),
      ),
    ]),
    "",
  ].join("\n\n");
