import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportLog } from "../../../../src/cli/log/export.ts";
import { promisesIn } from "../../../../src/cli/log/promises.ts";
import { checkReceipt } from "../../../../src/cli/log/receipt.ts";
import type { Report } from "../../../../src/cli/log/verify.ts";
import { formatCheckpoint } from "../../../../src/tlog/checkpoint.ts";
import { formatNote, noteKey, parseVkey, type NoteKey } from "../../../../src/tlog/note.ts";
import { formatProof, parseProof } from "../../../../src/tlog/proof.ts";
import { GatewayClient } from "../../../../src/sdk/client.ts";
import type { Checkpoints } from "../../../../src/vault/checkpoints.ts";
import { checkpointsOf, exported, readerFor, verified } from "../../../support/exported-log.ts";
import { logTokenInSoftware } from "../../../support/software-hsm.ts";
import { textbookLeaf, textbookRoot } from "../../../support/textbook-tree.ts";
import {
  acmePolicy,
  ADDRESSES,
  GATEWAY,
  newKey,
  REQUESTS,
  testVault,
  transferBody,
  type TestVault,
} from "../../../support/vault.ts";

// Goal: an auditor's command accepts what a gateway really did, and names each lie that is told about it, whether the
// liar holds the log's key or not.
// Method: a real vault works; its export is tampered with, line by line. Who holds the key writes the tree anew.

type Leaf = { index: number; at: number; client: string; number: number; salt: string; opening: string };
type Opening = Record<string, unknown> & { type: string; decision?: { limits: { cap: string }[]; charges: object[] } };

const leafOf = (line: string): Leaf | undefined => (JSON.parse(line) as { leaf?: Leaf }).leaf;
const openingOf = (line: string): Opening | undefined => {
  const leaf = leafOf(line);
  return leaf && (JSON.parse(leaf.opening) as Opening);
};
const codes = ({ found }: Report): string[] => Object.keys(found).toSorted();

