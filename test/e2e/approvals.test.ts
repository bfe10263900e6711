import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Transaction } from "ethers";
import type { ApprovalView, SigningRequestView } from "../../src/domain/api.ts";
import { startDevGateway, type DevGateway } from "../support/gateway.ts";
import { run, type Ran } from "../support/program.ts";
import { assertTranscript } from "../support/transcript.ts";

// Goal: two people approve a payment with the program on their own machines, and its service's same POST signs it.
// Method: a real gateway; every command as its own process; real `ssh-keygen`, a real SSH agent.

const TREASURY = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const ETHER = 10n ** 18n;

describe("portcullis approval, with a gateway", function () {
  let gateway: DevGateway;
  let work: string;
  let agent: { SSH_AUTH_SOCK: string; SSH_AGENT_PID: string };

  before(async () => {
    gateway = await startDevGateway();
    work = mkdtempSync(join(tmpdir(), "portcullis-approvers-"));
    const said = execFileSync("ssh-agent", ["-s", "-a", join(work, "agent")], { encoding: "utf8" });
    agent = { SSH_AUTH_SOCK: join(work, "agent"), SSH_AGENT_PID: /SSH_AGENT_PID=(\d+)/.exec(said)![1]! };
  });
  after(async () => {
    if (agent) process.kill(Number(agent.SSH_AGENT_PID));
    await gateway?.stop();
    if (work) rmSync(work, { recursive: true, force: true });
  });

  const ask = (key: string, ether = 50n) => {
    const transaction = {
      to: TREASURY,
      value: (ether * ETHER).toString(),
      gas: "21000",
      maxFeePerGas: "1000000000",
      maxPriorityFeePerGas: "0",
    };
    const body = { key: "hot-1", payload: { type: "evm-transaction", transaction }, reference: "invoice 4711" };
    return gateway.as("acme-fund", "payouts").sign("acme-fund", body, { idempotencyKey: key });
  };
  const approval = (person: string, ...args: string[]): Promise<Ran> =>
    run(["approval", ...args, "--as", `${gateway.folder}/callers/acme-fund/${person}.json`], {
      env: { ...process.env, ...agent },
    });
  /** alice's key becomes one that lives in her SSH agent; her caller file's only speaks to the gateway. */
  const withSshKey = async (publicKey: string): Promise<void> => {
    const path = join(gateway.folder, "policies/examples/hot-wallet/acme-fund.yaml");
    const { publicKey: own } = JSON.parse(readFileSync(`${gateway.folder}/callers/acme-fund/alice.json`, "utf8")) as {
      publicKey: string;
    };
    const before = readFileSync(path, "utf8");
    const text = before
      .replace(/version: (\d+)/, (_, version: string) => `version: ${Number(version) + 1}`)
      .replace(/(alice:[^[]*keys:\s*\[?)[^\]]*/, `$1"${own}", "${publicKey}"`);
    assert.ok(text.includes(publicKey), before);
    writeFileSync(path, text);
    const officer = `${gateway.folder}/callers/house/officer.json`;
    const applied = await run(["policy", "apply", path, "--yes", "--as", officer]);
    assert.equal(applied.code, 0, applied.stderr);
  };

  it("two people see what it would do, approve it, and the same POST signs it", async () => {
    const { id, state } = await ask("payment-1");
    assert.equal(state, "pending");

    const listed = await approval("alice", "list");
    assert.match(
      listed.stdout,
      new RegExp(`^${id} +pending +payouts +hot-1 +2 more of officers \\(alice, bob, carla\\)\n$`),
    );

    const shown = await approval("alice", "show", id);
    assert.match(
      shown.stdout,
      /1\. transfer 50 ETH-LOCAL from eip155:31337:0x\w{40} to eip155:31337:0x7099\w+ \(treasury\)/,
    );
    assert.match(shown.stdout, /fee at most 0\.000021 ETH-LOCAL/);
    assert.match(shown.stdout, /decoded here; the gateway says the same \(sha256:[0-9a-f]{64}\)/);
    assert.match(shown.stdout, /waits for 2 more of officers \(alice, bob, carla\)/);

    const first = await approval("alice", "approve", id, "--yes");
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stdout, /: pending\n {2}waits for {3}1 more of officers\n/);
    const twice = await approval(
      "alice",
      "approve",
      id,
      "--yes",
      "--expires",
      new Date(Date.now() + 3_600_000).toISOString(),
    );
    assert.deepEqual([twice.code, twice.stderr.includes("approval-repeated")], [1, true], twice.stderr);
    const operator = await approval("dave", "approve", id, "--yes");
    assert.equal(operator.code, 1);
    assert.match(operator.stderr, /approval-by-operator: `dave` operates `payouts`/);

    const second = await approval("bob", "approve", id, "--yes");
    assert.match(second.stdout, /: ready\n/);
    assertTranscript("docs/approvals.md", "two-people", [
      { line: "approval list --as alice.json", ran: listed },
      { line: `approval approve ${id} --as alice.json`, ran: first },
      { line: `approval approve ${id} --as dave.json`, ran: operator },
      { line: `approval approve ${id} --as bob.json`, ran: second },
    ]);
    const signed = await ask("payment-1");
    const transaction = Transaction.from(signed.result!.signedTransaction);
    assert.deepEqual([signed.state, transaction.to, transaction.value], ["signed", TREASURY, 50n * ETHER]);
    assert.deepEqual(
      signed.approvals?.map(({ person }) => person),
      ["alice", "bob"],
    );
    assert.match((await approval("bob", "list")).stdout, /^nothing waits\n$/);
  });

  it("one rejection ends it", async () => {
    const { id } = await ask("payment-2");
    const rejected = await approval("bob", "reject", id, "--yes");
    assert.match(rejected.stdout, /: rejected\n {2}rejected: `bob` has rejected this request/);
    assertTranscript("docs/approvals.md", "rejection", [
      { line: `approval reject ${id} --as bob.json`, ran: rejected },
    ]);
    await assert.rejects(ask("payment-2"), { code: "rejected" });
  });

  it("its service takes it back while it waits", async () => {
    const { id } = await ask("payment-8");
    const { stdout } = await run(["request", "cancel", id, "--as", `${gateway.folder}/callers/acme-fund/payouts.json`]);
    assert.match(stdout, /: cancelled\n/);
    await assert.rejects(ask("payment-8"), { code: "cancelled" });
  });

  it("an SSH key signs, from its file, from the agent, and elsewhere", async () => {
    const key = join(work, "alice-ssh");
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key]);
    execFileSync("ssh-add", ["-q", key], { env: { ...process.env, ...agent }, stdio: "ignore" });
    await withSshKey(readFileSync(`${key}.pub`, "utf8").trim());
    const approves = async (name: string, ...how: string[]) => {
      const { id } = await ask(name, 20n);
      const done = await approval("alice", "approve", id, "--yes", ...how);
      assert.equal(done.code, 0, done.stderr);
      return id;
    };

    await approves("payment-3", "--ssh-key", key);
    rmSync(key); // only the agent has it now
    await approves("payment-4", "--ssh-key", `${key}.pub`);

    const { id } = await ask("payment-5", 20n);
    const [text, signature] = [join(work, "text"), join(work, "text.sig")];
    const { stdout } = await approval("bob", "approve", id, "--person", "alice", "--print-text");
    writeFileSync(text, stdout);
    execFileSync("ssh-keygen", ["-q", "-Y", "sign", "-n", "portcullis-approval-v1", "-f", `${key}.pub`, text], {
      env: { ...process.env, ...agent },
      stdio: "ignore",
    });
    const carried = await approval(
      "bob",
      "approve",
      id,
      "--person",
      "alice",
      "--text",
      text,
      "--signature",
      signature,
      "--yes",
    );
    assert.equal(carried.code, 0, carried.stderr);
    const view = await gateway
      .as("acme-fund", "bob")
      .get<ApprovalView>(`/v1/clients/acme-fund/signing-requests/${id}/approvals`);
    assert.deepEqual(
      view.waiting?.approvals.map(({ person, counts }) => [person, counts]),
      [["alice", true]],
    );

    const other = await ask("payment-6", 20n);
    const elsewhere = await approval(
      "bob",
      "approve",
      other.id,
      "--person",
      "alice",
      "--text",
      text,
      "--signature",
      signature,
    );
    assert.match(elsewhere.stderr, /^approval-mismatch: the text in/);
  });

  it("what is shown to scripts is what the gateway signed", async () => {
    const { id } = await ask("payment-7", 30n);
    const { stdout } = await approval("bob", "show", id, "--json");
    const { request, waiting } = JSON.parse(stdout) as ApprovalView & { request: SigningRequestView };
    assert.deepEqual([request.id, waiting?.outcome, waiting?.missing[0]?.need], [id, "needs-approval", 2]);
  });
});
