import { z } from "zod";
import { HealthcheckAnswer, ProblemAnswer, ReadinessAnswer, RefusedRequestAnswer } from "../../domain/answers.ts";
import type { Json } from "../../domain/json.ts";
import { EXAMPLE_ANSWERS } from "./example-answers.ts";
import { EXAMPLES } from "./examples.ts";
import { PROBLEMS, type ProblemCode } from "./problem-list.ts";
import type { CallerRoute, MediaType, OpenRoute, Route } from "./routes.ts";

/*
 * The OpenAPI 3.1 document, printed from the route table, the schemas that read bodies and the list of problems.
 */

type JsonObject = { readonly [key: string]: Json };

export type DocumentOptions = {
  /** For tests: no answer has a field that the document does not name. */
  readonly closedAnswers?: true;
};

/** Of every route that has a caller. */
const ASKING: readonly ProblemCode[] = [
  "invalid-parameter",
  "signature-missing",
  "signature-malformed",
  "signature-components",
  "signature-algorithm",
  "signature-stale",
  "signature-invalid",
  "wrong-gateway",
  "digest-mismatch",
  "unknown-caller",
  "not-permitted",
  "caller-frozen",
  "client-not-found",
];
const CHANGING: readonly ProblemCode[] = ["idempotency-key-missing", "idempotency-key-invalid"];
/** Of every route, whoever asks. */
const ALWAYS: readonly ProblemCode[] = [
  "internal-error",
  "vault-busy",
  "store-unavailable",
  "hsm-unavailable",
  "edge-busy",
  "too-many-requests",
  "wrong-host",
  "body-too-large",
  "headers-too-large",
  "encoding-unsupported",
  "invalid-request",
  "vault-unreachable",
];

const INTRODUCTION = `Every request but those marked as open is signed by its caller (RFC 9421, docs/calling.md), and every
answer of the vault is signed. \`Idempotency-Key\` belongs to one body for ever: the same request again is answered the
same, or finishes what was begun. Problems are RFC 9457; docs/errors.md says of each what to do.`;

export function openApiDocument(routes: readonly Route[], options: DocumentOptions = {}): JsonObject {
  const schemas = new Schemas(options);
  const paths: Record<string, JsonObject> = { ...machinesPaths(schemas) };
  for (const route of routes) {
    const path = route.path.replaceAll("*}", "}");
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(route, schemas) };
  }
  return {
    openapi: "3.1.0",
    info: { title: "Portcullis", version: "1", description: INTRODUCTION, license: { name: "Apache-2.0" } },
    paths,
    components: { schemas: schemas.named(), securitySchemes: { caller: CALLER } },
  };
}

const CALLER = {
  type: "http",
  scheme: "signature",
  description:
    "RFC 9421 over @method, @path, @query, content-digest and, on POST and PUT, idempotency-key; docs/calling.md",
};

/** Answered without the route table: by whom machines ask how it is. */
const machinesPaths = (schemas: Schemas): Record<string, JsonObject> => ({
  "/livez": {
    get: {
      summary: "the edge lives",
      operationId: "getLivez",
      security: [],
      responses: { 200: json("it does", { type: "object", properties: { status: { const: "live" } } }) },
    },
  },
  "/readyz": {
    get: {
      summary: "how the gateway is",
      operationId: "getReadyz",
      security: [],
      responses: {
        200: json("it signs for one client at least", schemas.answer(ReadinessAnswer)),
        503: json("it does not; `status` says why", schemas.answer(ReadinessAnswer)),
      },
    },
  },
  "/upcheck": {
    get: {
      summary: "Web3Signer: the vault lives",
      operationId: "getUpcheck",
      security: [],
      responses: { 200: json("it does", { type: "string" }, "text/plain") },
    },
  },
  "/healthcheck": {
    get: {
      summary: "Web3Signer: how the gateway is",
      operationId: "getHealthcheck",
      security: [],
      responses: {
        200: json("it signs for one client at least", schemas.answer(HealthcheckAnswer)),
        503: json("it does not", schemas.answer(HealthcheckAnswer)),
      },
    },
  },
});

