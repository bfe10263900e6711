import assert from "node:assert/strict";
import { createRequire } from "node:module";
import type { ValidateFunction } from "ajv/dist/2020.js";
import type { WireAnswer, WireRequest } from "./wire.ts";

/*
 * An OpenAPI document as another implementation reads it: ajv, of JSON Schema 2020-12, which shares no code with zod. Holds
 * answers, and requests, against what the document says of them.
 */

const require = createRequire(import.meta.url);
const { default: Ajv } = require("ajv/dist/2020.js") as typeof import("ajv/dist/2020.js");
const { default: addFormats } = require("ajv-formats") as typeof import("ajv-formats");

type Content = Readonly<
  Record<string, { readonly schema: object; readonly examples?: Readonly<Record<string, { readonly value: unknown }>> }>
>;
type Parameter = { readonly name: string; readonly in: string; readonly required?: boolean; readonly schema: object };
export type Operation = {
  readonly operationId: string;
  readonly security?: readonly object[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly content: Content }>>;
};
export type ApiDocument = { readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>> };

export class DocumentCheck {
  readonly #document: ApiDocument;
  readonly #ajv: InstanceType<typeof Ajv>;
  readonly #validators = new Map<object, ValidateFunction>();
  /** `operationId status` of every answer that was held against the document. */
  readonly seen = new Set<string>();

  constructor(document: object) {
    this.#document = document as ApiDocument;
    this.#ajv = new Ajv({ strict: true, strictTypes: false, strictRequired: false, allErrors: false });
    addFormats(this.#ajv);
    this.#ajv.addVocabulary(["openapi", "info", "paths", "components", "example"]);
    this.#ajv.addSchema({ ...document, $id: "document" });
  }

  operations(): { path: string; method: string; operation: Operation }[] {
    return Object.entries(this.#document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
    );
  }

  find(method: string, target: string): Operation | undefined {
    const path = target.replace(/\?.*$/s, "");
    return this.operations().find((each) => each.method === method && pattern(each.path).test(path))?.operation;
  }

  /** Whether the document takes this for a request: query and body. */
  takes({ parameters = [], requestBody }: Operation, query: URLSearchParams, body: unknown): boolean {
    const inQuery = parameters.filter((parameter) => parameter.in === "query");
    for (const [name, value] of query) {
      const parameter = inQuery.find((each) => each.name === name);
      if (!parameter || !this.#validator(parameter.schema)(value)) return false;
    }
    return requestBody ? this.#validator(requestBody.content["application/json"]!.schema)(body) : body === undefined;
  }

  /** Of a request that was taken. @throws {AssertionError} one that the document does not know, also in path or headers */
  assertRequest(method: string, target: string, { headers, body }: Pick<WireRequest, "headers" | "body">): void {
    const operation = this.find(method, target);
    const [path, query] = target.split("?", 2) as [string, string?];
    assert.ok(operation, `${method} ${target} is of no operation`);
    if (operation.security?.length === 0) return; // open to everybody, and to whatever they write behind it
    const given = body.length === 0 ? undefined : (JSON.parse(Buffer.from(body).toString()) as unknown);
    assert.ok(this.takes(operation, new URLSearchParams(query), given), `${method} ${target}: ${String(body)}`);
    const template = this.operations()
      .find((each) => each.operation === operation)!
      .path.split("/");
    const inPath = new Map(path.split("/").map((segment, n) => [template[n]?.slice(1, -1), segment]));
    for (const { in: where, name, required, schema } of operation.parameters ?? []) {
      if (where === "query") continue;
      const value = where === "path" ? inPath.get(name) : headers[name.toLowerCase()];
      if (value === undefined && required !== true) continue;
      assert.ok(this.#validator(schema)(value), `${method} ${target}: ${where} ${name} is ${String(value)}`);
    }
  }

  /** @throws {AssertionError} an answer that the document does not know */
  assertAnswer(method: string, target: string, { status, headers, body }: WireAnswer): void {
    const where = `${method} ${target}: ${status}`;
    const operation = this.find(method, target);
    assert.ok(operation, `${where} is of no operation`);
    const answer = operation.responses[String(status)];
    assert.ok(answer, `${where} is not documented: ${body.toString().slice(0, 300)}`);
    const type = (headers["content-type"] ?? "").replace(/;.*/, "");
    const content = answer.content[type];
    assert.ok(content, `${where}: \`${type}\` is not documented`);
    this.seen.add(`${operation.operationId} ${status}`);
    if (!type.endsWith("json")) return;
    const validate = this.#validator(content.schema);
    const found = JSON.parse(body.toString()) as unknown;
    assert.ok(validate(found), `${where}: ${this.#ajv.errorsText(validate.errors)}\n${body.toString().slice(0, 600)}`);
  }

  #validator(schema: object): ValidateFunction {
    let validate = this.#validators.get(schema);
    if (!validate) {
      const text = JSON.stringify(schema).replaceAll('"#/components/', '"document#/components/');
      this.#validators.set(schema, (validate = this.#ajv.compile(JSON.parse(text) as object)));
    }
    return validate;
  }
}

const pattern = (path: string): RegExp =>
  new RegExp(
    `^${path
      .replace(/\{path\}/, ".+")
      .replaceAll(/\{[a-z]+\}/g, "[^/]+")
      .replaceAll(".json", "\\.json")}$`,
  );
