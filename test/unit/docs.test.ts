import { strict as assert } from "node:assert";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ROLES } from "../../src/domain/names.ts";
import { ROUTES } from "../../src/vault/api/routes.ts";
import { authenticate } from "../../src/vault/auth/authenticate.ts";

// Goal: what the documentation shows is what the program does.
// Method: the pages are read as text; the worked example goes through the vault's own verification, tables and links are
// compared with what they speak of.

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
const LIFE = read("docs/life-of-a-signing-request.md");

/** Blocks without a language, in order: the worked example's body, signature base and request. */
const blocks = [...LIFE.matchAll(/^```(\w*)\n([^]*?)\n```$/gm)].filter(([, language]) => language === "");

/** Of RFC 9421, appendix B.1.4. */
const TEST_KEY = "ed25519:JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=";

describe("documentation", () => {
  it("the worked example of a signed request is accepted, and with another body it is not", () => {
    const [body, , request] = blocks.map(([, , text]) => text!);
    const [line, ...headerLines] = request!.split("\n");
    const headers = Object.fromEntries(
      headerLines.map((header) => {
        const colon = header.indexOf(": ");
        return [header.slice(0, colon).toLowerCase(), header.slice(colon + 2)] as const;
      }),
    );
    const [method, target] = line!.split(" ");
    const check = (sent: string) =>
      authenticate(
        { method: method!, target: target!, headers, body: Buffer.from(sent) },
        "acme-custody",
        () => ({ role: "wallet-service", keys: [TEST_KEY], of: "acme-fund" as never }),
        Date.parse("2026-11-20T12:00:00Z"),
      );
    assert.equal(check(body!).name, "payouts");
    assert.throws(() => check(body!.replace("hot-1", "hot-2")), { code: "digest-mismatch" });
  });

  it("the table of paths has every route with its roles", () => {
    const rows = [...LIFE.matchAll(/^\| (GET|POST|PUT) +\| `(\/v1[^`]*)` +\| (.*?) +\|$/gm)].map(
      ([, method, path, roles]) =>
        `${method} ${path} ${roles === "every role" ? ROLES.join(", ") : roles!.replace(" (its own)", "")}`,
    );
    assert.deepEqual(
      rows.sort(),
      ROUTES.map(({ method, path, roles }) => `${method} ${path} ${roles.join(", ")}`).sort(),
    );
  });

  it("decision 17 names every package", () => {
    const text = read("docs/decisions/0017-dependencies.md");
    const { dependencies, devDependencies } = JSON.parse(read("package.json")) as Record<
      string,
      Record<string, string>
    >;
    const missing = Object.keys({ ...dependencies, ...devDependencies }).filter(
      (name) => !text.includes(`\`${name}\``),
    );
    assert.deepEqual(missing, []);
  });

  it("tests and files that the pages name are there", () => {
    const pages = [
      "README.md",
      "softhsm/README.md",
      ...readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" })
        .filter((name) => name.endsWith(".md"))
        .map((name) => `docs/${name}`),
    ];
    const missing = pages.flatMap((page) => {
      const text = read(page);
      const links = [...text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)].map(([, to]) =>
        resolve(ROOT, dirname(page), to!),
      );
      const tests = [...text.matchAll(/`(test\/[\w/.-]+\.ts)`/g)].map(([, path]) => join(ROOT, path!));
      return [...links, ...tests].filter((path) => !existsSync(path)).map((path) => `${page}: ${path}`);
    });
    assert.deepEqual(missing, []);
  });
});