function operation(route: Route, schemas: Schemas): JsonObject {
  const name = operationId(route);
  return {
    operationId: name,
    summary: route.summary,
    ...(isOpen(route)
      ? { security: [] }
      : { security: [{ caller: [] }], description: `Roles: ${route.roles.join(", ")}.` }),
    parameters: parametersOf(route, schemas),
    ...requestBodyOf(route, schemas, name),
    responses: { ...answersOf(route, schemas, name), ...problemsOf(route, schemas, name) },
  };
}

const isOpen = (route: Route): route is OpenRoute => route.roles === "anyone";

/** `POST /v1/clients/{client}/signing-requests/{id}/approvals` → `postClientsClientSigningRequestsIdApprovals`. */
const operationId = ({ method, path }: Route): string =>
  [method.toLowerCase(), ...path.split(/[^A-Za-z0-9]+/).filter((word) => word !== "" && word !== "v1")]
    .map((word, index) => (index === 0 ? word : word[0]!.toUpperCase() + word.slice(1)))
    .join("");

const NAMED = { client: "^[a-z0-9-]{1,24}$", id: "^[0-9a-f]{32}$", key: "^[a-z0-9-]{1,24}$" } as const;
const ANY = "^[A-Za-z0-9./-]{1,128}$";

function parametersOf(route: Route, schemas: Schemas): JsonObject[] {
  const inPath = [...route.path.matchAll(/\{([a-z]+)\*?\}/g)].map(([, name]) => ({
    name: name!,
    in: "path",
    required: true,
    schema: { type: "string", pattern: NAMED[name as keyof typeof NAMED] ?? ANY },
  }));
  if (isOpen(route)) return inPath;
  const { properties = {} } = (route.query ? schemas.request(route.query) : {}) as { properties?: JsonObject };
  const inQuery = Object.entries(properties).map(([name, schema]) => ({ name, in: "query", schema }));
  return [...inPath, ...inQuery, ...headersOf(route)];
}

const header = (name: string, required: boolean, schema: JsonObject, description: string): JsonObject => ({
  name,
  in: "header",
  required,
  schema,
  description,
});

/** Not required by the document: a request without them is answered by a problem that says which is missing. */
const headersOf = (route: CallerRoute): JsonObject[] => [
  ...(isChange(route)
    ? [
        header(
          "Idempotency-Key",
          true,
          { type: "string", minLength: 1, maxLength: 128, pattern: "^[\\x21-\\x7e]+$" },
          "one for each thing that is wanted, kept until there is a final answer",
        ),
      ]
    : []),
  header("Content-Digest", true, { type: "string" }, "`sha-256=:…:` of the body, also of an empty one (RFC 9530)"),
  header("Signature-Input", true, { type: "string", maxLength: 1024 }, "RFC 9421"),
  header("Signature", true, { type: "string" }, "RFC 9421"),
];

const isChange = ({ method, dryRun }: CallerRoute): boolean => method !== "GET" && dryRun === undefined;

function requestBodyOf(route: Route, schemas: Schemas, name: string): JsonObject {
  if (isOpen(route) || !route.body) return {};
  return { requestBody: { required: true, content: { "application/json": withExamples(route.body, schemas, name) } } };
}

function withExamples(body: z.ZodType, schemas: Schemas, name: string): JsonObject {
  const examples = Object.entries(EXAMPLES[name] ?? {}).map(([title, value]) => [title, { value }]);
  const schema = schemas.request(body);
  return examples.length === 0 ? { schema } : { schema, examples: Object.fromEntries(examples) as JsonObject };
}

const json = (description: string, schema: JsonObject, type = "application/json", example?: Json): JsonObject => ({
  description,
  content: { [type]: { schema, ...(example === undefined ? {} : { examples: { recorded: { value: example } } }) } },
});

