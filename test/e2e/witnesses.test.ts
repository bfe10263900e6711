import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { connect } from "../../src/sdk/client.ts";
import { transfer } from "../../src/cli/tour.ts";
import { run, start, type Started } from "../support/program.ts";
import { startDevGateway, type DevGateway } from "../support/gateway.ts";
import { eventually } from "../support/processes.ts";
import { startWitness, type Witness } from "../support/witness.ts";

// Goal: witnesses outside see every checkpoint, and others can ask for their cosignatures; the edge only carries.
// Method: the whole gateway; witnesses that are written from the C2SP specifications and share no code with it.

const TREASURY = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

describe("witnesses", function () {
  let folder: string;
  let serving: Started<{ url: string }> | undefined;
  let witnesses: Witness[] = [];
  let key: string;
  const at = (name: string): string => join(folder, name);

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-witnesses-"));
    chmodSync(folder, 0o711); // where the edge has a user of its own, it passes through
    // The log's key is known once the gateway is: it starts again with the witnesses that were told of it.
    const founding: DevGateway = await startDevGateway(["--keep", at("gateway")]);
    const openings = await founding.as("house", "auditor").get<{ key: string }>("/v1/log/openings?limit=1");
    key = openings.key;
    await founding.stop();
    witnesses = await Promise.all(
      ["one.example", "two.example", "three.example"].map((name) => startWitness(name, key)),
    );
    const lines = witnesses.map(({ vkey, url }, index) => `witness w${index} ${vkey} ${url}`);
    writeFileSync(
      at("witnesses.txt"),
      [`log ${key}`, ...lines, "group enough 2 w0 w1 w2", "quorum enough", ""].join("\n"),
    );
    const config = at("gateway/portcullis.yaml");
    const written = parse(readFileSync(config, "utf8")) as { log?: object };
    writeFileSync(config, stringify({ ...written, log: { ...written.log, witnesses: at("witnesses.txt") } }));
    await serve();
  });
  after(async () => {
    await serving?.stop();
    await Promise.all(witnesses.map((witness) => witness.stop()));
    rmSync(folder, { recursive: true, force: true });
  });

  const serve = async (): Promise<void> => {
    serving = await start(["dev", "--json", "--keep", at("gateway"), "--port", "0", "--proxy-port", "0"]);
  };
  const as = (path: string) => connect(at(`gateway/callers/${path}.json`));
  const readiness = async () =>
    (await (await fetch(`${serving!.ready.url}/readyz`)).json()) as {
      log?: { witnesses: number; witnessed?: { size: number } };
    };
  const checkpoint = (): Promise<string> =>
    fetch(`${serving!.ready.url}/v1/log/checkpoint`).then((answer) => answer.text());
  const sizeOf = (note: string): number => Number(note.split("\n")[1]);
  const pay = (idempotencyKey: string) =>
    as("acme-fund/payouts").sign("acme-fund", transfer("hot-1", TREASURY, 1n), { idempotencyKey });
  const witnessed = (size: number) =>
    eventually(`a checkpoint of ${size} leaves with all cosignatures`, async () => {
      const note = await checkpoint();
      return sizeOf(note) >= size && witnesses.every(({ name }) => note.includes(`\u2014 ${name} `));
    });

  it("every checkpoint is cosigned by all of them, also as the log grows", async () => {
    await witnessed(1);
    const size = sizeOf(await checkpoint());
    await pay("first");
    await witnessed(size + 2);
    assert.ok(witnesses.every(({ known }) => known() >= size + 2));
    assert.ok(((await readiness()).log?.witnessed?.size ?? 0) >= size + 2);
  });

  it("an auditor asks for as many as the file says, of a receipt, an export and the newest checkpoint", async () => {
    const request = await pay("second");
    await witnessed(request.leaves.outcome!.index + 1);
    const asked = ["--key", key, "--witnesses", at("witnesses.txt")];
    const auditor = ["--as", at("gateway/callers/house/auditor.json")];
    // The gateway appends leaves of its own as time passes: a checkpoint of this moment is cosigned a moment later.
    const passes = async (...args: string[]) => (await run([...args, ...asked])).code === 0;
    await eventually("a receipt with enough cosignatures", async () => {
      rmSync(at("receipt"), { force: true });
      const prove = ["log", "prove", request.id, "--client", "acme-fund", "--out", at("receipt")];
      const proved = await run([...prove, ...auditor]);
      assert.equal(proved.code, 0, proved.stderr);
      return passes("log", "verify", "--receipt", at("receipt"));
    });
    assert.equal((await run(["log", "export", at("log.jsonl"), ...auditor])).code, 0);
    const verified = await run(["log", "verify", at("log.jsonl"), "--json", ...asked]);
    assert.equal(verified.code, 0, verified.stdout);
    assert.ok((JSON.parse(verified.stdout) as { witnessed: number }).witnessed > request.leaves.outcome!.index);
    await eventually("a newest checkpoint with enough cosignatures", () =>
      passes("log", "checkpoint", "--url", serving!.ready.url),
    );

    // Only the log's own signature: what a gateway could show to one auditor alone.
    const alone = (text: string) => text.replace(/^\u2014 [a-z]+\.example .*\n/gm, "");
    writeFileSync(at("alone"), alone(readFileSync(at("receipt"), "utf8")));
    const refused = await run(["log", "verify", "--receipt", at("alone"), ...asked]);
    assert.deepEqual([refused.code, /enough witnesses/.test(refused.stderr)], [1, true], refused.stderr);
    writeFileSync(
      at("alone.jsonl"),
      readFileSync(at("log.jsonl"), "utf8").replace(/\\n\u2014 [a-z]+\.example [^\\]*(?=\\n)/g, ""),
    );
    const unwitnessed = await run(["log", "verify", at("alone.jsonl"), "--json", ...asked]);
    assert.match(unwitnessed.stdout, /"not-witnessed"/);
  });

  it("goes on without those that are away, says so, and takes them along when they are back", async () => {
    witnesses[1]!.answerWith = 500;
    witnesses[2]!.answerWith = 429;
    const before = (await readiness()).log!.witnessed!.size;
    const { leaves } = await pay("third");
    const size = leaves.outcome!.index + 1;
    await eventually(
      "a cosignature of the one that is there",
      async () => (await checkpoint()).includes("\u2014 one.example ") && witnesses[0]!.known() >= size,
    );
    assert.ok((await readiness()).log!.witnessed!.size < size && before < size, "one of three is not enough");
    witnesses[1]!.answerWith = witnesses[2]!.answerWith = undefined;
    await witnessed(size);
    await eventually("the quorum", async () => ((await readiness()).log?.witnessed?.size ?? 0) >= size);
  });

  it("an edge that has forgotten what they know asks, and proves from there", async () => {
    await serving!.stop();
    await serve();
    const { leaves } = await pay("fourth");
    await witnessed(leaves.outcome!.index + 1);
    assert.match(witnesses[0]!.asked.at(-1)!, /^old [1-9]/);
  });

  it("what is brought back counts only if a witness of the file has signed it over a checkpoint of this log", async () => {
    const stranger = await startWitness("stranger.example", key);
    try {
      const note = await checkpoint();
      const cosigned = await fetch(`${stranger.url}/add-checkpoint`, { method: "POST", body: `old 0\n\n${note}` });
      assert.equal(cosigned.status, 200);
      // From outside nobody speaks to that door of the vault at all.
      const brought = await fetch(`${serving!.ready.url}/witness/`, {
        method: "POST",
        body: `${sizeOf(note)}\n${await cosigned.text()}`,
      });
      assert.equal(brought.status, 404);
      assert.ok(!(await checkpoint()).includes("stranger"));
    } finally {
      await stranger.stop();
    }
  });
});
