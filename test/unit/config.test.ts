import { strict as assert } from "node:assert";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse, stringify } from "yaml";
import { readConfig } from "../../src/config.ts";

// Goal: portcullis.example.yaml is a configuration, shows every field, and says the defaults as they are.
// Method: it is read as `serve` reads it; what remains of it without its optional fields must come out the same.

const EXAMPLE = fileURLToPath(new URL("../../portcullis.example.yaml", import.meta.url));
type Section = Record<string, unknown>;
type Example = Record<"hsm" | "store" | "vault" | "edge", Section> & { gateway: string; log?: Section };
const example = () => parse(readFileSync(EXAMPLE, "utf8")) as Example;

/** Every path of fields, such as `edge.tls.cert`; free names inside `hsm.environment` are no fields. */
function fieldsOf(value: unknown, path = ""): string[] {
  if (typeof value !== "object" || value === null || path === "hsm.environment") return [path];
  return Object.entries(value).flatMap(([name, inside]) => fieldsOf(inside, path === "" ? name : `${path}.${name}`));
}

describe("portcullis.example.yaml", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "portcullis-config-"))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const read = (document: unknown) => {
    const path = join(folder, "portcullis.yaml");
    writeFileSync(path, stringify(document));
    return readConfig(path);
  };

  it("is read, and shows every field that a configuration has", () => {
    const config = readConfig(EXAMPLE);
    assert.deepEqual(fieldsOf(example()).sort(), fieldsOf(config).sort());
    assert.ok(fieldsOf(example()).includes("edge.tls.cert"), "the one field without a default that may be left out");
  });

  it("says each default as it is", () => {
    const shortened = example();
    for (const name of ["sessionsPerToken", "queueLimit", "hangSeconds"]) delete shortened.hsm[name];
    shortened.edge = {};
    delete shortened.log;
    const whole = example();
    for (const name of ["tls", "admin"]) delete whole.edge[name];
    assert.deepEqual(read(shortened), read(whole));
  });

  it("names paths relative to the file", () => {
    const config = readConfig(EXAMPLE);
    assert.deepEqual(config.store, { sqlite: join(dirname(EXAMPLE), "vault/portcullis.db") });
    assert.equal(config.hsm.environment["SOFTHSM2_CONF"], join(dirname(EXAMPLE), "vault/softhsm/softhsm2.conf"));
    assert.equal(config.edge.tls?.cert, join(dirname(EXAMPLE), "tls/certificate.pem"));
  });

  describe("a store in PostgreSQL", () => {
    /** The example with its comment about PostgreSQL taken at its word. */
    const commented = (): Section => {
      const block = /^ {2}# postgres:\n(?: {2}# {3}.*\n)+/m.exec(readFileSync(EXAMPLE, "utf8"))![0];
      return parse(block.replaceAll(/^ {2}# /gm, "")) as Section;
    };
    const withStore = (store: unknown) => ({ ...example(), store });

    it("is shown whole in a comment, with paths relative to the file", () => {
      const { store, log } = read({ ...withStore(commented()), log: {} });
      assert.deepEqual(fieldsOf(commented()).sort(), fieldsOf(store).sort());
      const { passwordFile, tls } = (store as { postgres: { passwordFile: string; tls: { ca: string } } }).postgres;
      assert.deepEqual(
        [passwordFile, tls.ca],
        [join(folder, "vault/postgres.password"), join(folder, "tls/postgres-ca.pem")],
      );
      assert.equal(log.anchor, join(folder, "acme-custody.anchor"));
    });

    const local = { host: "/run/postgresql", database: "portcullis", user: "portcullis" };
    for (const [what, store] of [
      ["both stores", { sqlite: "./a.db", postgres: local }],
      ["no store", {}],
      ["TCP without TLS", { postgres: { ...local, host: "db.example" } }],
      ["TLS and its opposite", { postgres: { ...local, host: "db.example", tls: {}, unencrypted: true } }],
      ["a password", { postgres: { ...local, password: "secret" } }],
      ["a URL as host", { postgres: { ...local, host: "postgresql://user:secret@db.example" } }],
    ] as const)
      it(`refuses ${what}`, () => assert.throws(() => read(withStore(store)), { code: "config-invalid" }));

    it("may be reached over TCP without TLS where that is said", () => {
      const postgres = { ...local, host: "127.0.0.1", unencrypted: true };
      assert.deepEqual(read(withStore({ postgres })).store, { postgres: { ...postgres, port: 5432, readers: 8 } });
    });
  });

  it("takes no field of another name", () => {
    const misspelt = example();
    misspelt.edge["bodybytes"] = 4096;
    assert.throws(() => read(misspelt), { code: "config-invalid" });
  });
});
