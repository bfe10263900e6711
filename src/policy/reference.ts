import { z } from "zod";
import { AddressBookDocument, AssetRegistryDocument, ClientPolicy, HousePolicy } from "./document.ts";
import { LINTS } from "./lint.ts";

type Schema = {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly required?: readonly string[];
  readonly enum?: readonly (string | boolean)[];
  readonly const?: string;
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, Schema>>;
};

const DOCUMENTS = { ClientPolicy, HousePolicy, AssetRegistry: AssetRegistryDocument, AddressBook: AddressBookDocument };

/** `docs/policy-reference.md`: every field of every document, from the same schemas that read them. */
export function policyReference(): string {
  const sections = Object.entries(DOCUMENTS).map(([name, document]) => {
    const schema = z.toJSONSchema(document, { target: "draft-2020-12", reused: "inline" }) as Schema;
    return [
      `## ${name}`,
      "",
      schema.description ?? "",
      "",
      "| field | value | meaning |",
      "|---|---|---|",
      ...rows(schema, "", schema.$defs ?? {}),
      "",
    ];
  });
  const lints = Object.entries(LINTS).map(([code, meaning]) => `| \`${code}\` | ${meaning} |`);
  return [
    "# Policy reference",
    "",
    "Written by `src/policy/reference.ts` from the schemas that read the documents; a test compares the two. What a policy",
    "means is in `policies/examples/`, which are commented; `policies/schema.json` teaches the same to an editor.",
    "",
    "Fields in bold have to be there. `<name>` stands for a name that the document gives; `[]` for each entry of a list.",
    "",
    ...sections.flat(),
    "## What `policy check` says of a valid document",
    "",
    "| finding | meaning |",
    "|---|---|",
    ...lints,
    "",
  ].join("\n");
}

function rows(schema: Schema, path: string, defs: Readonly<Record<string, Schema>>): string[] {
  const at = (field: string) => (path === "" ? field : `${path}.${field}`);
  const own = Object.entries(schema.properties ?? {}).flatMap(([field, inner]) =>
    fieldRows(inner, at(field), schema.required?.includes(field) ?? false, defs),
  );
  const more =
    typeof schema.additionalProperties === "object"
      ? fieldRows(schema.additionalProperties, at("<name>"), false, defs)
      : [];
  return [...own, ...more];
}

function fieldRows(
  unresolved: Schema,
  path: string,
  required: boolean,
  defs: Readonly<Record<string, Schema>>,
): string[] {
  const schema = resolve(unresolved, defs);
  const shown = required ? `**\`${path}\`**` : `\`${path}\``;
  const row = `| ${shown} | ${cell(valueText(schema, defs))} | ${cell(schema.description ?? "")} |`;
  const branches = (schema.anyOf ?? schema.oneOf ?? []).map((branch) => resolve(branch, defs));
  return [row, ...unique([schema, ...branches].flatMap((branch) => innerRows(branch, path, defs)))];
}

function innerRows(schema: Schema, path: string, defs: Readonly<Record<string, Schema>>): string[] {
  if (!schema.items) return rows(schema, path, defs);
  const item = resolve(schema.items, defs);
  const branches = item.anyOf ?? item.oneOf ?? [item];
  return unique(branches.flatMap((branch) => rows(resolve(branch, defs), `${path}[]`, defs)));
}

/** The branches of a union share fields: each is told once. */
function unique(lines: readonly string[]): string[] {
  const fields = new Map<string, string>();
  for (const line of lines) {
    const field = line.split("|")[1]!.replaceAll("*", "");
    if (!fields.has(field)) fields.set(field, line);
  }
  return [...fields.values()];
}

function resolve(schema: Schema, defs: Readonly<Record<string, Schema>>): Schema {
  const name = schema.$ref?.replace("#/$defs/", "");
  return name === undefined
    ? schema
    : { ...defs[name], ...(schema.description ? { description: schema.description } : {}) };
}

function valueText(schema: Schema, defs: Readonly<Record<string, Schema>>): string {
  if (schema.const !== undefined) return `\`${schema.const}\``;
  if (schema.enum) return [...new Set(schema.enum.map((word) => `\`${String(word)}\``))].join(", ");
  const branches = schema.anyOf ?? schema.oneOf;
  if (branches) return [...new Set(branches.map((branch) => valueText(resolve(branch, defs), defs)))].join(" or ");
  if (schema.items) return `list of ${valueText(resolve(schema.items, defs), defs)}`;
  if (schema.properties || schema.additionalProperties) return "map";
  return Array.isArray(schema.type) && schema.type.includes("integer") ? "whole number" : "text";
}

const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ");
