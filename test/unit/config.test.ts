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
    assert.equal(config.store.sqlite, join(dirname(EXAMPLE), "vault/portcullis.db"));
    assert.equal(config.hsm.environment["SOFTHSM2_CONF"], join(dirname(EXAMPLE), "vault/softhsm/softhsm2.conf"));
    assert.equal(config.edge.tls?.cert, join(dirname(EXAMPLE), "tls/certificate.pem"));
  });

  it("takes no field of another name", () => {
    const misspelt = example();
    misspelt.edge["bodybytes"] = 4096;
    assert.throws(() => read(misspelt), { code: "config-invalid" });
  });
});
