import { createHash, createPublicKey, generateKeyPairSync, sign, verify } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/*
 * A C2SP witness (tlog-witness, tlog-cosignature, tlog-checkpoint), written from the specifications for tests: it shares no
 * code with the gateway.
 */

export type Witness = {
  readonly name: string;
  readonly url: string;
  /** As in a witnesses file: type 0x04. */
  readonly vkey: string;
  /** The largest tree that it has cosigned. */
  readonly known: () => number;
  /** What it answers instead, until it is told otherwise. */
  answerWith: number | undefined;
  readonly asked: string[];
  readonly stop: () => Promise<void>;
};

const sha256 = (...parts: readonly (string | Uint8Array)[]): Buffer => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** RFC 9162, section 2.1.4.2. */
function isConsistent(first: number, second: number, firstHash: Buffer, secondHash: Buffer, proof: Buffer[]): boolean {
  if (first === second) return proof.length === 0 && firstHash.equals(secondHash);
  if (first === 0) return proof.length === 0;
  const path = Number.isInteger(Math.log2(first)) ? [firstHash, ...proof] : proof;
  if (path.length === 0) return false;
  let [fn, sn] = [first - 1, second - 1];
  while (fn % 2 === 1) [fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)];
  let [fr, sr] = [path[0]!, path[0]!];
  for (const each of path.slice(1)) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      fr = sha256(Buffer.of(1), each, fr);
      sr = sha256(Buffer.of(1), each, sr);
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)];
    } else sr = sha256(Buffer.of(1), sr, each);
    [fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)];
  }
  return sn === 0 && fr.equals(firstHash) && sr.equals(secondHash);
}

/** @param logVkey of the one log that it watches: `name+id+base64(0x01 ‖ key)` */
export async function startWitness(
  name: string,
  logVkey: string,
  state = { size: 0, root: Buffer.alloc(0) },
): Promise<Witness> {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const raw = publicKey.export({ format: "der", type: "spki" }).subarray(12);
  const typed = Buffer.concat([Buffer.of(4), raw]);
  const id = sha256(`${name}\n`, typed).subarray(0, 4);
  const [logName, logId, logKey] = /^(.+)\+([0-9a-f]{8})\+(.+)$/.exec(logVkey)!.slice(1) as [string, string, string];
  const logPublicKey = createPublicKey({
    key: Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), Buffer.from(logKey, "base64").subarray(1)]),
    format: "der",
    type: "spki",
  });

  const addCheckpoint = (body: string): [number, string] => {
    const split = body.indexOf("\n\n");
    const [oldLine, ...proofLines] = body.slice(0, split).split("\n");
    const old = Number(/^old (0|[1-9][0-9]*)$/.exec(oldLine!)?.[1]);
    const note = body.slice(split + 2);
    const end = note.indexOf("\n\n");
    const text = note.slice(0, end + 1);
    const [origin, size, root] = text.split("\n") as [string, string, string];
    if (origin !== logName) return [404, ""];
    const lines = note
      .slice(end + 2)
      .split("\n")
      .filter((line) => line !== "");
    const signed = lines.some((line) => {
      const [, by, base64] = /^\u2014 (\S+) (\S+)$/.exec(line) ?? [];
      const bytes = Buffer.from(base64 ?? "", "base64");
      if (by !== logName || bytes.subarray(0, 4).toString("hex") !== logId) return false;
      return verify(null, Buffer.from(text), logPublicKey, bytes.subarray(4));
    });
    if (!signed) return [403, ""];
    if (!(old <= Number(size))) return [400, ""];
    if (old !== state.size) return [409, `${state.size}\n`];
    const proof = proofLines.map((line) => Buffer.from(line, "base64"));
    const newRoot = Buffer.from(root, "base64");
    if (old === Number(size) && !state.root.equals(newRoot)) return [409, `${state.size}\n`];
    if (!isConsistent(old, Number(size), state.root, newRoot, proof)) return [422, ""];
    state.size = Number(size);
    state.root = newRoot;
    const time = Math.floor(Date.now() / 1000);
    const signature = sign(null, Buffer.from(`cosignature/v1\ntime ${time}\n${text}`), privateKey);
    const stamp = Buffer.alloc(8);
    stamp.writeBigUInt64BE(BigInt(time));
    return [200, `\u2014 ${name} ${Buffer.concat([id, stamp, signature]).toString("base64")}\n`];
  };

  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString("utf8");
      witness.asked.push(body);
      if (request.method !== "POST" || request.url !== "/w/add-checkpoint") return void response.writeHead(404).end();
      const [status, text] = witness.answerWith === undefined ? addCheckpoint(body) : [witness.answerWith, ""];
      response.writeHead(status).end(text);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const witness: Witness = {
    name,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/w`,
    vkey: `${name}+${id.toString("hex")}+${typed.toString("base64")}`,
    known: () => state.size,
    answerWith: undefined,
    asked: [],
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
  return witness;
}