describe("log verify", () => {
  let vault: TestVault;
  let checkpoints: Checkpoints;
  let lines: string[];
  let answers: { id: string; leaves: Record<string, { index: number; hash: string; number: number }> }[];
  let receipt: string;
  let key: NoteKey;

  const post = async (value: number, idempotencyKey = newKey()) =>
    (await vault.call("payouts", "POST", REQUESTS, transferBody(value), idempotencyKey))
      .body as (typeof answers)[number];

  before(async () => {
    vault = await testVault({
      policy: { limits: { daily: { sum: "ETH", max: "60", window: { rolling: "24h" } } } },
    });
    checkpoints = await checkpointsOf(vault);
    key = parseVkey(vault.gateway.logKey);
    answers = [await post(5), await post(6)];
    await checkpoints.round();
    answers.push(await post(100)); // denied: over the limit
    await vault.apply("acme", {
      ...acmePolicy,
      callers: vault.clientCallers,
      version: "2",
      limits: {
        daily: { sum: "ETH", max: "60", window: { rolling: "24h" } },
        monthly: { sum: "ETH", max: "50", window: { rolling: "720h" } },
      },
    });
    vault.clock.now += 25 * 60 * 60 * 1000;
    answers.push(await post(7));
    await vault.call("operator", "POST", "/v1/clients", { client: "blue" }, newKey());
    await checkpoints.round();
    const path = `${REQUESTS}/${answers[1]!.id}/receipt`;
    receipt = Buffer.from((await vault.call("payouts", "GET", path)).body as Uint8Array).toString();
    lines = await exported(vault);
  });
  after(() => vault.close());

  const lineWith = (type: string, nth = 0): number =>
    [...lines.keys()].filter((n) => openingOf(lines[n]!)?.type === type)[nth]!;
  const changed = (n: number, change: (leaf: Leaf) => Leaf): string[] =>
    lines.with(n, JSON.stringify({ leaf: change(leafOf(lines[n]!)!) }));
  const changedOpening = (n: number, change: (opening: Opening) => void): string[] =>
    changed(n, (leaf) => {
      const opening = JSON.parse(leaf.opening) as Opening;
      change(opening);
      return { ...leaf, opening: JSON.stringify(opening) };
    });

  /** What the holder of the log's key can do: chains, tree and checkpoints fit the leaves again, whatever they say. */
  async function rewritten(tampered: readonly string[]): Promise<string[]> {
    const hashes: Uint8Array[] = [];
    const chains = new Map<string, { number: number; hash: string }>();
    const out: string[] = [];
    for (const line of tampered) {
      const leaf = leafOf(line);
      if (!leaf) {
        const text = formatCheckpoint({ origin: GATEWAY, size: hashes.length, root: textbookRoot(hashes) });
        const signature = await vault.logToken.sign("checkpoint", text);
        const note = formatNote({ text, signatures: [{ name: key.name, id: key.id, signature }] });
        out.push("checkpoint" in (JSON.parse(line) as object) ? JSON.stringify({ checkpoint: note }) : line);
        continue;
      }
      const before = chains.get(leaf.client);
      const place = { index: hashes.length, number: (before?.number ?? -1) + 1, client: leaf.client };
      const opening = JSON.stringify({ ...openingOf(line)!, ...place, previous: before?.hash ?? null });
      const commitment = createHash("sha256").update(Buffer.from(leaf.salt, "base64")).update(opening).digest("base64");
      const hash = textbookLeaf(Buffer.from(`portcullis/leaf/v1\n${place.index}\n${leaf.at}\n${commitment}\n`));
      hashes.push(hash);
      chains.set(leaf.client, { number: place.number, hash: Buffer.from(hash).toString("hex") });
      out.push(JSON.stringify({ leaf: { ...leaf, ...place, opening } }));
    }
    return out;
  }

  describe("an honest log", () => {
    it("verifies: tree, checkpoints, chains, limits and every signature", () => {
      const report = verified(lines, { key });
      assert.deepEqual(report.findings, []);
      assert.ok(report.ok);
      assert.deepEqual([report.key.from, report.checkpoints, report.notChecked], ["given", 2, []]);
      assert.equal(report.leaves, lines.filter((line) => leafOf(line)).length);
      assert.equal(report.limitsHeld, 4, "two sums under one limit, one under two");
      // Two policies by one officer, four requests by their caller, three released signatures.
      assert.equal(report.signatures, 9);
      assert.deepEqual(report.outcomeUnknown, []);
    });

    it("without a key it says whom it believed, without signatures what it left out", () => {
      const { ok, key: believed, notChecked } = verified(lines, { signatures: false });
      assert.deepEqual([ok, believed.from, notChecked.length], [true, "export", 2]);
    });

    it("rewritten by this test, it is the same log", async () => {
      assert.deepEqual(
        (await rewritten(lines)).map((line) => leafOf(line)?.opening),
        lines.map((line) => leafOf(line)?.opening),
      );
      assert.deepEqual(verified(await rewritten(lines), { key }).findings, []);
    });

    it("a client verifies its own part, with the others' commitments", async () => {
      const own = await exported(vault, "checker", "acme");
      const report = verified(own, { key });
      assert.deepEqual(report.findings, []);
      assert.deepEqual(Object.keys(report.clients), ["acme"]);
      assert.ok(report.opened < report.leaves);
      assert.deepEqual(report.notChecked, ["limits of the house: this export holds one client's openings"]);
    });

    it("promises, receipts and checkpoints that were kept are in it", () => {
      const text = answers.map((answer) => JSON.stringify(answer)).join("\n");
      const first = lines.find((line) => "checkpoint" in (JSON.parse(line) as object))!;
      const report = verified(lines, { key }, (verifier) => {
        for (const promise of promisesIn("answers", text)) verifier.keepPromise(promise.what, promise);
        verifier.keepReceipt("receipt", receipt);
        verifier.keepCheckpoint("kept", (JSON.parse(first) as { checkpoint: string }).checkpoint);
      });
      assert.deepEqual([report.findings, report.receipts], [[], 1]);
      assert.equal(promisesIn("answers", text).length, 7, "decision and outcome of three, a denial");
    });

    it("a receipt is checked alone, and says what was recorded", () => {
      const { index, opening } = checkReceipt(receipt, key);
      assert.equal(index, answers[1]!.leaves["outcome"]!.index);
      assert.equal((opening as Opening).type, "signed");
    });

    it("a window ends where the policy says: what is as old as the window is out of it, and a millisecond less is in it", async () => {
      const small = await testVault({
        policy: { limits: { daily: { sum: "ETH", max: "10", window: { rolling: "24h" } } } },
      });
      try {
        const post = (value: number) => small.call("payouts", "POST", REQUESTS, transferBody(value), newKey());
        assert.equal((await post(5)).status, 201);
        small.clock.now += 24 * 60 * 60 * 1000 - 1;
        assert.equal((await post(5)).status, 403);
        small.clock.now += 1;
        assert.equal((await post(5)).status, 201);
        await (await checkpointsOf(small)).round();
        assert.deepEqual(verified(await exported(small)).findings, []);
      } finally {
        await small.close();
      }
    });

    it("what was authorized and has no outcome is listed, and is no fault", async () => {
      const n = lineWith("signed", 2);
      const report = verified(await rewritten(lines.toSpliced(n, 1)), { key });
      assert.deepEqual(report.findings, []);
      assert.deepEqual(
        report.outcomeUnknown.map(({ request }) => request),
        [answers[3]!.id],
      );
    });
  });

  describe("tampering without the log's key", () => {
    it("a flipped byte of an opening is named by the leaf after it, and by the checkpoint", () => {
      const n = lineWith("authorized");
      const flipped = changed(n, (leaf) => ({ ...leaf, opening: leaf.opening.replace('"payouts"', '"payoutt"') }));
      const report = verified(flipped, { key });
      const { index } = leafOf(lines[n]!)!;
      const named = report.findings.find(({ code }) => code === "previous-differs")!;
      assert.match(named.message, new RegExp(`after leaf ${index}, which is another one now`));
      assert.ok(codes(report).includes("checkpoint-root"));
    });

    it("a flipped bit of a salt is named likewise", () => {
      const n = lineWith("denied");
      const flipped = changed(n, (leaf) => ({ ...leaf, salt: Buffer.alloc(32, 1).toString("base64") }));
      assert.deepEqual(codes(verified(flipped, { key })), ["checkpoint-root", "previous-differs"]);
    });

    it("a removed leaf is named by its index", () => {
      const n = lineWith("denied");
      const { index } = leafOf(lines[n]!)!;
      const report = verified(lines.toSpliced(n, 1), { key });
      assert.match(report.findings[0]!.message, new RegExp(`expected leaf ${index}, found ${index + 1}`));
      assert.deepEqual(codes(report), ["checkpoint-size", "leaf-missing", "number-gap", "previous-differs"]);
    });

    it("a last leaf that was removed is missed by the checkpoint", () => {
      const n = lines.findLastIndex((line) => leafOf(line));
      assert.deepEqual(codes(verified(lines.toSpliced(n, 1), { key })), ["checkpoint-size"]);
    });

    it("a leaf whose opening is withheld is named, the last one of its client too", async () => {
      const own = await exported(vault, "checker", "acme");
      const n = lines.findLastIndex((line) => leafOf(line)?.client === "blue");
      const { index } = leafOf(lines[n]!)!;
      const closed = own.find((line) => leafOf(line)?.index === index)!;
      assert.ok(!closed.includes("opening"));
      const report = verified(lines.with(n, closed), { key });
      assert.deepEqual(
        report.findings.map(({ code, leaf }) => [code, leaf]),
        [["opening-missing", index]],
      );
    });

    it("two swapped leaves are named", () => {
      const n = lineWith("signed");
      const swapped = lines.with(n, lines[n + 1]!).with(n + 1, lines[n]!);
      const found = codes(verified(swapped, { key }));
      for (const code of ["leaf-missing", "leaf-order", "previous-differs", "number-gap", "checkpoint-root"])
        assert.ok(found.includes(code), `${code} in ${found.join(", ")}`);
    });

    it("a raised cap in an opening is named, and so is what it breaks", () => {
      const raised = changedOpening(lineWith("authorized"), ({ decision }) => (decision!.limits[0]!.cap = "600"));
      const found = codes(verified(raised, { key }));
      assert.deepEqual(found, ["cap-differs", "checkpoint-root", "previous-differs"]);
    });

    it("a time that falls is named", () => {
      const n = lineWith("authorized", 1);
      assert.ok(
        codes(
          verified(
            changed(n, (leaf) => ({ ...leaf, at: leaf.at - 1 })),
            { key },
          ),
        ).includes("time-falls"),
      );
    });

    it("a checkpoint by another key, and one that lost a bit, are named", async () => {
      const forger = logTokenInSoftware();
      const forgerKey = noteKey(GATEWAY, "ed25519", await forger.publicKey("checkpoint"));
      const n = lines.findLastIndex((line) => "checkpoint" in (JSON.parse(line) as object));
      const { checkpoint } = JSON.parse(lines[n]!) as { checkpoint: string };
      const text = checkpoint.slice(0, checkpoint.indexOf("\n\n") + 1);
      const signature = await forger.sign("checkpoint", text);
      const forged = formatNote({ text, signatures: [{ name: forgerKey.name, id: forgerKey.id, signature }] });
      for (const note of [forged, checkpoint.replace(/[A-Z](?=.*\n$)/, "0")]) {
        const report = verified(lines.with(n, JSON.stringify({ checkpoint: note })), { key });
        assert.deepEqual(codes(report), ["checkpoint-invalid"]);
      }
    });

    it("a forged receipt is named, whatever is forged in it", () => {
      const proof = parseProof(receipt);
      const content = JSON.parse(Buffer.from(proof.extra!).toString()) as { opening: string };
      const extra = Buffer.from(JSON.stringify({ ...content, opening: content.opening.replace("signed", "failed") }));
      for (const forged of [
        formatProof({ ...proof, extra }),
        formatProof({ ...proof, index: proof.index - 1 }),
        formatProof({ ...proof, path: proof.path.toReversed() }),
        receipt.replace(/\n[0-9]+\n/, "\n3\n"),
        receipt.slice(0, -3),
        "",
      ]) {
        const report = verified(lines, { key }, (verifier) => verifier.keepReceipt("forged", forged));
        assert.ok(codes(report).includes("receipt-invalid"), forged);
        assert.throws(() => checkReceipt(forged, key));
      }
    });
  });

  describe("tampering by whoever holds the log's key", () => {
    it("a re-signed old checkpoint: another root at a size that somebody remembers", async () => {
      const other = await rewritten(changedOpening(lineWith("denied"), (opening) => (opening["caller"] = "trading")));
      const kept = lines.filter((line) => "checkpoint" in (JSON.parse(line) as object));
      const report = verified(other, { key }, (verifier) => {
        for (const line of kept)
          verifier.keepCheckpoint("kept", (JSON.parse(line) as { checkpoint: string }).checkpoint);
      });
      assert.ok(codes(report).includes("checkpoint-root"), codes(report).join());
    });

    it("a log that ends before a checkpoint that somebody kept", () => {
      const ends = lines.findIndex((line) => "checkpoint" in (JSON.parse(line) as object));
      const last = lines.findLast((line) => "checkpoint" in (JSON.parse(line) as object))!;
      const report = verified(lines.slice(0, ends + 1), { key }, (verifier) =>
        verifier.keepCheckpoint("kept", (JSON.parse(last) as { checkpoint: string }).checkpoint),
      );
      assert.deepEqual(codes(report), ["log-shorter"]);
    });

    it("a leaf that an answer promised and that is another one, or none", async () => {
      const promises = promisesIn("answers", JSON.stringify(answers[2]));
      const keep = (verifier: { keepPromise: (what: string, promise: never) => void }) =>
        promises.forEach((promise) => verifier.keepPromise(promise.what, promise as never));
      const other = await rewritten(lines.toSpliced(lineWith("denied"), 1));
      assert.ok(codes(verified(other, { key }, keep)).includes("promise-broken"));
      assert.ok(codes(verified(lines.slice(0, 6), { key }, keep)).includes("promise-broken"));
    });

    const LIES: readonly [why: string, code: string, type: string, nth: number, change: (opening: Opening) => void][] =
      [
        ["a raised cap", "cap-differs", "authorized", 0, ({ decision }) => (decision!.limits[0]!.cap = "600")],
        ["a charge left out", "charge-differs", "authorized", 0, ({ decision }) => (decision!.charges = [])],
        [
          "a charge that is smaller",
          "charge-differs",
          "authorized",
          1,
          ({ decision }) => {
            decision!.charges = decision!.charges.map((charge) => ({ ...charge, amount: "1" }));
          },
        ],
        [
          "more than the caps together",
          "over-cap",
          "authorized",
          1,
          (opening) => {
            const intent = opening["intent"] as { operations: { amount: string }[] };
            intent.operations[0]!.amount = "56";
          },
        ],
        [
          "a policy that was not active",
          "policy-not-active",
          "authorized",
          2,
          (opening) => {
            (opening["decision"] as unknown as { policy: { hash: string } }).policy.hash = "0".repeat(64);
          },
        ],
        [
          "another digest signed than authorized",
          "not-authorized",
          "signed",
          0,
          (opening) => {
            opening["digest"] = "00".repeat(32);
          },
        ],
        ["signed for another authorization", "not-authorized", "signed", 1, (opening) => (opening["authorized"] = 4)],
        [
          "a signature that is none of the key's",
          "signature-invalid",
          "signed",
          1,
          (opening) => {
            opening["signature"] = `0x${"11".repeat(64)}1b`;
          },
        ],
        [
          "a policy that no officer signed",
          "policy-quorum",
          "policy-applied",
          1,
          (opening) => (opening["signatures"] = []),
        ],
        [
          "a policy on top of another one",
          "policy-order",
          "policy-applied",
          1,
          (opening) => (opening["previousPolicy"] = null),
        ],
        [
          "a request that its caller did not sign",
          "evidence-invalid",
          "authorized",
          0,
          (opening) => {
            opening["bodyHash"] = "00".repeat(32);
          },
        ],
        [
          "a caller that did not ask",
          "evidence-invalid",
          "authorized",
          0,
          (opening) => (opening["caller"] = "trading"),
        ],
        ["a kind of leaf that nobody knows", "unknown-type", "denied", 0, (opening) => (opening.type = "forgotten")],
        [
          "a charge in a limit that nobody has",
          "charge-differs",
          "authorized",
          0,
          ({ decision }) => decision!.charges.push({ counter: "acme/other/-", amount: "1" }),
        ],
        [
          "a person under a policy who has not signed it",
          "policy-signature",
          "policy-applied",
          1,
          (opening) => (opening["signatures"] as object[]).push({ person: "deputy", signature: "AA==" }),
        ],
        ["a version that was there before", "policy-order", "policy-applied", 1, (opening) => (opening["version"] = 1)],
      ];
    for (const [why, code, type, nth, change] of LIES) {
      it(`${why}: ${code}`, async () => {
        const lie = await rewritten(changedOpening(lineWith(type, nth), change));
        const found = codes(verified(lie, { key }));
        assert.ok(found.includes(code), `found ${found.join(", ")}`);
        for (const structural of ["checkpoint-root", "previous-differs", "number-gap"])
          assert.ok(!found.includes(structural), "the forger's tree is whole");
      });
    }

    it("other bytes authorized than before, and once more after the end", async () => {
      const [n, after] = [lineWith("authorized"), lineWith("signed") + 1];
      const other = changedOpening(n, (opening) => (opening["digest"] = "00".repeat(32)))[n]!;
      assert.ok(codes(verified(await rewritten(lines.toSpliced(n + 1, 0, other)), { key })).includes("bytes-differ"));
      const again = verified(await rewritten(lines.toSpliced(after, 0, lines[n]!)), { key });
      assert.ok(codes(again).includes("authorized-again"));
    });

    it("a request that was signed for another gateway, or by another caller", () => {
      const n = lineWith("authorized");
      const { evidence } = leafOf(lines[n]!) as unknown as { evidence: Record<string, string> };
      const signedBy = (caller: string, gateway: string) => {
        const client = new GatewayClient({ ...vault.callers.get(caller)!, gateway });
        const { method, target, body } = evidence as { method: string; target: string; body: string };
        return client.signRequest(method, target, Buffer.from(body), evidence["idempotency-key"]).headers;
      };
      for (const [headers, why] of [
        [signedBy("payouts", "staging"), /it was made for `portcullis:staging`/],
        [signedBy("trading", GATEWAY), /it is signed as `trading`/],
      ] as const) {
        const lie = changed(n, (leaf) => ({ ...leaf, evidence: { ...evidence, ...headers } }));
        const { findings } = verified(lie, { key });
        assert.deepEqual(
          findings.map(({ code }) => code),
          ["evidence-invalid"],
        );
        assert.match(findings[0]!.message, why);
      }
    });

    it("a signature without its authorization", async () => {
      const lie = await rewritten(lines.toSpliced(lineWith("authorized", 1), 1));
      assert.ok(codes(verified(lie, { key })).includes("not-authorized"));
    });

    it("a request that was signed twice", async () => {
      const n = lineWith("signed");
      const lie = await rewritten(lines.toSpliced(n + 1, 0, lines[n]!));
      assert.ok(codes(verified(lie, { key })).includes("signed-twice"));
    });

    it("a past that a new limit does not allow: it is counted where the limit begins", async () => {
      // 11 wei and the fees of two stood in the last 30 days when `monthly` came; the third makes 21 with its fee.
      const n = lineWith("authorized", 2);
      const lie = await rewritten(
        changedOpening(n, (opening) => {
          (opening["intent"] as { operations: { amount: string }[] }).operations[0]!.amount = "37";
        }),
      );
      const report = verified(lie, { key });
      const over = report.findings.filter(({ code }) => code === "over-cap").map(({ message }) => message);
      assert.deepEqual(over.length, 1, over.join());
      assert.match(over[0]!, /acme\/monthly\/- to 51|`acme\/monthly\/-` to 51/);
    });

    it("a policy document other than the one that was signed", () => {
      const n = lines.findLastIndex((line) => "policy" in (JSON.parse(line) as object));
      const lie = lines.with(n, lines[n]!.replaceAll("720h", "1h"));
      assert.ok(codes(verified(lie, { key })).includes("policy-invalid"));
      assert.ok(codes(verified(lines.toSpliced(n, 1), { key })).includes("policy-missing"));
    });
  });

  describe("what cannot be read", () => {
    for (const [why, change] of [
      ["no header", (all: string[]) => all.slice(1)],
      ["a header of another version", (all: string[]) => all.with(0, all[0]!.replace("/v1", "/v2"))],
      ["a line that is no JSON", (all: string[]) => all.with(3, "{")],
      ["a line of another kind", (all: string[]) => all.with(3, "{}")],
      ["a line of two kinds", (all: string[]) => all.with(3, all[3]!.replace("{", '{"checkpoint":"",'))],
      ["a second header", (all: string[]) => all.toSpliced(3, 0, all[0]!)],
      ["nothing", () => []],
    ] as const) {
      it(`${why} is refused`, () =>
        assert.throws(() => verified(change(lines), { key }), { code: "malformed-export" }));
    }

    it("an opening that two readers could read in two ways, or that is none, is named with its leaf", () => {
      const n = lineWith("authorized");
      const { index } = leafOf(lines[n]!)!;
      const lie = (change: (text: string) => string) =>
        verified(
          changed(n, (leaf) => ({ ...leaf, opening: change(leaf.opening) })),
          { key },
        ).findings.filter(({ code }) => code === "opening-invalid");
      for (const [change, why] of [
        [(text: string) => text.replace("{", '{"type":"denied",'), /two ways/],
        [(text: string) => text.replace(/"at":([0-9]+)/, '"at":$1e0'), /two ways/],
        [() => "null", /no JSON object/],
        [(text: string) => text.replace(/"intent":\{/, '"intent":null,"was":{'), /cannot be read/],
      ] as const) {
        const found = lie(change);
        assert.deepEqual(
          found.map(({ leaf }) => leaf),
          [index],
        );
        assert.match(found[0]!.message, why);
      }
    });

    it("a receipt that names its commitment, and shows another opening, opens nothing", () => {
      const extra = /^extra (.+)$/m.exec(receipt)![1]!;
      const { at, salt, opening } = JSON.parse(Buffer.from(extra, "base64").toString()) as Leaf;
      const commitment = createHash("sha256").update(Buffer.from(salt, "base64")).update(opening).digest("base64");
      const lie = { at, salt, opening: opening.replace("signed", "denied"), commitment };
      const forged = receipt.replace(extra, Buffer.from(JSON.stringify(lie)).toString("base64"));
      const report = verified(lines, { key }, (verifier) => verifier.keepReceipt("forged", forged));
      assert.deepEqual(codes(report), ["receipt-invalid"]);
    });

    it("answers that promise nothing are refused, for a log held against nothing would seem to hold", () => {
      for (const text of ["{}", "null", "[]", "7", '{"leaves":{}}', '{"leaves":{"decision":null}}', ""])
        assert.throws(() => promisesIn("answers", text), { code: "malformed-promise" }, text);
    });

    it("a log without any checkpoint does not verify", () => {
      const bare = lines.filter((line) => !("checkpoint" in (JSON.parse(line) as object)));
      assert.deepEqual(codes(verified(bare, { key })), ["no-checkpoint"]);
    });

    it("the key of another log does not fit", async () => {
      const other = noteKey(GATEWAY, "ed25519", await logTokenInSoftware().publicKey("checkpoint"));
      assert.deepEqual(codes(verified(lines, { key: other })), ["checkpoint-invalid", "wrong-key"]);
    });
  });

  it("a call by JSON-RPC is known again by less than its bytes, and its signed bytes are held against its leaf all the same", async () => {
    const other = await testVault();
    try {
      const [account] = other.key.accounts;
      const transaction = {
        from: account!.split(":").at(-1),
        to: ADDRESSES[0],
        value: "0x1",
        gas: "0x5208",
        nonce: "0x0",
        maxFeePerGas: "0x0",
        maxPriorityFeePerGas: "0x0",
      };
      const call = { jsonrpc: "2.0", id: 1, method: "eth_signTransaction", params: [transaction] };
      const { body } = await other.call("payouts", "POST", "/rpc/acme", call);
      assert.ok("result" in (body as object), JSON.stringify(body));
      await (await checkpointsOf(other)).round();
      const report = verified(await exported(other), { key: parseVkey(other.gateway.logKey) });
      assert.deepEqual(report.findings, []);
      assert.ok(report.signatures > 0);
    } finally {
      await other.close();
    }
  });

  describe("log export", () => {
    it("goes on where it stopped, also in the middle of a line", async () => {
      const folder = mkdtempSync(join(tmpdir(), "portcullis-export-"));
      try {
        const file = join(folder, "log.jsonl");
        const reader = readerFor(vault, "inspector");
        const whole = await exportLog(reader, undefined, file, () => undefined);
        const text = readFileSync(file, "utf8");
        for (const cut of [text.length - 10, Math.floor(text.length / 2), text.indexOf("\n") + 1, 5]) {
          truncateSync(file, Buffer.byteLength(text.slice(0, cut)));
          const { leaves } = await exportLog(reader, undefined, file, () => undefined);
          assert.equal(leaves, whole.leaves);
          const again = readFileSync(file, "utf8").trimEnd().split("\n");
          assert.deepEqual(verified(again, { key }).findings, [], `cut at ${cut}`);
        }
        await assert.rejects(
          exportLog(readerFor(vault, "checker"), "acme", file, () => undefined),
          { code: "usage" },
        );
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });
  });
});
