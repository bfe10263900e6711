import assert from "node:assert/strict";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { CallerFile } from "../../src/sdk/caller-file.ts";
import { KillableVault, type Connection, type RunningProcess, type SocketAnswer } from "../support/killable-vault.ts";
import { checkLog } from "../support/log-check.ts";
import { eventually } from "../support/processes.ts";
import { run } from "../support/program.ts";
import {
  assertVerifies,
  FOUNDING,
  furnish,
  GATEWAY,
  people,
  post,
  shortenLimits,
  WINDOW_S,
} from "../support/withdrawals.ts";
import { REQUESTS } from "../support/vault.ts";

// Goal: a store that does not contain what this vault has promised is recognised, and then nothing is signed and nothing
// is written (I19): an old backup, a write-ahead log that somebody deleted.
// Method: a real vault on SQLite, killed; its files changed as an administrator in a hurry would; started again.

describe("a store that was restored", function () {
  let vault: KillableVault;
  let running: RunningProcess | undefined;
  let connection: Connection;
  let keys = 0;

  const at = (name: string) => join(vault.folder, name);
  const start = async () => {
    running = await vault.start();
    connection = await vault.connect();
  };
  const kill = async () => {
    connection?.close();
    await running?.kill();
    running = undefined;
  };
  const withdraw = () => post(connection, `withdrawal-${keys++}`, 1);
  const anchored = () => (existsSync(at("1.anchor")) ? Number(readFileSync(at("1.anchor"), "utf8").split("\n")[1]) : 0);
  const STORE = /^portcullis\.db/;
  const copyStore = (from: string, to: string) => {
    if (existsSync(to)) for (const name of readdirSync(to)) if (STORE.test(name)) rmSync(join(to, name));
    for (const name of readdirSync(from)) if (STORE.test(name)) cpSync(join(from, name), join(to, name));
  };

  /** Signs, and waits until that is under a checkpoint, as it is within seconds. */
  async function withdrawAndWait(): Promise<void> {
    const answer = await withdraw();
    assert.equal(answer.status, 201, answer.body.toString());
    const { outcome } = answer.json["leaves"] as { outcome: { index: number } };
    await eventually("a checkpoint covers it", () => anchored() > outcome.index);
  }

  before(async () => {
    vault = await KillableVault.founded(GATEWAY, FOUNDING);
    await start();
    await furnish(connection);
    await withdrawAndWait();
  });
  after(async () => {
    await kill();
    vault.remove();
  });

  /** So old a store may not know the client any more: its operator it knows from leaf 0 on. */
  const addClient = () =>
    connection.send(people.operator, "POST", "/v1/clients", { client: `other-${keys}` }, `client-${keys++}`);
  const refuses = async (ask: () => Promise<SocketAnswer>, reader: CallerFile, path: string) => {
    const leaves = (await vault.log()).leaves.length;
    await start();
    for (let n = 0; n < 2; n++) {
      const { status, json, head } = await ask();
      assert.deepEqual([status, json["code"], head["retry-after"]], [503, "store-rolled-back", "1"]);
    }
    const listed = await connection.send(reader, "GET", path);
    assert.equal(listed.status, 200, "what is there can be read");
    await sleep(1500); // longer than checkpoints take to come
    await kill();
    assert.equal(checkLog(await vault.log()).length, leaves, "nothing was written");
  };

  it("from an older backup: nothing is signed until what was promised is back", async () => {
    await kill();
    copyStore(at("vault"), at("backup"));
    await start();
    await withdrawAndWait();
    await kill();
    copyStore(at("vault"), at("newest"));
    const before = anchored();

    copyStore(at("backup"), at("vault"));
    await refuses(withdraw, people.payouts, REQUESTS);
    assert.equal(anchored(), before, "the anchor stays where it was");

    copyStore(at("newest"), at("vault"));
    await start();
    await withdrawAndWait();
    await kill();
  });

  it("from an older backup that is all there is: officers go on with it, every client frozen, limits as used", async () => {
    await kill();
    copyStore(at("vault"), at("newest"));
    copyStore(at("backup"), at("vault"));
    const before = anchored();
    await start();
    assert.equal((await withdraw()).json["code"], "store-rolled-back");
    const officer = ["--as", vault.callerFile(people.officer), "--socket", vault.socketOf(), "--json"];
    const signed = await run(["recover", "--after-restore", "--sign", ...officer]);
    assert.match(signed.stderr, new RegExp(`promised +${before} leaves`));
    const { text } = JSON.parse(signed.stdout) as { text: string };
    assert.match(
      text,
      new RegExp(`^portcullis/recovery/v1\norigin: ${GATEWAY}\nstore: [0-9]+ .+\npromised: ${before} .+\n`),
    );
    assert.equal((await withdraw()).json["code"], "store-rolled-back", "a signature alone changes nothing");
    const recovered = await run(["recover", "--after-restore", ...officer]);
    assert.equal(recovered.code, 0, recovered.stdout);
    const [{ json: frozen }, since] = [await withdraw(), Date.now()];
    assert.deepEqual([frozen["code"], frozen["by"]], ["client-frozen", "restored"]);
    await eventually("the next checkpoint is above all that was promised", () => anchored() > before);

    const unfrozen = await run(["unfreeze", "--client", "acme", ...officer]);
    assert.equal(unfrozen.code, 0, unfrozen.stdout);
    assert.equal((await withdraw()).json["reason"], "over-limit", "the long window is full for good");
    await shortenLimits(connection);
    if (Date.now() - since < (WINDOW_S * 1_000) / 2) assert.equal((await withdraw()).json["reason"], "over-limit");
    await sleep(WINDOW_S * 1_000);
    await withdrawAndWait();
    await assertVerifies(connection);

    await kill();
    copyStore(at("vault"), at("recovered"));
    copyStore(at("backup"), at("vault"));
    await refuses(withdraw, people.payouts, REQUESTS);
    copyStore(at("newest"), at("vault"));
    await refuses(withdraw, people.payouts, REQUESTS); // of two histories one was given up
    copyStore(at("recovered"), at("vault"));
    await start();
    await withdrawAndWait();
    await kill();
  });

  it("without its write-ahead log: it does not sign", async () => {
    copyStore(at("vault"), at("newest"));
    assert.ok(existsSync(at("vault/portcullis.db-wal")));
    rmSync(at("vault/portcullis.db-wal"));
    await refuses(addClient, people.operator, "/v1/clients");
    copyStore(at("newest"), at("vault"));
    await start();
    await withdrawAndWait();
    await kill();
  });
});
