import { createHash } from "node:crypto";

/*
 * `/docs`: the OpenAPI document as one page to read. Made here from what the vault prints: no script, no picture, nothing
 * from anywhere else.
 */

type Schema = { readonly $ref?: string; readonly [keyword: string]: unknown };
type Content = Readonly<
  Record<string, { readonly schema?: Schema; readonly examples?: Readonly<Record<string, { value: unknown }>> }>
>;
type Operation = {
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly parameters?: readonly {
    name: string;
    in: string;
    required?: boolean;
    description?: string;
    schema?: Schema;
  }[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: Content }>>;
};
export type OpenApi = {
  readonly info: { readonly title: string; readonly description?: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components?: { readonly schemas?: Readonly<Record<string, Schema>> };
};

const STYLE = `
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24; background: #fff }
h2 { margin-top: 2.5rem; border-top: 1px solid #d0d7de; padding-top: 1rem; font: 600 1rem ui-monospace, monospace }
h2 b { color: #0550ae }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #eaeef2 }
pre { background: #f6f8fa; padding: .8rem; overflow-x: auto; font-size: .85rem }
code { font-family: ui-monospace, monospace; font-size: .9em }
details { margin: .4rem 0 }
@media (prefers-color-scheme: dark) { body { color: #e6edf3; background: #0d1117 } pre { background: #161b22 } h2 b { color: #79c0ff } td, th, h2 { border-color: #30363d } a { color: #79c0ff } }
`;

/** Nothing runs and nothing is fetched; the one style is the one above. */
export const DOCS_POLICY = `default-src 'none'; style-src 'sha256-${createHash("sha256").update(STYLE).digest("base64")}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};
const escaped = (text: unknown): string => String(text).replace(/[&<>"']/g, (character) => ESCAPES[character]!);
/** Backticks are the only markup that descriptions have. */
const prose = (text: string): string => escaped(text).replace(/`([^`]*)`/g, "<code>$1</code>");
const block = (value: unknown): string => `<pre>${escaped(JSON.stringify(value, undefined, 2))}</pre>`;
const folded = (title: string, inside: string): string =>
  `<details><summary>${prose(title)}</summary>${inside}</details>`;

export function docsPage({ info, paths, components }: OpenApi): string {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => section(method, path, operation)),
  );
  const schemas = Object.entries(components?.schemas ?? {}).map(
    ([name, schema]) => `<h3 id="schema-${escaped(name)}">${escaped(name)}</h3>${block(schema)}`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escaped(info.title)} API</title><style>${STYLE}</style></head><body>
<h1>${escaped(info.title)} API</h1><p>${prose(info.description ?? "")}</p>
<p>The same for programs: <a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1).</p>
${operations.join("\n")}<h2>Schemas</h2>${schemas.join("\n")}</body></html>
`;
}

const section = (method: string, path: string, operation: Operation): string =>
  [
    `<h2 id="${escaped(operation.operationId)}"><b>${escaped(method.toUpperCase())}</b> ${escaped(path)}</h2>`,
    `<p>${prose(operation.summary)}. ${prose(operation.description ?? "")}</p>`,
    parameters(operation),
    ...Object.entries(operation.requestBody?.content ?? {}).map(([type, content]) => body(type, content)),
    answers(operation),
  ].join("\n");

function parameters({ parameters: all = [] }: Operation): string {
  const rows = all.map(
    ({ name, in: place, required, description = "" }) =>
      `<tr><td><code>${escaped(name)}</code></td><td>${escaped(place)}${required ? ", required" : ""}</td><td>${prose(description)}</td></tr>`,
  );
  return rows.length === 0 ? "" : folded("parameters", `<table>${rows.join("")}</table>`);
}

function body(type: string, { schema, examples = {} }: Content[string]): string {
  const shown = Object.entries(examples).map(([title, { value }]) => folded(`example: ${title}`, block(value)));
  return [folded(`body: ${type}`, described(schema)), ...shown].join("\n");
}

function answers({ responses }: Operation): string {
  const rows = Object.entries(responses).map(([status, { description, content = {} }]) => {
    const types = Object.entries(content).flatMap(([type, { schema, examples = {} }]) => [
      folded(`\`${type}\``, described(schema)),
      ...Object.values(examples).map(({ value }) => folded("an answer, as it was recorded", block(value))),
    ]);
    return `<tr><td>${escaped(status)}</td><td>${prose(description)}${types.join("")}</td></tr>`;
  });
  return `<table>${rows.join("")}</table>`;
}

function described(schema: Schema | undefined): string {
  const name = /^#\/components\/schemas\/([A-Za-z]+)$/.exec(schema?.$ref ?? "")?.[1];
  if (name === undefined) return block(schema ?? {});
  return `<p><a href="#schema-${escaped(name)}">${escaped(name)}</a></p>`;
}
