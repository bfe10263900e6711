import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import {
  copyFileSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { seal } from "../../src/cli/evidence/make.ts";
import { fileHash, filesIn, MANIFEST, RECEIPT, type Manifest } from "../../src/cli/evidence/manifest.ts";
import { verifyPack, type PackReport } from "../../src/cli/evidence/verify.ts";
import { receiptFor, recordReport } from "../../src/cli/assurance/gateway-log.ts";
import { LogFacts } from "../../src/cli/assurance/log-facts.ts";
import { transfer } from "../../src/cli/tour.ts";
import { parseVkey } from "../../src/tlog/note.ts";
import type { Report } from "../../src/cli/log/verify.ts";
import { startGateway, type TestGateway } from "../../src/sdk/testing.ts";
import "../support/fixed-seed.ts";
import { run, type Ran } from "../support/program.ts";

// Goal: an auditor has one folder for a period, and checks with the log's key alone that it is whole, unchanged and true.
// Method: a real gateway makes a pack; the one-file program checks it in an empty folder, with Node and nothing else. Bytes
// are changed everywhere; then packs that are wrong from the beginning are recorded, as by an operator who lies.

const AUDITOR_PROGRAM = fileURLToPath(new URL("../../dist/portcullis-audit.cjs", import.meta.url));
const TREASURY = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const BEGIN = new Date("2026-11-20T12:00:00Z");
const HOUR_MS = 3_600_000;
const CLIENTS = ["acme-fund", "blue-harbor"] as const;

const POLICY = `apiVersion: portcullis/v1
kind: ClientPolicy
client: acme-fund
legalBasis: { kind: trust, reference: "Custody agreement of 2026-03-01, section 4" }
version: 1
use: [shared/assets.yaml]
callers:
  payouts: { role: wallet-service, keys: ["ed25519:M6VqVUrtA/kadQU9EtD0ORaImZtOy1kR/HPbKRYegRM="] }
  watcher: { role: observer, keys: ["ed25519:rE+HDdsI1jl4pUTVAqZMhR+1ashqyyHECzFcmYkssJU="] }
addressBook:
  treasury: { address: "eip155:31337:${TREASURY}" }
fee: { ETH-LOCAL: { max: "0.02" } }
rules:
  - { id: payouts, allow: [transfer], from: [hot-1], to: [treasury], amount: { ETH-LOCAL: { max: "10" } } }
limits:
  eth-daily: { sum: ETH-LOCAL, max: "50", window: { rolling: 24h } }
`;

/** The other client is two funds in the same accounts. */
const OMNIBUS = POLICY.replace(
  "client: acme-fund",
  "client: blue-harbor\nomnibus: { subAccounts: [alpha, beta] }",
).replace("{ rolling: 24h }", "{ rolling: 24h }, per: sub-account");

describe("an evidence pack", function () {
  let gateway: TestGateway;
  let folder: string;
  let vkey: string;
  const at = (name: string): string => join(folder, name);
  const auditor = () => ["--as", join(gateway.folder, "callers/house/auditor.json")];
  const period = { from: BEGIN.toISOString(), to: new Date(BEGIN.getTime() + HOUR_MS).toISOString() };
  const ok = async (args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(args);
    assert.equal(code, 0, stdout + stderr);
    return stdout;
  };
  const json = <T>(path: string): T => JSON.parse(readFileSync(at(path), "utf8")) as T;
  const verify = (pack: string): PackReport => verifyPack(pack, parseVkey(vkey), () => undefined);
  const codes = ({ findings }: PackReport): string[] => findings.map(({ code, file }) => `${code} ${file}`);
  const copied = (name: string): string => {
    const copy = at(name);
    rmSync(copy, { recursive: true, force: true });
    cpSync(at("pack"), copy, { recursive: true });
    return copy;
  };

  before(async () => {
    gateway = await startGateway({ policy: [POLICY, OMNIBUS], clock: BEGIN });
    folder = mkdtempSync(join(tmpdir(), "portcullis-evidence-"));
    const observer = gateway.as("acme-fund", "watcher");
    const deposit = {
      ...{
        transaction: `0x${"aa".repeat(32)}`,
        position: "value",
        asset: "ETH-LOCAL",
        amount: String(20n * 10n ** 18n),
      },
      ...{ to: `eip155:31337:${gateway.addresses["acme-fund"]!["hot-1"]!}`, block: 1 },
    };
    await observer.call("POST", "/v1/clients/acme-fund/observations", {
      body: { what: "deposit", deposit },
      idempotencyKey: randomUUID(),
    });
    const payouts = gateway.as("acme-fund", "payouts");
    await payouts.sign("acme-fund", transfer("hot-1", TREASURY, 3n), { idempotencyKey: "one" });
    await assert.rejects(payouts.sign("acme-fund", transfer("hot-1", TREASURY, 11n), { idempotencyKey: "two" }));
    const { clients } = await gateway.as("house", "auditor").get<{ clients: { client: string }[] }>("/v1/clients");
    assert.deepEqual(
      clients.map(({ client }) => client),
      CLIENTS,
    );
    // Within the period somebody comes, another goes.
    const active = await gateway
      .as("house", "auditor")
      .get<{ files: Record<string, string>; entry: string }>("/v1/clients/acme-fund/policy");
    const next = active.files[active.entry]!.replace("version: 1", "version: 2").replace(
      "addressBook:",
      '  alice: { role: approver, keys: ["ed25519:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwE="] }\naddressBook:',
    );
    const changed = join(gateway.folder, "given", "acme-next.yaml");
    writeFileSync(changed, next);
    await ok(["policy", "apply", changed, "--as", join(gateway.folder, "callers/house/officer.json"), "--yes"]);
    await ok(["log", "export", at("first.jsonl"), ...auditor()]);
    vkey = (JSON.parse(readFileSync(at("first.jsonl"), "utf8").split("\n")[0]!) as { header: { key: string } }).header
      .key;
    // It exits with 1: a client's position is below zero in what nobody reported.
    await run(["segregation", "report", ...auditor(), "--out", at("segregation.json")]);
    gateway.advance(2 * HOUR_MS);
    const said = await ok([
      ...["evidence", "pack", "--from", period.from, "--to", period.to, "--out", at("pack"), "--key", vkey],
      ...["--reports", folder, ...auditor()],
    ]);
    assert.match(said, /holds the manifest's hash\nthe log verifies/);
  });
  after(async () => {
    if (folder) rmSync(folder, { recursive: true, force: true });
    await gateway?.stop();
  });

  it("verifies in an empty folder with Node and the log's key alone", async () => {
    const empty = mkdtempSync(join(tmpdir(), "portcullis-auditor-"));
    try {
      copyFileSync(AUDITOR_PROGRAM, join(empty, "portcullis-audit.cjs"));
      const alone = (...args: string[]): Promise<Ran> =>
        new Promise((resolve) =>
          execFile(
            process.execPath,
            ["portcullis-audit.cjs", ...args],
            { cwd: empty, env: {} },
            (error, stdout, stderr) => resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
          ),
        );
      const verified = await alone("evidence", "verify", at("pack"), "--key", vkey);
      assert.deepEqual([verified.code, /the pack verifies$/.test(verified.stdout.trim())], [0, true], verified.stdout);
      // What is in it stands for itself too.
      const { logKeys } = new LogFacts(at("pack/log.jsonl")).genesis as unknown as { logKeys: { statement: string } };
      for (const args of [
        ["log", "verify", join(at("pack"), "log.jsonl"), "--key", vkey],
        ["log", "verify", "--receipt", join(at("pack"), RECEIPT), "--key", vkey],
        ["statement", "verify", join(at("pack"), "statements/acme-fund.json"), "--key", logKeys.statement],
      ]) {
        const ran = await alone(...args);
        assert.equal(ran.code, 0, `${args.join(" ")}\n${ran.stdout}${ran.stderr}`);
      }
      const foreign = vkey.replace(/.{4}$/, "AAAA");
      assert.notEqual((await alone("evidence", "verify", at("pack"), "--key", foreign)).code, 0);
    } finally {
      rmSync(empty, { recursive: true, force: true });
    }
  });

  it("holds what happened in the period, and names what it does not hold", () => {
    assert.equal(verify(at("pack")).ok, true);
    const keys =
      json<{ client: string; keys: { key: string; ceremony: unknown; attributes: unknown }[] }[]>("pack/keys.json");
    assert.deepEqual(
      keys.map(({ client, keys: of }) => [
        client,
        ...of.map(({ key, ceremony, attributes }) => [key, !!ceremony, !!attributes]),
      ]),
      CLIENTS.map((client) => [client, ["hot-1", true, true]]),
    );
    const access = json<{ changes: { of: string; version: number; added: string[]; signedBy: string[] }[] }>(
      "pack/access.json",
    );
    assert.deepEqual(
      access.changes.findLast(({ of }) => of === "acme-fund"),
      {
        ...access.changes.findLast(({ of }) => of === "acme-fund"),
        ...{ version: 2, added: ["alice"], removed: [], changed: [], signedBy: ["officer"] },
      },
    );
    const events = json<{ counts: Record<string, Record<string, number>>; events: { type: string }[] }>(
      "pack/events.json",
    );
    assert.deepEqual([events.counts["acme-fund"]!["signed"], events.counts["acme-fund"]!["denied"]], [1, 1]);
    assert.equal(events.events.filter(({ type }) => type === "key-created").length >= 2, true);
    const reports = json<{ kind: string; file: string | null }[]>("pack/reports.json");
    assert.deepEqual(
      reports.map(({ kind, file }) => [kind, file !== null]),
      [["segregation", true]],
    );
    assert.equal(json<Report>("pack/verification.json").ok, true);
    assert.deepEqual(
      filesIn(at("pack/statements")).filter((path) => path.endsWith(".json")),
      ["acme-fund.json", "blue-harbor.alpha.json", "blue-harbor.beta.json", "blue-harbor.json"],
    );
    assert.match(readFileSync(at("pack/statements/acme-fund.csv"), "utf8"), /credit,ETH-LOCAL,20,/);
    assert.match(readFileSync(at("pack/policies/acme-fund/2/acme-next.yaml"), "utf8"), /alice/);
    const controls = readFileSync(at("pack/controls.md"), "utf8");
    for (const [, file] of controls.matchAll(/`([^`]+)`(?=[,|][^|]*\|)/g))
      assert.equal(
        [...filesIn(at("pack"))].some((path) => path === file || path.startsWith(file!)),
        true,
        `controls.md names ${file}`,
      );
  });

  it("with one byte changed, wherever it is, is refused and the file named", () => {
    const pack = copied("flipped");
    const files = filesIn(pack);
    fc.assert(
      fc.property(
        fc.constantFrom(...files),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        fc.integer({ min: 0, max: 7 }),
        (file, where, bit) => {
          const path = join(pack, file);
          const whole = readFileSync(path);
          const bytes = Buffer.from(whole);
          const place = Math.floor(where * bytes.length);
          bytes[place] = bytes[place]! ^ (1 << bit);
          writeFileSync(path, bytes);
          try {
            const found = codesOrError(() => verify(pack));
            assert.match(
              found,
              new RegExp(file === MANIFEST ? "manifest" : file.replaceAll(".", "\\.")),
              `byte ${place} of ${file}`,
            );
          } finally {
            writeFileSync(path, whole);
          }
        },
      ),
      { numRuns: process.env["SOAK"] ? 3_000 : 150 },
    );
  });

  const codesOrError = (attempt: () => PackReport): string => {
    try {
      const report = attempt();
      assert.equal(report.ok, report.findings.length === 0);
      return codes(report).join("\n");
    } catch (error) {
      return (error as Error).message;
    }
  };

  it("with a link in a file's place is refused", () => {
    const pack = copied("linked");
    rmSync(join(pack, "keys.json"));
    symlinkSync(at("pack/keys.json"), join(pack, "keys.json"));
    assert.deepEqual(codes(verify(pack)), ["file-differs keys.json"]);
  });

  it("is the same pack by whatever way its folder is named", () => {
    for (const name of [
      `${at("pack")}/`,
      relative(process.cwd(), at("pack")),
      `./${relative(process.cwd(), at("pack"))}`,
    ])
      assert.deepEqual(codes(verify(name)), [], name);
  });

  it("with a file missing, added or renamed is refused", () => {
    const pack = copied("files");
    renameSync(join(pack, "keys.json"), join(pack, "keys.bak"));
    assert.deepEqual(codes(verify(pack)), ["file-missing keys.json", "file-unexpected keys.bak"]);
    const swapped = copied("swapped");
    renameSync(join(swapped, "statements/acme-fund.json"), join(swapped, "x"));
    renameSync(join(swapped, "statements/blue-harbor.json"), join(swapped, "statements/acme-fund.json"));
    renameSync(join(swapped, "x"), join(swapped, "statements/blue-harbor.json"));
    assert.deepEqual(codes(verify(swapped)), [
      "file-differs statements/acme-fund.json",
      "file-differs statements/blue-harbor.json",
    ]);
  });

  it("a manifest that the log does not hold, and the manifest of another pack, are refused", () => {
    const pack = copied("manifest");
    const manifest = json<Manifest>("pack/manifest.json");
    const write = (changed: object): void =>
      writeFileSync(join(pack, MANIFEST), JSON.stringify({ ...manifest, ...changed }));
    write({ to: "2027-01-01T00:00:00.000Z" });
    assert.deepEqual(codes(verify(pack)), [`manifest-differs ${MANIFEST}`]);
    const [first, ...others] = manifest.files as [Manifest["files"][number], ...Manifest["files"]];
    write({ files: [{ ...first, sha256: "0".repeat(64) }, first, ...others] });
    assert.deepEqual(codes(verify(pack)), [`manifest-differs ${MANIFEST}`, `file-twice ${first.path}`]);
    write({ files: [{ ...first, bytes: first.bytes + 1 }, ...others] });
    assert.deepEqual(codes(verify(pack)), [`manifest-differs ${MANIFEST}`, `file-differs ${first.path}`]);
    writeFileSync(join(pack, MANIFEST), JSON.stringify(manifest).replace("{", '{"from":"2020-01-01T00:00:00Z",'));
    assert.throws(() => verify(pack), { code: "pack-invalid", message: /each name once/ });
    write({ more: 1 });
    assert.throws(() => verify(pack), { code: "pack-invalid" });
    write({ files: [{ path: "../../etc/passwd", bytes: 1, sha256: "0".repeat(64) }] });
    assert.throws(() => verify(pack), { code: "pack-invalid" });
    rmSync(join(pack, MANIFEST));
    assert.throws(() => verify(pack), { code: "pack-invalid" });
  });

  /** Recorded as it is: what an operator does who wants a wrong pack to be believed. */
  async function resealed(name: string, change: (pack: string) => void): Promise<string[]> {
    const pack = copied(name);
    rmSync(join(pack, MANIFEST));
    rmSync(join(pack, RECEIPT));
    change(pack);
    const facts = new LogFacts(at("pack/log.jsonl"));
    const verification = { ...json<Report>("pack/verification.json"), key: { vkey, from: "given" as const } };
    await seal(gateway.as("house", "auditor"), { folder: pack, period, venueTag: "exchange" }, { facts, verification });
    return codes(verify(pack));
  }

  it("files of another version than the checker's are told apart from lies: the one that made them can say", async () => {
    const pack = copied("older");
    edited("events.json", (text) => `${text}\n`)(pack);
    const { files, ...manifest } = json<Manifest>("pack/manifest.json");
    const same = files.map((file) => ({ ...file, ...fileHash(join(pack, file.path)) }));
    const text = JSON.stringify({ ...manifest, version: "0.0.9", files: same });
    const sha256 = createHash("sha256").update(text).digest("hex");
    const auditor = gateway.as("house", "auditor");
    const { leaf } = await recordReport(auditor, { kind: "evidence", sha256, outcome: "ok", summary: {} });
    writeFileSync(join(pack, MANIFEST), text);
    writeFileSync(join(pack, RECEIPT), await receiptFor(auditor, leaf.index));
    const [found, ...others] = verify(pack).findings;
    assert.deepEqual([found?.code, found?.file, others], ["derived-differs", "events.json", []]);
    assert.match(found!.message, /version 0\.0\.9 .* than 0\.1\.0: ask its checker/);
  });

  const edited =
    (path: string, change: (text: string) => string) =>
    (pack: string): void => {
      const before = readFileSync(join(pack, path), "utf8");
      const after = change(before);
      assert.notEqual(after, before, path);
      writeFileSync(join(pack, path), after);
    };

  const LIES: readonly [what: string, change: (pack: string) => void, found: readonly string[]][] = [
    ["nothing at all", () => undefined, []],
    [
      "an inventory without a key",
      edited("keys.json", (text) => text.replace('"hot-1"', '"hot-9"')),
      ["derived-differs keys.json"],
    ],
    [
      "fewer events",
      edited("events.json", (text) => text.replace('"denied": 1', '"denied": 0')),
      ["derived-differs events.json"],
    ],
    [
      "another policy",
      edited("policies/acme-fund/1/1.yaml", (text) => text.replace('"10"', '"1"')),
      ["derived-differs policies/acme-fund/1/1.yaml"],
    ],
    [
      "no breaches",
      edited("segregation.json", (text) => text.replace('"kind": "trust"', '"kind": "other"')),
      ["derived-differs segregation.json"],
    ],
    [
      "a page that says another amount",
      edited("statements/acme-fund.html", (text) => text.replace("20", "21")),
      ["derived-differs statements/acme-fund.html"],
    ],
    [
      "a statement with another amount",
      edited("statements/acme-fund.json", (text) => text.replace('\\"credits\\":\\"20\\"', '\\"credits\\":\\"21\\"')),
      ["statement-invalid statements/acme-fund.json", "derived-differs statements/acme-fund.html"],
    ],
    [
      "the statement of another client",
      (pack) => copyFileSync(join(pack, "statements/blue-harbor.json"), join(pack, "statements/acme-fund.json")),
      [
        "statement-invalid statements/acme-fund.json",
        "derived-differs statements/acme-fund.csv",
        "derived-differs statements/acme-fund.html",
      ],
    ],
    [
      "the attestation of another client",
      (pack) => copyFileSync(join(pack, "attestations/blue-harbor.json"), join(pack, "attestations/acme-fund.json")),
      ["attestation-invalid attestations/acme-fund.json", "derived-differs segregation.json"],
    ],
    [
      "a file of his own",
      (pack) => writeFileSync(join(pack, "opinion.pdf"), "all is well"),
      ["file-unexpected opinion.pdf"],
    ],
    [
      "a report that was not recorded",
      (pack) => writeFileSync(join(pack, `reports/${"0".repeat(64)}.json`), "{}"),
      [`file-unexpected reports/${"0".repeat(64)}.json`],
    ],
    [
      "a log without its denial",
      edited("log.jsonl", (text) => text.replace(/^.*\\"type\\":\\"denied\\".*\n/m, "")),
      ["log-"],
    ],
  ];
  for (const [what, change, expected] of LIES)
    it(`recorded with ${what}: ${expected.length === 0 ? "verifies" : "refused"}`, async () => {
      const found = await resealed("lie", change);
      if (expected[0] === "log-") assert.match(found[0] ?? "", /^log-\S+ log\.jsonl$/);
      else assert.deepEqual(found, expected);
    });
});
