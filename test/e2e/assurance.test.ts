import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { verifyMessage } from "ethers";
import { verifyMessage as viemVerifies, type Hex } from "viem";
import type { ControlBundle } from "../../src/custody/control-proof.ts";
import type { LiabilityProof } from "../../src/custody/liabilities.ts";
import type { SegregationReport } from "../../src/cli/assurance/segregation.ts";
import { transfer } from "../../src/cli/tour.ts";
import { controlText } from "../../src/domain/control.ts";
import { RefusedError } from "../../src/sdk/client.ts";
import { startGateway, type TestGateway } from "../../src/sdk/testing.ts";
import { startAnvil, type Anvil } from "../support/anvil.ts";
import { run } from "../support/program.ts";

// Goal: that clients' assets are apart, under control and all counted can be checked by others, with public keys alone.
// Method: the whole gateway and a real node; everything is verified from files, and refused once a byte of it is another.

const TREASURY = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const VENUE = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
const ETHER = 10n ** 18n;
const BEGIN = new Date("2026-11-20T12:00:00Z");
const CHALLENGE = "auditor-2026.11_20-0001";
const CHAIN = "eip155:31337";

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
  treasury: { address: "${CHAIN}:${TREASURY}" }
  venue: { address: "${CHAIN}:${VENUE}", tags: [exchange] }
fee: { ETH-LOCAL: { max: "0.02" } }
rules:
  - { id: payouts, allow: [transfer], from: [hot-1], to: [treasury, venue], amount: { ETH-LOCAL: { max: "10" } } }
  - { id: control, allow: [message], format: [control] }
limits:
  eth-daily: { sum: ETH-LOCAL, max: "50", window: { rolling: 24h } }
