import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { startDevGateway, type DevGateway } from "../support/gateway.ts";
import { descriptorsOf, listeningPorts, ownerOf, processesOf } from "../support/processes.ts";

// Goal: whoever owns the edge has no more than its socket: no file, no memory, no descriptor of the vault.
// Method: a process under the edge's user tries each of the vault's files, its store, its tokens and its memory, and
// the operating system says what the two processes have open. As another user than root there is no such wall, and the
// gateway must say so.

const PROGRAM = fileURLToPath(new URL("../../bin/portcullis.js", import.meta.url));
const asRoot = process.getuid?.() === 0;

type Attempt = { readonly how: "read" | "write" | "list" | "signal"; readonly path: string };

/** Runs under the edge's user: tries everything on its standard input, and says how each ended. */
const INTRUDER = `
  const fs = require("node:fs");
  const act = {
    read: (path) => { const fd = fs.openSync(path, "r"); fs.readSync(fd, Buffer.alloc(1)); },
    write: (path) => fs.openSync(path, "r+"),
    list: (path) => fs.readdirSync(path),
    signal: (pid) => process.kill(Number(pid), "SIGTERM"),
  };
  const outcome = ({ how, path }) => { try { act[how](path); return "done"; } catch (error) { return error.code; } };
  const attempts = JSON.parse(fs.readFileSync(0, "utf8"));
  console.log(JSON.stringify(attempts.map((attempt) => ({ ...attempt, outcome: outcome(attempt) }))));
`;

