// Goal: whoever follows docs/calling.md is understood: its worked example verifies, and its programs, in other languages
// with other libraries, get a signature.
// Method: the page's own text; OpenSSL over the base that it shows; Python and Go as Debian has them.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash, createPublicKey, verify } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { ClientId } from "../../src/domain/names.ts";
import { authenticate } from "../../src/vault/auth/authenticate.ts";
import { served, type ServedVault } from "../support/served-vault.ts";
import { testVault, type TestVault } from "../support/vault.ts";

const PAGE = readFileSync(new URL("../../docs/calling.md", import.meta.url), "utf8");
const blocks = (language: string): string[] =>
  [...PAGE.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\\n\`\`\``, "g"))].map(([, text]) => text!);
const DECLARED = /declares `(ed25519:[^`]+)`/.exec(PAGE)![1]!;

/** Where Debian puts Python; another one, first in the path, has other packages. */
const PYTHON = "/usr/bin/python3";

describe("docs/calling.md", function () {
  // Go from 1.20 on compiles its standard library for the first program.
  let vault: TestVault;
  let gateway: ServedVault;
  let folder: string;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-calling-"));
    vault = await testVault();
    gateway = await served(vault);
    const caller = { ...vault.callers.get("payouts")!, client: "acme", url: gateway.url };
    writeFileSync(join(folder, "payouts.json"), JSON.stringify(caller));
  });
  after(async () => {
    await gateway.close();
    await vault.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const [head, body] = blocks("http")[0]!.split("\n\n") as [string, string];
  const headers = Object.fromEntries(
    head
      .split("\n")
      .slice(1)
      .map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 2)]),
  );

  it("the worked example: OpenSSL verifies the signature over the base as it stands there", () => {
    const [base] = blocks("signature-base");
    const key = createPublicKey({
      key: { kty: "OKP", crv: "Ed25519", x: Buffer.from(DECLARED.slice(8), "base64").toString("base64url") },
      format: "jwk",
    });
    const signature = Buffer.from(/:(.*):/.exec(headers["signature"]!)![1]!, "base64");
    assert.ok(verify(null, Buffer.from(base!), key, signature));
    assert.equal(headers["content-digest"], `sha-256=:${createHash("sha256").update(body).digest("base64")}:`);
  });

  it("the worked example is its caller's to the vault, at that moment and for that gateway", async () => {
    const [method, target] = head.split(" ") as [string, string];
    const request = { method, target, headers, body: Buffer.from(body) };
    const declared = () => ({ role: "wallet-service", keys: [DECLARED], of: "acme" as ClientId }) as const;
    const caller = await authenticate(request, "acme-custody", declared, 1_800_000_000_000);
    assert.equal(caller.name, "payouts");
    await assert.rejects(authenticate(request, "acme-staging", declared, 1_800_000_000_000), { code: "wrong-gateway" });
  });

  const run = async (program: string, args: string[], env: NodeJS.ProcessEnv = {}): Promise<string> => {
    const { stdout } = await promisify(execFile)(program, args, { cwd: folder, env: { ...process.env, ...env } });
    return stdout;
  };

  it("the Python program gets a signature", async () => {
    writeFileSync(join(folder, "call.py"), blocks("python")[0]!);
    assert.equal(await run(PYTHON, ["call.py", "payouts.json"]), "signed\n");
  });

  it("the Go program gets a signature", async () => {
    writeFileSync(join(folder, "call.go"), blocks("go")[0]!);
    const env = { GO111MODULE: "off", GOFLAGS: "", GOCACHE: join(folder, "cache"), GOPATH: folder };
    const said = await run("go", ["run", "call.go", "payouts.json"], env);
    assert.match(said, /^201 \{.*"state":"signed"/);
  });

  it("each program is as short as it says: what signs is some twenty lines", () => {
    for (const language of ["python", "go"]) {
      const lines = blocks(language)[0]!
        .split("\n")
        .filter((line) => line.trim() !== "");
      assert.ok(lines.length <= 32, `${language}: ${lines.length}`);
    }
  });
});