`;

describe("assurance for others", function () {
  let gateway: TestGateway;
  let node: Anvil;
  let folder: string;
  let vkey: string;
  const CLIENTS = ["acme-fund", "blue-harbor"] as const;
  const at = (name: string): string => join(folder, name);
  const callerFile = (client: string, caller: string) => join(gateway.folder, "callers", client, `${caller}.json`);
  const auditor = () => ["--as", callerFile("house", "auditor")];
  const accountOf = (client: string) => `${CHAIN}:${gateway.addresses[client]!["hot-1"]!}`;
  const post = (client: string, caller: string, path: string, body: unknown): Promise<unknown> =>
    gateway
      .as(CLIENTS.includes(caller as never) ? caller : caller === "operator" ? "house" : client, caller)
      .call("POST", `/v1/clients/${client}/${path}`, { body, idempotencyKey: randomUUID() });
  const deposit = (client: string, amount: bigint, byte: string) =>
    post(client, "watcher", "observations", {
      what: "deposit",
      deposit: {
        transaction: `0x${byte.repeat(32)}`,
        position: "value",
        asset: "ETH-LOCAL",
        amount: String(amount),
        to: accountOf(client),
        block: 1,
      },
    });
  const ok = async (args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(args);
    assert.equal(code, 0, stdout + stderr);
    return stdout;
  };
  const refused = async (args: readonly string[], why: RegExp): Promise<void> => {
    const { code, stdout, stderr } = await run(args);
    assert.deepEqual([code, why.test(stdout + stderr)], [1, true], `${args.join(" ")}\n${stdout}${stderr}`);
  };
  const json = <T>(path: string): T => JSON.parse(readFileSync(path, "utf8")) as T;
  const write = (path: string, value: unknown): string => {
    writeFileSync(path, JSON.stringify(value));
    return path;
  };
  const rpc = async (method: string, params: unknown[]): Promise<unknown> =>
    (
      (await (
        await fetch(node.url, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
        })
      ).json()) as { result: unknown }
    ).result;

  before(async () => {
    [node, gateway] = await Promise.all([
      startAnvil(),
      startGateway({ policy: POLICY, clients: [...CLIENTS], clock: BEGIN }),
    ]);
    folder = mkdtempSync(join(tmpdir(), "portcullis-assurance-"));
    await deposit("acme-fund", 20n * ETHER, "aa");
    await deposit("blue-harbor", 7n * ETHER, "bb");
    await gateway.as("acme-fund", "payouts").sign("acme-fund", transfer("hot-1", VENUE, 3n), { idempotencyKey: "one" });
    for (const [client, amount] of [
      ["acme-fund", 17n * ETHER],
      ["blue-harbor", 6n * ETHER],
    ] as const)
      await rpc("anvil_setBalance", [gateway.addresses[client]!["hot-1"], `0x${amount.toString(16)}`]);
    await rpc("anvil_mine", ["0x80"]);
    await ok(["log", "export", at("first.jsonl"), ...auditor()]);
    vkey = (JSON.parse(readFileSync(at("first.jsonl"), "utf8").split("\n")[0]!) as { header: { key: string } }).header
      .key;
  });
  after(async () => {
    if (folder) rmSync(folder, { recursive: true, force: true });
    await gateway?.stop();
    await node?.stop();
  });

  describe("proof of control", () => {
    const prove = (...more: string[]) =>
      ok([
        "prove-control",
        ...["--challenge", CHALLENGE, "--node", `${CHAIN}=${node.url}`, "--out", at("control.json")],
        ...CLIENTS.flatMap((client) => ["--as", callerFile(client, "payouts")]),
        ...more,
      ]);

    it("every key of both clients signs its own text; ethers and viem find its address", async () => {
      await post("acme-fund", "operator", "keys", { name: "raw-1", chains: [], purpose: "raw", curve: "p256" });
      await prove();
      const { proofs, notCovered } = json<ControlBundle>(at("control.json"));
      assert.deepEqual(new Set(proofs.map(({ client }) => client)), new Set(CLIENTS));
      for (const { account, text, signature } of proofs) {
        const address = account.split(":")[2]! as Hex;
        assert.equal(verifyMessage(text, signature!), address);
        assert.ok(await viemVerifies({ address, message: text, signature: signature as Hex }));
        assert.ok(text.startsWith(`Portcullis proof of control v1\nchallenge: ${CHALLENGE}\n`));
      }
      assert.deepEqual(
        notCovered.map(({ key, why }) => [key, why]),
        [["raw-1", "it signs raw digests only, never a text"]],
      );
    });

    it("is verified elsewhere with the log's key, the challenge and a node; changed, it is refused", async () => {
      const checks = ["--challenge", CHALLENGE, "--key", vkey, "--node", `${CHAIN}=${node.url}`];
      const said = await ok(["prove-control", "verify", at("control.json"), ...checks]);
      assert.match(said, /^verified: [0-9]+ accounts/);
      assert.doesNotMatch(said, /not checked/);
      const bundle = json<ControlBundle>(at("control.json"));
      const other = write(at("changed.json"), {
        ...bundle,
        proofs: bundle.proofs.map((p) => ({ ...p, client: "acme-fund" })),
      });
      await refused(["prove-control", "verify", other, ...checks], /control-invalid: expected a proof of/);
      const root = bundle.checkpoint.split("\n")[2]!;
      const [left] = bundle.notCovered as [ControlBundle["notCovered"][number]];
      const verdict = write(at("changed.json"), {
        ...bundle,
        notCovered: [{ ...left, why: "no\nverified: 9 accounts" }],
      });
      await refused(["prove-control", "verify", verdict, ...checks], /one line without control characters/);
      const unsigned = write(
        at("changed.json"),
        JSON.parse(JSON.stringify(bundle).replaceAll(root, `${"A".repeat(43)}=`)),
      );
      await refused(["prove-control", "verify", unsigned, ...checks], /signature-invalid/);
      await refused(
        ["prove-control", "verify", at("control.json"), "--challenge", "somebody-elses-0001"],
        /another one/,
      );
    });

    it("with nothing to prove, or a challenge that is none, the bundle that is there stays", async () => {
      const before = readFileSync(at("control.json"), "utf8");
      const prove = (challenge: string, ...more: string[]) =>
        [
          "prove-control",
          "--challenge",
          challenge,
          "--as",
          callerFile("acme-fund", "payouts"),
          "--out",
          at("control.json"),
        ].concat(more);
      await refused(prove(CHALLENGE), /expected an account to prove, found none \(acme-fund hot-1: no block of/);
      await refused(prove("short", "--node", `${CHAIN}=${node.url}`), /challenge-invalid: expected a challenge of 16/);
      assert.equal(readFileSync(at("control.json"), "utf8"), before);
    });

    it("a key signs no proof for another client, and under this rule no other text", async () => {
      const block = { height: 1, hash: `0x${"00".repeat(32)}` };
      const checkpoint = { origin: "x", size: 1, root: `${"A".repeat(43)}=` };
      const text = (client: string, of = "acme-fund") =>
        controlText({ challenge: CHALLENGE, client, account: accountOf(of), block, checkpoint });
      const code = (message: string) =>
        gateway
          .as("acme-fund", "payouts")
          .sign(
            "acme-fund",
            { key: "hot-1", payload: { type: "evm-message", message } },
            { idempotencyKey: randomUUID() },
          )
          .then(
            ({ state }) => state,
            (error: RefusedError) => `${error.code}: ${error.message}`,
          );
      assert.equal(await code(text("acme-fund")), "signed");
      assert.match(await code(text("blue-harbor")), /^denied-by-policy: .*for client `blue-harbor`/);
      assert.match(await code(text("acme-fund", "blue-harbor")), /^control-other-account/);
      assert.match(await code(`${text("acme-fund")}\nand I owe you`), /^control-malformed/);
      assert.match(await code("I agree"), /^denied-by-policy/);
    });
  });

  describe("proof of liabilities", () => {
    const verify = (file: string, ...more: string[]) => ["liabilities", "verify", file, "--key", vkey, ...more];
    const summary = () => ["--summary", at("owed/summary.json")];

    it("each client finds its position under the published root, and the log has that root", async () => {
      const made = await ok(["liabilities", "--out", at("owed"), ...auditor()]);
      assert.match(made, /eip155:31337\/native {2}23999370000000000000 +2 /);
      await ok(["liabilities", "extract", "--from", at("owed"), "--out", at("owed/proofs")]);
      const one = ["liabilities", "extract", "acme-fund", "--from", at("owed"), "--out", at("one")];
      await ok(one);
      assert.deepEqual(readdirSync(at("one")), ["acme-fund.json"]);
      await refused(one.with(2, "nobody"), /client-not-found/);
      for (const client of CLIENTS) {
        const said = await ok(verify(at(`owed/proofs/${client}.json`), ...summary()));
        assert.match(said, new RegExp(`^verified: 1 positions of client ${client}`));
        assert.match(said, /leaf [0-9]+ of the log has the summary, since 2026-11-20T12:/);
      }
      await ok(["log", "export", at("owed.jsonl"), ...auditor()]);
      await ok(["log", "verify", at("owed.jsonl"), "--key", vkey]);
    });

    it("the client's own addresses hold as much as it is owed, or it is told that they do not", async () => {
      const held = ["--control", at("control.json"), "--node", `${CHAIN}=${node.url}`];
      const enough = await ok(verify(at("owed/proofs/acme-fund.json"), ...summary(), ...held));
      assert.match(
        enough,
        /held: eip155:31337\/native: 17000000000000000000 on the client's own addresses, 16999370000000000000 owed/,
      );
      await refused(
        verify(at("owed/proofs/blue-harbor.json"), ...held),
        /SHORT: .*6000000000000000000 on .* 7000000000000000000 owed/,
      );
    });

    it("an asset in which a proof names no position is named; nothing leads out of the folder of proofs", async () => {
      const proof = json<LiabilityProof>(at("owed/proofs/acme-fund.json"));
      const { summary: said } = proof;
      const more = { ...said, assets: [...said.assets, { ...said.assets[0]!, asset: "eip155:1/native" }] };
      const { notChecked } = JSON.parse(
        await ok(["liabilities", "verify", write(at("changed.json"), { ...proof, summary: more }), "--json"]),
      ) as { notChecked: string[] };
      assert.match(notChecked.join("\n"), /owed nothing in eip155:1\/native/);
      mkdirSync(at("hostile"));
      for (const name of ["summary.json", "receipt"]) cpSync(at(`owed/${name}`), at(`hostile/${name}`));
      writeFileSync(at("hostile/proofs.jsonl"), '{"client":"a/../../out","positions":[]}\n');
      await refused(
        ["liabilities", "extract", "--from", at("hostile"), "--out", at("hostile/a")],
        /proofs.jsonl, line 1: `client`/,
      );
    });

    it("a changed position, salt, path, summary or receipt is refused with the reason", async () => {
      const proof = json<LiabilityProof>(at("owed/proofs/acme-fund.json"));
      const [position] = proof.positions as [LiabilityProof["positions"][number]];
      const [asset] = proof.summary.assets as [LiabilityProof["summary"]["assets"][number]];
      const changes: [RegExp, unknown][] = [
        [/does not lead to the published root/, { ...proof, positions: [{ ...position, amount: "1" }] }],
        [/does not lead to the published root/, { ...proof, positions: [{ ...position, salt: "00".repeat(32) }] }],
        [/path is shorter/, { ...proof, positions: [{ ...position, path: [] }] }],
        [/does not lead to the published root/, { ...proof, client: "blue-harbor" }],
        [/sum of .* is not the one/, { ...proof, summary: { ...proof.summary, assets: [{ ...asset, sum: "1" }] } }],
        [/is of another summary/, { ...proof, summary: { ...proof.summary, belowZero: 1 } }],
        [/expected a receipt/, { ...proof, receipt: null }],
        [/expected a position of client `acme-fund`, found none/, { ...proof, positions: [] }],
        [/`client`: expected a client/, { ...proof, client: "\u0430cme-fund" }],
        [/not-in-tree|another/, { ...proof, receipt: proof.receipt!.replace(/\nindex [0-9]+/, "\nindex 1") }],
      ];
      for (const [why, changed] of changes) await refused(verify(write(at("changed.json"), changed)), why);
      writeFileSync(at("changed.json"), JSON.stringify(proof).replace('"amount":', '"amount":"7","amount":'));
      await refused(verify(at("changed.json")), /file-invalid: .*each name once/);
      const other = write(at("changed.json"), { ...proof.summary, belowZero: 3 });
      await refused(
        verify(at("owed/proofs/acme-fund.json"), "--summary", other),
        /another one than that of this proof/,
      );
    });
  });

  describe("the segregation report", () => {
    it("says whose is what, on what ground, and how much is where", async () => {
      const out = at("segregation.json");
      await ok(["segregation", "report", "--out", out, ...auditor()]);
      const { clients, breaches, figures } = json<SegregationReport>(out);
      assert.deepEqual(breaches, []);
      assert.deepEqual(
        clients.map(({ client, owner, legalBasis, keys }) => [
          client,
          owner,
          legalBasis?.kind,
          keys.every(({ proven }) => proven),
        ]),
        CLIENTS.map((client) => [client, "client", "trust", true]),
      );
      const acme = figures.find(({ client, asset }) => client === "acme-fund" && asset === "ETH-LOCAL")!;
      assert.deepEqual(
        [acme.total, acme.onOwnAddresses, acme.atVenues, acme.unreconciledForADay],
        [
          "19.99937",
          { amount: "16.99937", share: "84.99" },
          { amount: "3", share: "15.00" },
          { amount: "16.99937", share: "84.99" },
        ],
      );
    });

    it("what was reconciled within the day no longer counts as unreconciled", async () => {
      await post("acme-fund", "watcher", "reports", {
        ...{ kind: "reconciliation", sha256: "00".repeat(32), outcome: "ok" },
        summary: { [CHAIN]: `1 0x${"00".repeat(32)}` },
      });
      await ok(["segregation", "report", "--out", at("segregation.json"), ...auditor()]);
      const { figures } = json<SegregationReport>(at("segregation.json"));
      assert.deepEqual(
        figures.map(({ client, unreconciledForADay }) => [client, unreconciledForADay.amount]),
        [
          ["acme-fund", "0"],
          ["blue-harbor", "7"],
        ],
      );
    });
  });
});
