import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { RefusedError } from "../../src/sdk/client.ts";
import { startGateway, type TestGateway } from "../../src/sdk/testing.ts";
import { transfer } from "../../src/cli/tour.ts";
import { eventually } from "../support/processes.ts";
import { run } from "../support/program.ts";
import { smallPolicy, TREASURY } from "../support/small-policy.ts";

// Goal: another team's tests get a real gateway with a clock that they move, which nobody can take for a real one, and
// of which nothing stays.
// Method: the kit as others import it; processes and folders are looked for from outside.

const HOUR_MS = 3_600_000;

const POLICY = smallPolicy({ client: "any-client", daily: 15 });

/** Processes that were started with something of that folder. */
const commandsWith = (folder: string): string[] =>
  readdirSync("/proc")
    .filter((name) => /^[0-9]+$/.test(name))
    .flatMap((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
      } catch {
        return []; // gone meanwhile
      }
    })
    .filter((command) => command.includes(folder));

/** As soon as nobody has it, unless whoever had it was faster. */
async function takePort(port: number, isBack: () => boolean): Promise<Server | undefined> {
  while (!isBack()) {
    const server = createServer().listen(port, "127.0.0.1");
    const isOurs = await once(server, "listening").then(
      () => true,
      () => false,
    );
    if (isOurs) return server;
  }
  return undefined;
}

describe("the kit for other teams' tests", function () {
  const running: TestGateway[] = [];
  const start = async (...given: Parameters<typeof startGateway>): Promise<TestGateway> => {
    const gateway = await startGateway(...given);
    running.push(gateway);
    return gateway;
  };
  afterEach(() => Promise.all(running.splice(0).map((gateway) => gateway.stop())));

  const pay = (gateway: TestGateway, ether: bigint, idempotencyKey: string, client = "acme-fund") =>
    gateway.as(client, "payouts").sign(client, transfer("hot-1", TREASURY, ether), { idempotencyKey });

  it("time begins where the test says, and windows forget when it is moved", async () => {
    const gateway = await start({ clock: new Date("2026-11-20T12:00:00Z") });
    const first = await pay(gateway, 10n, "first");
    assert.equal(first.submittedAt.slice(0, 13), "2026-11-20T12");
    const overLimit = (error: unknown) => error instanceof RefusedError && error.problem["reason"] === "over-limit";
    await assert.rejects(pay(gateway, 10n, "second"), overLimit);
    gateway.advance(23 * HOUR_MS);
    await assert.rejects(pay(gateway, 10n, "third"), overLimit);
    gateway.advance(HOUR_MS);
    const later = await pay(gateway, 10n, "fourth");
    assert.deepEqual([later.state, later.submittedAt.slice(0, 13)], ["signed", "2026-11-21T12"]);
    assert.throws(() => gateway.advance(-1), /not below zero/);
  });

  it("a request lives through a crash: the same key has the same answer", async () => {
    const gateway = await start();
    const signed = await pay(gateway, 1n, "invoice-1");
    await gateway.crash();
    assert.deepEqual(await pay(gateway, 1n, "invoice-1"), signed);
  });

  it("after a crash it waits for its port, which another program may have been given meanwhile", async () => {
    const gateway = await start();
    const port = Number(new URL(gateway.url).port);
    const crashed = gateway.crash();
    let isBack = false;
    crashed.then(() => (isBack = true)).catch(() => undefined);
    const other = await takePort(port, () => isBack);
    const tries = () => commandsWith(gateway.folder).some((command) => command.includes(` --port ${port} `));
    if (other) await eventually("it tries to start", tries);
    if (other) await eventually("in vain", () => !tries());
    other?.close();
    await crashed;
    assert.equal((await pay(gateway, 1n, "invoice-1")).state, "signed");
  });

  it("a policy as a text, for as many clients as the test wants, and several gateways at once", async () => {
    const [one, other] = await Promise.all([
      start({ policy: POLICY, clients: ["red", "blue"] }),
      start({ policy: POLICY, clients: ["red"] }),
    ]);
    const requests = await Promise.all([
      pay(one, 10n, "a", "red"),
      pay(one, 10n, "a", "blue"),
      pay(other, 10n, "a", "red"),
    ]);
    assert.deepEqual(
      requests.map(({ state }) => state),
      ["signed", "signed", "signed"],
    );
    const addresses = [one.addresses["red"], one.addresses["blue"], other.addresses["red"]];
    assert.equal(new Set(addresses.map((keys) => keys!["hot-1"])).size, 3);
    assert.throws(() => one.as("red", "nobody"), /found no `nobody` of `red`/);
  });

  it("its checkpoints say that it is a test", async () => {
    const gateway = await start();
    const answer = await fetch(`${gateway.url}/v1/log/checkpoint`);
    assert.match(await answer.text(), /^test-[0-9a-f]{8}\n[0-9]+\n[^\n]+\n\n— test-/);
  });

  it("no gateway of another name takes a clock that can be moved, and none that is founded for real takes that name", async () => {
    const folder = mkdtempSync(join(tmpdir(), "portcullis-init-"));
    try {
      const refused = await run(["init", "--name", "test-custody", "--dir", folder, "--discard-so-pin"]);
      assert.deepEqual([refused.code, /does not begin with `test-`/.test(refused.stderr)], [2, true], refused.stderr);
      const made = await run(["init", "--name", "custody", "--dir", folder, "--discard-so-pin"]);
      assert.equal(made.code, 0, made.stderr);
      const config = join(folder, "portcullis.yaml");
      writeFileSync(join(folder, "clock"), "0");
      writeFileSync(config, `${readFileSync(config, "utf8")}clock: { test: ./clock }\n`);
      const started = await run(["serve", "--config", config]);
      assert.deepEqual([started.code, /no other's clock can be moved/.test(started.stderr)], [1, true], started.stderr);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("nothing stays when the program that has started it is killed", async () => {
    const kit = JSON.stringify(new URL("../../src/sdk/testing.ts", import.meta.url).href);
    const program = `const { startGateway } = await import(${kit}); console.log((await startGateway()).folder); setInterval(() => {}, 1000);`;
    const tests = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [folder] = (await once(createInterface({ input: tests.stdout }), "line")) as [string];
    const processes = () => commandsWith(folder);
    assert.ok(existsSync(folder) && processes().length >= 2, "edge and vault are there");
    tests.kill("SIGKILL");
    await eventually("folder and processes are gone", () => !existsSync(folder) && processes().length === 0);
  });
});