async function tryAs(user: { uid: number; gid: number }, attempts: readonly Attempt[]) {
  const { uid, gid } = user;
  const child = spawn(process.execPath, ["-e", INTRUDER], {
    ...{ uid, gid, cwd: "/", env: {} },
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.end(JSON.stringify(attempts));
  return JSON.parse(await text(child.stdout)) as (Attempt & { outcome: string })[];
}

const below = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => join(folder, name));
/** Some are there for a moment only, until they are put in another's place. */
const isFolder = (path: string) => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

describe("isolation of edge and vault", function () {
  let gateway: DevGateway;
  let leftOpen: number;
  let pids: { vault: number; edge: number };
  const secret = join(tmpdir(), `portcullis-left-open-${process.pid}`);

  before(async () => {
    // A descriptor that whoever starts the gateway left open: far up, where Node itself does not look.
    writeFileSync(secret, "not for the edge");
    leftOpen = openSync(secret, "r");
    gateway = await startDevGateway([], { leftOpen });
    pids = processesOf(gateway.process.pid!);
  });
  after(async () => {
    await gateway?.stop();
    closeSync(leftOpen);
    rmSync(secret);
  });

  const expected = () => {
    const { uid } = ownerOf(pids.edge);
    return asRoot ? new RegExp(`^users \\(edge runs as ${nameOf(uid)}\\)$`) : /^none \(edge and vault share a user\)$/;
  };

  it("is told at the start, by /readyz and by `portcullis status`, as it is", async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [PROGRAM, "status", "--url", gateway.url, "--json"]);
    const ready = (await (await fetch(`${gateway.url}/readyz`)).json()) as { isolation: string };
    const status = JSON.parse(stdout) as { isolation: string };
    for (const { isolation } of [gateway, ready, status]) assert.match(isolation, expected());
  });

  it("the vault listens on no port; the edge on its one", () => {
    assert.deepEqual(listeningPorts(pids.vault), []);
    assert.deepEqual(listeningPorts(pids.edge), [Number(new URL(gateway.url).port)]);
  });

  it("the edge begins with an empty environment, in a session of its own", () => {
    assert.equal(readFileSync(`/proc/${pids.edge}/environ`, "utf8"), "");
    assert.equal(sessionOf(pids.edge), pids.edge);
  });

  it("the edge has nothing open but sockets, pipes and what Node itself polls with", () => {
    const others = descriptorsOf(pids.edge).filter(({ target }) => !/^(socket|pipe|anon_inode):/.test(target));
    assert.deepEqual([...new Set(others.map(({ target }) => target))], ["/dev/null"]);
  });

  it("neither process has what the one that started them had open", () => {
    for (const pid of Object.values(pids))
      assert.deepEqual(
        descriptorsOf(pid).filter(({ target }) => target === secret),
        [],
      );
  });

  if (!asRoot) {
    it("edge and vault run as whoever started them", () => {
      for (const pid of Object.values(pids)) assert.equal(ownerOf(pid).uid, process.getuid!());
    });
    return; // one user: there is no wall, and the first test saw that the gateway says so
  }

  it("the edge runs under a user of its own, with no capability and no further group", () => {
    assert.equal(ownerOf(pids.vault).uid, 0);
    assert.notEqual(ownerOf(pids.edge).uid, 0);
    assert.match(readFileSync(`/proc/${pids.edge}/status`, "utf8"), /^CapEff:\t0+$/m);
    assert.match(readFileSync(`/proc/${pids.edge}/status`, "utf8"), /^Groups:\t\s*$/m);
  });

  it("a process of the edge's user reads, writes and lists nothing of the vault's: files, store, tokens, PINs", async () => {
    const { folder } = gateway;
    const all = [
      join(folder, "portcullis.yaml"),
      ...["vault", "callers", "policies"].flatMap((name) => [join(folder, name), ...below(join(folder, name))]),
    ];
    for (const part of [
      "/vault/portcullis.db",
      "/vault/boot.secret",
      "/vault/softhsm/tokens/",
      "/callers/house/officer.json",
    ])
      assert.ok(
        all.some((path) => path.includes(part)),
        `expected ${part} among what is tried`,
      );
    const attempts = all.flatMap((path): Attempt[] =>
      isFolder(path)
        ? [
            { how: "list", path },
            { how: "read", path: join(path, "any") },
          ]
        : (["read", "write"] as const).map((how) => ({ how, path })),
    );
    const admitted = (await tryAs(ownerOf(pids.edge), attempts)).filter(({ outcome }) => !refused(outcome));
    assert.deepEqual(admitted, []);
  });

  it("of everything in the gateway's folder it reads only its own program and what callers may know", async () => {
    const files = below(gateway.folder).filter((path) => !isFolder(path) && !path.endsWith(".sock"));
    const outcomes = await tryAs(
      ownerOf(pids.edge),
      files.map((path) => ({ how: "read", path })),
    );
    const readable = outcomes
      .filter(({ outcome }) => outcome === "done")
      .map(({ path }) => relative(gateway.folder, path));
    assert.deepEqual(readable.sort(), ["gateway.json", "run/edge.cjs"]);
    const writable = await tryAs(
      ownerOf(pids.edge),
      ["gateway.json", "run/edge.cjs"].map((name) => ({ how: "write", path: join(gateway.folder, name) })),
    );
    assert.deepEqual(
      writable.map(({ outcome }) => outcome),
      ["EACCES", "EACCES"],
    );
  });

  it("a process of the edge's user reaches neither the vault's memory nor its descriptors, and cannot end it", async () => {
    const of = (name: string) => `/proc/${pids.vault}/${name}`;
    const attempts: Attempt[] = [
      ...["mem", "environ", "maps", "auxv", "stack", "syscall", "io", "root/etc/passwd", "cwd/."].map(
        (name): Attempt => ({ how: "read", path: of(name) }),
      ),
      ...descriptorsOf(pids.vault).map(({ fd }): Attempt => ({ how: "read", path: of(`fd/${fd}`) })),
      { how: "write", path: of("mem") },
      ...["fd", "map_files", "root"].map((name): Attempt => ({ how: "list", path: of(name) })),
      ...[pids.vault, gateway.process.pid!].map((pid): Attempt => ({ how: "signal", path: String(pid) })),
      { how: "read", path: `/proc/${gateway.process.pid}/mem` },
      { how: "read", path: `/proc/${gateway.process.pid}/environ` },
    ];
    const admitted = (await tryAs(ownerOf(pids.edge), attempts)).filter(({ outcome }) => !refused(outcome));
    assert.deepEqual(admitted, []);
  });

  it("the same attempts succeed as the vault's own user, so it is the wall that stops them", async () => {
    const attempts: Attempt[] = ["vault/portcullis.db", "vault/boot.secret", "portcullis.yaml"].map((name) => ({
      how: "read",
      path: join(gateway.folder, name),
    }));
    const outcomes = await tryAs({ uid: 0, gid: 0 }, [
      ...attempts,
      { how: "read", path: `/proc/${pids.vault}/environ` },
      { how: "list", path: `/proc/${pids.vault}/fd` },
    ]);
    assert.deepEqual(
      outcomes.filter(({ outcome }) => outcome !== "done"),
      [],
    );
  });
});

const refused = (outcome: string) => outcome === "EACCES" || outcome === "EPERM";

const nameOf = (uid: number): string =>
  readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"))
    .find((fields) => fields[2] === String(uid))![0]!;

/** Field 6 of /proc/PID/stat; the name before it may hold blanks. */
const sessionOf = (pid: number): number =>
  Number(
    readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ")[3],
  );
