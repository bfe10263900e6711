import { ROLES } from "../../domain/names.ts";
import { PROBLEM_SECTIONS, type Again, type ProblemKind } from "./problem-list.ts";
import type { Route } from "./routes.ts";

/* `docs/roles.md` and `docs/errors.md`, printed from the route table and the list of problems. */

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
];

export const errorsPage = (): string =>
  [
    "# Problems",
    WRITTEN,
    "Every refusal is an RFC 9457 problem: `code` is stable and meant for programs, `detail` and `hint` for people; the " +
      "facts stand beside them. The last column answers whether the same request may be sent again with the same " +
      "idempotency key. It always may: a key belongs to one body for ever, and is never worth two signatures. A code that " +
      "is not listed refuses what the payload says (422). \\* Said by the edge, without the vault's signature: whether the " +
      "vault has seen the request is not known from it.",
    ...Object.entries(PROBLEM_SECTIONS).flatMap(([title, problems]) => [
      `## ${title}`,
      table(["code", "status", "cause", "what to do", "the same again?"], Object.entries(problems).map(problemRow)),
    ]),
    "",
  ].join("\n\n");
