import assert from "node:assert/strict";
import { generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { formatCheckpoint, openCheckpoint, parseCheckpoint } from "../../../src/tlog/checkpoint.ts";
import { leafHash } from "../../../src/tlog/hashes.ts";
import {
  cosignedText,
  formatNote,
  formatVkey,
  noteKey,
  parseNote,
  parseVkey,
  verifyNote,
  type NoteKey,
} from "../../../src/tlog/note.ts";
import { formatProof, parseProof, verifyProof, type TlogProof } from "../../../src/tlog/proof.ts";
import { parseWitnesses } from "../../../src/tlog/witnesses.ts";
import { textbookLeaf, textbookPath, textbookRoot } from "../../support/textbook-tree.ts";

// Goal: notes, checkpoints, receipts and witness files are C2SP's, and nothing that only looks like them is taken.

/** golang.org/x/mod/sumdb/note, note_test.go. */
const PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const BY_GO = [
  "If you think cryptography is the answer to your problem,",
  "then you don't know what your problem is.",
  "",
  "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=",
  "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=",
  "",
].join("\n");

const ORIGIN = "log.example/acme";

function signer(name: string, type: NoteKey["type"]) {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const raw = Buffer.from(publicKey.export({ format: "jwk" }).x!, "base64url");
  return { key: noteKey(name, type, raw), privateKey };
}

const logSignature = ({ key, privateKey }: { key: NoteKey; privateKey: KeyObject }, text: string) => ({
  name: key.name,
  id: key.id,
  signature: sign(null, Buffer.from(text), privateKey),
});

function cosignature({ key, privateKey }: { key: NoteKey; privateKey: KeyObject }, text: string, at = 1_679_315_147) {
  const stamp = Buffer.alloc(8);
  stamp.writeBigUInt64BE(BigInt(at));
  const signature = sign(null, Buffer.from(`cosignature/v1\ntime ${at}\n${text}`), privateKey);
  return { name: key.name, id: key.id, signature: Buffer.concat([stamp, signature]) };
}

const entries = Array.from({ length: 11 }, (_, n) => Buffer.from(`entry ${n}`));
const leaves = entries.map(textbookLeaf);
const text = formatCheckpoint({ origin: ORIGIN, size: 11, root: textbookRoot(leaves) });
const log = signer(ORIGIN, "ed25519");
const [w1, w2, w3] = ["one", "two", "three"].map((name) => signer(`witness.example/${name}`, "cosignature/v1")) as [
  ReturnType<typeof signer>,
  ReturnType<typeof signer>,
  ReturnType<typeof signer>,
];
const noteOf = (...signatures: ReturnType<typeof logSignature>[]) => formatNote({ text, signatures });
const checkpoint = noteOf(logSignature(log, text), cosignature(w1, text));
const bytes = (value: string) => Buffer.from(value);

describe("tlog/note", () => {
  it("the key id of Go's example is the one it is published with", () => {
    const key = parseVkey(PETER);
    assert.deepEqual([key.name, key.id.toString(16), key.type], ["PeterNeumann", "c74f20a3", "ed25519"]);
    assert.equal(formatVkey(key), PETER);
  });

  for (const vkey of [
    "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    "PeterNeuman+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T",
    "PeterNeumann+c74f20a3",
    "",
  ]) {
    it(`\`${vkey.slice(0, 40)}\` is no key`, () => assert.throws(() => parseVkey(vkey), { code: "malformed-key" }));
  }

  it("Go's example of a note is opened with both its keys, and written again as it was", () => {
    const note = parseNote(bytes(BY_GO));
    const names = verifyNote(note, [PETER, ENOCH].map(parseVkey)).map(({ key }) => key.name);
    assert.deepEqual(names, ["PeterNeumann", "EnochRoot"]);
    assert.equal(formatNote(note), BY_GO);
    const forged = parseNote(bytes(BY_GO.replace("your problem", "our problem")));
    assert.throws(() => verifyNote(forged, [parseVkey(PETER)]), { code: "signature-invalid" });
  });

  it("a witness signs the text of the specification", () => {
    assert.equal(cosignedText(1_679_315_147, "a\n1\nb\n"), "cosignature/v1\ntime 1679315147\na\n1\nb\n");
  });

  it("a note is read as it was written, and verified by the keys that are known", () => {
    const note = parseNote(bytes(checkpoint));
    assert.equal(formatNote(note), checkpoint);
    assert.deepEqual(verifyNote(note, [log.key]), [{ key: log.key }]);
    assert.deepEqual(verifyNote(note, [w1.key, w2.key]), [{ key: w1.key, at: 1_679_315_147 }]);
    assert.throws(() => verifyNote(note, [w2.key]), { code: "unsigned-note" });
  });

  it("a witness's key of the log's type, or the log's of a witness's, is another key", () => {
    const note = parseNote(bytes(checkpoint));
    assert.throws(() => verifyNote(note, [noteKey(ORIGIN, "cosignature/v1", log.key.publicKey)]), {
      code: "unsigned-note",
    });
  });

  it("one bit in text, signature or timestamp, and the note is refused", () => {
    for (const change of [
      { text: text.replace("\n11\n", "\n12\n"), signatures: [logSignature(log, text)] },
      { text, signatures: [logSignature(log, `${text} `)] },
      { text, signatures: [logSignature(log, text), { ...cosignature(w1, text), signature: Buffer.alloc(72) }] },
      { text, signatures: [logSignature(log, text), { ...cosignature(w1, text), signature: Buffer.alloc(64) }] },
    ]) {
      assert.throws(() => verifyNote(change, [log.key, w1.key]), { code: "signature-invalid" });
    }
  });
});

describe("tlog/checkpoint", () => {
  it("is read with its cosignatures", () => {
    const opened = openCheckpoint(bytes(checkpoint), log.key, [w1.key, w2.key]);
    assert.deepEqual([opened.origin, opened.size, opened.cosignatures.length], [ORIGIN, 11, 1]);
    assert.deepEqual(opened.root, Buffer.from(textbookRoot(leaves)));
  });

  it("without the log's own signature it is none, whoever else has signed", () => {
    assert.throws(() => openCheckpoint(bytes(noteOf(cosignature(w1, text))), log.key, [w1.key]), {
      code: "unsigned-note",
    });
  });

  it("of another log it is refused, though the key fits", () => {
    const other = formatCheckpoint({ origin: "log.example/other", size: 11, root: textbookRoot(leaves) });
    const note = formatNote({ text: other, signatures: [logSignature(log, other)] });
    assert.throws(() => openCheckpoint(bytes(note), log.key), { code: "wrong-origin" });
  });

  const root = Buffer.from(textbookRoot(leaves)).toString("base64");
  for (const [why, wrong] of [
    ["no origin", `\n11\n${root}\n`],
    ["a leading zero", `${ORIGIN}\n011\n${root}\n`],
    ["a negative size", `${ORIGIN}\n-1\n${root}\n`],
    ["a size above 2^53", `${ORIGIN}\n9007199254740993\n${root}\n`],
    ["a short root", `${ORIGIN}\n11\n${root.slice(4)}\n`],
    ["spare bits in the root", `${ORIGIN}\n11\n${root.slice(0, 42)}B=\n`],
    ["an extension line", `${ORIGIN}\n11\n${root}\nmore\n`],
    ["no last line end", `${ORIGIN}\n11\n${root}`],
  ] as const) {
    it(`${why} is refused`, () => assert.throws(() => parseCheckpoint(wrong), { code: "malformed-checkpoint" }));
  }
});

describe("tlog/proof", () => {
  const proof: TlogProof = { index: 6, path: textbookPath(6, leaves), checkpoint, extra: entries[6]! };
  const asText = formatProof(proof);

  it("is the text of the specification", () => {
    assert.deepEqual(asText.split("\n").slice(0, 3), [
      "c2sp.org/tlog-proof@v1",
      `extra ${entries[6]!.toString("base64")}`,
      "index 6",
    ]);
    assert.ok(asText.endsWith(`=\n\n${checkpoint}`));
    const parsed = parseProof(asText);
    assert.equal(formatProof(parsed), asText);
    assert.deepEqual(Buffer.from(parsed.extra!), entries[6]);
  });

  it("verifies with the log's public key alone", () => {
    const opened = verifyProof(parseProof(asText), leafHash(entries[6]!), parseVkey(formatVkey(log.key)));
    assert.equal(opened.size, 11);
  });

  it("a receipt that is forged in any part is refused", () => {
    const leaf = leafHash(entries[6]!);
    assert.throws(() => verifyProof(proof, leafHash(entries[7]!), log.key), { code: "not-in-tree" });
    assert.throws(() => verifyProof({ ...proof, index: 7 }, leaf, log.key), { code: "not-in-tree" });
    assert.throws(() => verifyProof({ ...proof, path: proof.path.toReversed() }, leaf, log.key), {
      code: "not-in-tree",
    });
    const forger = signer(ORIGIN, "ed25519");
    const forged = formatNote({ text, signatures: [logSignature(forger, text)] });
    assert.throws(() => verifyProof({ ...proof, checkpoint: forged }, leaf, log.key), { code: "unsigned-note" });
    const renamed = formatNote({ text, signatures: [{ ...logSignature(forger, text), id: log.key.id }] });
    assert.throws(() => verifyProof({ ...proof, checkpoint: renamed }, leaf, log.key), { code: "signature-invalid" });
  });

  for (const [why, wrong] of [
    ["another version", asText.replace("@v1", "@v2")],
    ["no index", asText.replace("index 6\n", "")],
    ["a leading zero", asText.replace("index 6", "index 06")],
    ["a short hash", asText.replace(/=\n\n/, "\n\n")],
    ["extra that is no base64", asText.replace("extra ", "extra !")],
    ["no checkpoint", asText.split("\n\n")[0]!],
    ["nothing", ""],
  ] as const) {
    it(`${why} is refused`, () => assert.throws(() => parseProof(wrong), { code: "malformed-proof" }));
  }
});

describe("tlog/witnesses", () => {
  const [a, b, c] = [w1, w2, w3].map(({ key }) => formatVkey(key));
  const file = [
    "# who watches us",
    `log ${formatVkey(log.key)} https://log.example/acme`,
    `witness A ${a}`,
    `witness B ${b}\thttps://witness.example`,
    "",
    `  witness C ${c}  `,
    "group near 1 A B",
    "group both all near C",
    "quorum both",
    "",
  ];
  const parse = (lines: readonly string[]) => parseWitnesses(bytes(lines.join("\n")));

  it("a quorum of groups holds exactly when its witnesses have signed", () => {
    const { logs, witnesses, isQuorum } = parse(file);
    assert.deepEqual([logs[0]!.key, logs[0]!.url], [log.key, "https://log.example/acme"]);
    const [ka, kb, kc] = witnesses.map(({ key }) => key) as [NoteKey, NoteKey, NoteKey];
    const holds = [[], [ka], [kc], [ka, kb], [ka, kc], [kb, kc], [ka, kb, kc]].map((keys) => isQuorum(new Set(keys)));
    assert.deepEqual(holds, [false, false, false, false, true, true, true]);
  });

  it("`none` asks for nobody, one name for one witness", () => {
    assert.ok(parse(["quorum none"]).isQuorum(new Set()));
    const { witnesses, isQuorum } = parse([`witness A ${a}`, "quorum A"]);
    assert.deepEqual([isQuorum(new Set()), isQuorum(new Set([witnesses[0]!.key]))], [false, true]);
  });

  for (const [why, lines] of [
    ["no quorum", file.filter((line) => !line.startsWith("quorum"))],
    ["two quorums", [...file, "quorum none"]],
    ["a quorum of nobody", ["quorum A"]],
    ["a name from below", [`group g any A`, `witness A ${a}`, "quorum g"]],
    ["a name twice", [`witness A ${a}`, `witness A ${b}`, "quorum A"]],
    ["a key twice", [`witness A ${a}`, `witness B ${a}`, "quorum A"]],
    ["a witness called none", [`witness none ${a}`, "quorum none"]],
    ["a log's key for a witness", [`witness A ${formatVkey(log.key)}`, "quorum A"]],
    ["a witness's key for a log", [`log ${a}`, "quorum none"]],
    ["a witness in two groups", [`witness A ${a}`, "group g any A", "group h any A", "quorum h"]],
    ["a threshold above its members", [`witness A ${a}`, "group g 2 A", "quorum g"]],
    ["a threshold of 0", [`witness A ${a}`, "group g 0 A", "quorum g"]],
    ["a group of nobody", [`witness A ${a}`, "group g any", "quorum A"]],
    ["`none` in a group", [`witness A ${a}`, "group g any A none", "quorum g"]],
    ["another word", ["threshold 2", "quorum none"]],
    ["a carriage return", ["quorum none\r"]],
    ["words to spare", ["quorum none none"]],
  ] as const) {
    it(`${why} is refused, with its line`, () =>
      assert.throws(() => parse(lines), { code: "witnesses-invalid", message: /^line [0-9]+: expected/ }));
  }
});