const recorded = (name: string, status: string): Json | undefined => EXAMPLE_ANSWERS[`${name} ${status}`];

const MEANING: Readonly<Record<number, string>> = {
  200: "it is so",
  201: "it was done",
  202: "not yet: `state` and `hint` say what to do",
};

const isMediaType = (of: z.ZodType | MediaType): of is MediaType => typeof of === "string";

const answersOf = ({ answers }: Route, schemas: Schemas, name: string): Record<string, JsonObject> =>
  Object.fromEntries(
    Object.entries(answers).map(([status, of]) => [
      status,
      isMediaType(of)
        ? { description: MEANING[Number(status)]!, content: { [of.replace(/; .*/, "")]: { schema: bytesSchema(of) } } }
        : json(MEANING[Number(status)]!, schemas.answer(of), "application/json", recorded(name, status)),
    ]),
  );

const bytesSchema = (of: MediaType): JsonObject => (of.startsWith("text/") ? { type: "string" } : {});

/** By status: the codes that it may come with. */
function problemsOf(route: Route, schemas: Schemas, name: string): Record<string, JsonObject> {
  const byStatus = new Map<number, ProblemCode[]>();
  for (const code of new Set(codesOf(route))) {
    const { status } = PROBLEMS[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus]
      .toSorted(([one], [other]) => one - other)
      .map(([status, codes]) => {
        const description = codes.map((code) => `\`${code}\``).join(", ");
        const schema = schemas.answer(problemSchema(route));
        const example = recorded(name, String(status));
        return [String(status), json(description, schema, "application/problem+json", example)];
      }),
  );
}

function codesOf(route: Route): readonly ProblemCode[] {
  if (isOpen(route)) return [...(route.problems ?? []), ...ALWAYS];
  const body: readonly ProblemCode[] = ["invalid-body"];
  return [...(route.problems ?? []), ...ASKING, ...body, ...(isChange(route) ? CHANGING : []), ...ALWAYS];
}

/** What ends a signing request says which. */
const problemSchema = (route: Route): z.ZodType =>
  (route.problems ?? []).includes("denied-by-policy") ? RefusedRequestAnswer : ProblemAnswer;

/** Schemas by reference where they have an id, in place where they have none. */
class Schemas {
  readonly #options: DocumentOptions;
  readonly #named = new Map<string, JsonObject>();

  constructor(options: DocumentOptions) {
    this.#options = options;
  }

  request(schema: z.ZodType): JsonObject {
    return this.#print(schema, "input");
  }

  answer(schema: z.ZodType): JsonObject {
    // Printed as an input, an object is open: that is what a client has to expect.
    return this.#print(schema, this.#options.closedAnswers ? "output" : "input");
  }

  named = (): JsonObject => Object.fromEntries([...this.#named].toSorted(([one], [other]) => (one < other ? -1 : 1)));

  #print(schema: z.ZodType, io: "input" | "output"): JsonObject {
    const printed = z.toJSONSchema(schema, { target: "draft-2020-12", io, unrepresentable: "any" });
    const { $schema: _, $defs = {}, ...root } = printed as { $schema?: string; $defs?: Record<string, JsonObject> };
    for (const [name, definition] of Object.entries($defs)) this.#named.set(name, cleaned(definition));
    const { id, ...own } = cleaned(root);
    if (typeof id !== "string") return own;
    this.#named.set(id, own);
    return { $ref: `#/components/schemas/${id}` };
  }
}

/** References go to where OpenAPI keeps schemas; ids are names there, and no keyword. */
function cleaned(schema: JsonObject): JsonObject {
  const text = JSON.stringify(schema).replaceAll('"#/$defs/', '"#/components/schemas/');
  const { id, ...rest } = JSON.parse(text) as { id?: string } & JsonObject;
  return typeof id === "string" && "$ref" in rest === false ? { ...rest, id } : rest;
}
