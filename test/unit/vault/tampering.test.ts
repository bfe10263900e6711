import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { openSqliteStore } from "../../../src/adapters/sqlite/store.ts";
import type { SigningRequestView } from "../../../src/domain/api.ts";
import { GatewayError } from "../../../src/domain/errors.ts";
import { GatewayClient } from "../../../src/sdk/client.ts";
import { newCaller } from "../../../src/sdk/caller-file.ts";
import { route } from "../../../src/vault/api/router.ts";
import type { Answer } from "../../../src/vault/api/routes.ts";
import { hashOfLeaf, leafSalt } from "../../../src/vault/log.ts";
import type { Store } from "../../../src/vault/ports.ts";
import { hsmInSoftware, type SoftwareHsm } from "../../support/software-hsm.ts";
import {
  accountOf,
  acmePolicy,
  ADDRESSES,
  GATEWAY,
  newKey,
  REQUESTS,
  testVault,
  transferBody,
} from "../../support/vault.ts";
import type { TestVault } from "../../support/vault.ts";

// Goal: whoever can write to the store and nothing else cannot have one signature made that the policy does not allow: what
// a decision relies on is held against the log when it is used, and its client is stopped before anything is signed (I19).
// Method: a vault with a past; a copy of its file, changed as an administrator of the database could; a vault started on
// the copy. On the copy as it was, the same request gets the answer that is named.

/** Payments to it need a person. */
const SEEN = `0x${"4".repeat(40)}`;
const limits = { daily: { sum: "ETH", max: "100", window: { rolling: "24h" } } };
const addressBook = { fresh: { address: accountOf(ADDRESSES[2]!), coolOff: "24h" } };
const rules = [
  { id: "payouts", allow: ["transfer"], to: [accountOf(ADDRESSES[0]!)], amount: { ETH: "any" } },
  { id: "own", allow: ["transfer"], to: ["own"], amount: { ETH: "any" } },
  { id: "fresh", allow: ["transfer"], to: ["fresh"], amount: { ETH: "any" } },
  { id: "seen", allow: ["transfer"], to: [accountOf(SEEN)], amount: { ETH: "any" }, approvals: { people: 1 } },
];

/** Rows as they were at some moment of the past: to be brought back. */
type Kept = Readonly<Record<string, unknown>>[];
type Past = { readonly requests: Kept; readonly nonces: Kept; readonly spend: Kept; readonly clients: Kept };

type Tampering = {
  readonly what: string;
  readonly tamper: (database: Database.Database, past: Past) => void;
  readonly ask: (on: Copy) => Promise<Answer>;
  /** Of the copy as it was. */
  readonly honest: readonly [number, string];
};

type Copy = {
  readonly post: (value: number, fields?: object, key?: string) => Promise<Answer>;
  readonly call: (caller: string, method: string, target: string, body?: unknown, key?: string) => Promise<Answer>;
};

const insert = (database: Database.Database, table: string, rows: Kept): void => {
  for (const row of rows)
    database
      .prepare(
        `INSERT OR REPLACE INTO ${table} (${Object.keys(row).join(", ")}) VALUES (${Object.keys(row)
          .map(() => "?")
          .join(", ")})`,
      )
      .run(...Object.values(row));
};

const sql =
  (...texts: string[]): Tampering["tamper"] =>
  (database) => {
    for (const text of texts) assert.ok(database.prepare(text).run().changes > 0, `changes nothing: ${text}`);
  };

const OVER = [403, "denied-by-policy over-limit"] as const;
const SIGNED = [201, "signed"] as const;
const CONFLICT = [403, "denied-by-policy conflict"] as const;

/** What is left of the limit is 40. */
const spendMore = (on: Copy) => on.post(60);
const again = (on: Copy) => on.post(30, {}, "first");
const askedAgain = (on: Copy) => on.post(1, { to: SEEN }, "waits");
const nonce0 = (on: Copy) => on.post(1, { nonce: "0" });

const TAMPERINGS: readonly Tampering[] = [
  {
    what: "a spent sum is set to zero",
    tamper: sql("UPDATE spend SET amount = '0', total = '0'"),
    ask: spendMore,
    honest: OVER,
  },
  { what: "what was spent is deleted", tamper: sql("DELETE FROM spend"), ask: spendMore, honest: OVER },
  {
    what: "the last that was spent is deleted",
    tamper: sql("DELETE FROM spend WHERE leaf = (SELECT max(leaf) FROM spend)"),
    ask: spendMore,
    honest: OVER,
  },
  {
    what: "what was spent is counted under another limit's name",
    tamper: sql("UPDATE spend SET counter = 'acme/other/-'"),
    ask: spendMore,
    honest: OVER,
  },
  {
    what: "sums of an earlier policy are brought back",
    tamper: (database, { spend }) => {
      database.exec("DELETE FROM spend");
      insert(database, "spend", spend);
    },
    ask: spendMore,
    honest: OVER,
  },
  {
    what: "a freeze of the client is deleted",
    tamper: sql("UPDATE clients SET status = 'active', freezes = '[]' WHERE id = 'blue'"),
    ask: (on) => on.call("blue-payouts", "POST", REQUESTS.replace("acme", "blue"), transferBody(1), newKey()),
    honest: [409, "client-frozen"],
  },
  {
    what: "a row from before the freeze is brought back",
    tamper: (database, { clients }) => {
      database.pragma("foreign_keys = OFF");
      insert(database, "clients", clients);
    },
    ask: (on) => on.call("blue-payouts", "POST", REQUESTS.replace("acme", "blue"), transferBody(1), newKey()),
    honest: [409, "client-frozen"],
  },
  {
    what: "the key of a caller is another one's",
    tamper: (database) => {
      const { files, version } = database
        .prepare("SELECT * FROM policies WHERE client = 'acme' ORDER BY version DESC LIMIT 1")
        .get() as { files: string; version: number };
      const changed = files.replace("wallet-service", "auditor");
      assert.notEqual(changed, files);
      database.prepare("UPDATE policies SET files = ? WHERE client = 'acme' AND version = ?").run(changed, version);
    },
    ask: (on) => on.post(1),
    honest: SIGNED,
  },
  {
    what: "an earlier policy is made the active one",
    tamper: sql(
      "UPDATE clients SET policy_hash = (SELECT hash FROM policies WHERE client = 'acme' AND version = 1) WHERE id = 'acme'",
    ),
    ask: (on) => on.post(1, { to: ADDRESSES[1] }),
    honest: [403, "denied-by-policy no-rule-allows"],
  },
  {
    what: "an address of the book looks older",
    tamper: sql("UPDATE held_addresses SET since = 0 WHERE client = 'acme'"),
    ask: (on) => on.post(1, { to: ADDRESSES[2] }),
    honest: [403, "denied-by-policy address-cooling-off"],
  },
  {
    what: "the public key of a key is replaced",
    tamper: (database) =>
      void database
        .prepare("UPDATE keys SET public_key = ? WHERE client = 'acme' AND name = 'hot-1'")
        .run(Buffer.alloc(65, 4)),
    ask: (on) => on.post(1),
    honest: SIGNED,
  },
  {
    what: "a stranger's account is the client's own",
    tamper: sql(`INSERT INTO accounts (account, client, key) VALUES ('${accountOf(ADDRESSES[1]!)}', 'acme', 'hot-1')`),
    ask: (on) => on.post(1, { to: ADDRESSES[1] }),
    honest: [403, "denied-by-policy no-rule-allows"],
  },
  {
    what: "a disabled key is active again",
    tamper: sql("UPDATE keys SET state = 'active' WHERE name = 'old-1'"),
    ask: (on) => on.call("payouts", "POST", REQUESTS, { ...transferBody(1), key: "old-1" }, newKey()),
    honest: [409, "key-disabled"],
  },
  {
    what: "a request and its claim are deleted, so that it is done twice",
    tamper: sql(
      "DELETE FROM claims WHERE request = (SELECT id FROM requests WHERE idempotency_key = 'first')",
      "DELETE FROM requests WHERE idempotency_key = 'first'",
    ),
    ask: again,
    honest: SIGNED,
  },
  {
    what: "a request has another idempotency key, so that it is done twice",
    tamper: sql("UPDATE requests SET idempotency_key = 'another' WHERE idempotency_key = 'first'"),
    ask: again,
    honest: SIGNED,
  },
  {
    what: "a signed request stands as it stood before it was signed",
    tamper: (database, { requests }) => {
      insert(database, "requests", requests);
      sql("DELETE FROM outcomes")(database, {} as Past);
    },
    ask: again,
    honest: SIGNED,
  },
  {
    what: "a signed request has no outcome",
    tamper: sql("DELETE FROM outcomes"),
    ask: again,
    honest: SIGNED,
  },
  {
    what: "a signed request has another's outcome",
    tamper: sql(
      `UPDATE outcomes SET outcome = other.outcome, seal = other.seal FROM outcomes AS other
       WHERE other.decision_leaf <> outcomes.decision_leaf`,
    ),
    ask: again,
    honest: SIGNED,
  },
  {
    what: "the bytes of a request are others",
    tamper: sql(
      "UPDATE requests SET record = replace(record, 'unsigned\":\"', 'unsigned\":\"00') WHERE state = 'authorized'",
    ),
    ask: again,
    honest: SIGNED,
  },
  {
    what: "an approval is put into a request that waits",
    tamper: sql(
      `UPDATE requests SET record = json_set(record, '$.approvals', json('[{"person":"alice","at":1,"text":"","signature":{}}]'))
       WHERE idempotency_key = 'waits'`,
    ),
    ask: askedAgain,
    honest: [202, "pending"],
  },
  {
    what: "the next nonce is lowered, and what claims it deleted",
    tamper: sql("UPDATE nonces SET next = '0'", "DELETE FROM claims"),
    ask: (on) => on.post(1),
    honest: SIGNED,
  },
  {
    what: "the next nonce and what claims it are as they were before",
    tamper: (database, { nonces }) => {
      insert(database, "nonces", nonces);
      sql("DELETE FROM claims WHERE claim LIKE '%#1'")(database, {} as Past);
    },
    ask: (on) => on.post(1),
    honest: SIGNED,
  },
  { what: "the next nonce is deleted", tamper: sql("DELETE FROM nonces"), ask: (on) => on.post(1), honest: SIGNED },
  { what: "what claims a nonce is deleted", tamper: sql("DELETE FROM claims"), ask: nonce0, honest: CONFLICT },
  {
    what: "a nonce is claimed by another request",
    tamper: sql(`UPDATE claims SET request = '${"0".repeat(32)}'`),
    ask: nonce0,
    honest: CONFLICT,
  },
  {
    what: "a leaf says something else",
    tamper: sql(
      'UPDATE leaves SET opening = replace(opening, \'"amount":"30"\', \'"amount":"10"\') WHERE client = \'acme\'',
    ),
    ask: spendMore,
    honest: OVER,
  },
  {
    what: "a leaf is made by whoever knows everything in the store",
    tamper: (database) => forgeLeaf(database),
    ask: spendMore,
    honest: OVER,
  },
];

const bluePayouts = newCaller(
  { gateway: GATEWAY, url: "http://127.0.0.1", answersKey: `ed25519:${"A".repeat(43)}=` },
  "blue-payouts",
);

type Row = Record<string, unknown> & { idx: number; at: number; number: number; hash: Buffer; opening: string };

/** With the right salt, hash and place: as if the first request's spend had been given back. */
function forgeLeaf(database: Database.Database): void {
  const last = database.prepare("SELECT * FROM leaves ORDER BY idx DESC LIMIT 1").get() as Row;
  const own = database.prepare("SELECT * FROM leaves WHERE client = 'acme' ORDER BY idx DESC LIMIT 1").get() as Row;
  const { salt_key: saltKey } = database.prepare("SELECT salt_key FROM clients WHERE id = 'acme'").get() as {
    salt_key: Buffer;
  };
  const first = database.prepare("SELECT id FROM requests WHERE idempotency_key = 'first'").get() as { id: string };
  const [index, number] = [last.idx + 1, own.number + 1];
  const said = { type: "failed", index, at: last.at, client: "acme", number, previous: own.hash.toString("hex") };
  const opening = JSON.stringify({ ...said, request: first.id, spend: "given-back" });
  const commitment = createHash("sha256").update(leafSalt(saltKey, number)).update(opening).digest();
  const hash = hashOfLeaf(saltKey, { index, at: last.at, number, opening });
  database
    .prepare(
      "INSERT INTO leaves (idx, at, hash, commitment, client, number, opening, seal) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .run(index, last.at, hash, commitment, "acme", number, opening, own["seal"]);
}

describe("a store that was changed", () => {
  let vault: TestVault;
  let hsm: SoftwareHsm;
  let folder: string;
  let past: Past;
  const opened: Store[] = [];

  const rowsNow = (table: string): Kept => {
    const path = copied(`past-${table}-${newKey()}`);
    const database = new Database(path, { readonly: true });
    const rows = database.prepare(`SELECT * FROM ${table}`).all() as Kept;
    database.close();
    return rows;
  };
  function copied(name: string): string {
    const path = join(folder, name);
    for (const suffix of ["", "-wal"])
      if (existsSync(`${vault.storePath}${suffix}`)) copyFileSync(`${vault.storePath}${suffix}`, `${path}${suffix}`);
    return path;
  }
  const post = (value: number, key = newKey()) => vault.call("payouts", "POST", REQUESTS, transferBody(value), key);

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-tampering-"));
    hsm = hsmInSoftware();
    const earlier = {
      daily: { ...limits.daily, amount: { ETH: { max: "29" } } },
      all: { ...limits.daily, max: "999" },
    };
    vault = await testVault({ hsm, policy: { limits: earlier } });
    const { clientCallers: callers } = vault;
    // The first request's token is away, once: the row is kept as it stood then.
    hsm.fault = () => {
      throw new GatewayError("hsm-unavailable", "the token is away");
    };
    assert.equal((await post(30, "first")).status, 202);
    const requests = rowsNow("requests");
    hsm.fault = undefined;
    assert.equal((await post(30, "first")).status, 201);
    const nonces = rowsNow("nonces");
    assert.equal((await post(29)).status, 201);
    const spend = rowsNow("spend").filter(({ counter }) => counter === "acme/daily/-");
    await vault.apply("acme", {
      ...{ ...acmePolicy, callers, version: "2", limits, rules, addressBook },
      groups: { people: ["alice"] },
    });
    const waits = await vault.call("payouts", "POST", REQUESTS, transferBody(1, { to: SEEN }), "waits");
    assert.equal(waits.status, 202);
    await vault.call("operator", "POST", "/v1/clients", { client: "blue" }, newKey());
    await vault.call(
      "operator",
      "POST",
      "/v1/clients/blue/keys",
      { name: "hot-1", chains: ["eip155:31337"] },
      newKey(),
    );
    const blue = { "blue-payouts": { role: "wallet-service", keys: [bluePayouts.publicKey] } };
    await vault.apply("blue", { ...acmePolicy, client: "blue", callers: blue });
    await vault.call(
      "operator",
      "POST",
      "/v1/clients/acme/keys",
      { name: "old-1", chains: ["eip155:31337"] },
      newKey(),
    );
    await vault.call("operator", "POST", "/v1/clients/acme/keys/old-1/state", { state: "disabled" }, newKey());
    const clients = rowsNow("clients").filter(({ id }) => id === "blue");
    await vault.call("operator", "POST", "/v1/clients/blue/freeze", {}, newKey());
    past = { requests, nonces, spend, clients };
  });
  after(async () => {
    await vault.close();
    rmSync(folder, { recursive: true, force: true });
  });
  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close();
  });

  async function startedOn(tamper?: Tampering["tamper"]): Promise<Copy> {
    const path = copied(`copy-${newKey()}`);
    if (tamper) {
      const database = new Database(path);
      tamper(database, past);
      database.close();
    }
    const store = vault.sealed(openSqliteStore(path, () => vault.clock.now));
    opened.push(store);
    const gateway = await vault.restarted({ store });
    const call: Copy["call"] = (caller, method, target, body, key) => {
      const bytes = Buffer.from(JSON.stringify(body));
      const { headers } = new GatewayClient(vault.callers.get(caller) ?? bluePayouts).signRequest(
        method,
        target,
        bytes,
        key,
      );
      return route(gateway, { method, target, headers, body: bytes });
    };
    return {
      call,
      post: (value, fields = {}, key = newKey()) =>
        call("payouts", "POST", REQUESTS, transferBody(value, fields as never), key),
    };
  }
  const said = ({ status, body }: Answer) => {
    const { code, reason, state } = body as { code?: string; reason?: string } & Partial<SigningRequestView>;
    return [status, code === undefined ? state : [code, reason].filter((each) => each !== undefined).join(" ")];
  };

  for (const { what, tamper, ask, honest } of TAMPERINGS) {
    it(`${what}: integrity, and nothing is signed`, async () => {
      assert.deepEqual(said(await ask(await startedOn())), honest, "as it was");
      const signed = hsm.signed.length;
      assert.deepEqual(said(await ask(await startedOn(tamper))), [503, "integrity"]);
      assert.equal(hsm.signed.length, signed, "nothing was signed");
    });
  }

  it("one client is stopped, the others go on", async () => {
    const on = await startedOn(sql("UPDATE spend SET total = '0'"));
    assert.deepEqual(said(await on.post(1)), [503, "integrity"]);
    assert.deepEqual(said(await on.post(1)), [503, "integrity"]);
    const { status } = await on.call(
      "operator",
      "POST",
      "/v1/clients/blue/keys",
      { name: "hot-2", chains: ["eip155:31337"] },
      newKey(),
    );
    assert.equal(status, 201);
  });

  for (const [what, text] of [
    ["a leaf is deleted", "DELETE FROM leaves WHERE idx = 5"],
    [
      "the house's policy is another document",
      "UPDATE policies SET files = replace(files, 'policy-officer', 'auditor') WHERE client = 'house'",
    ],
    [
      "a client's last leaf is deleted",
      "DELETE FROM leaves WHERE idx = (SELECT max(idx) FROM leaves WHERE client = 'acme')",
    ],
  ] as const) {
    it(`${what}: no vault starts`, async () => {
      await assert.rejects(startedOn(sql(text)), { code: "integrity" });
    });
  }
});
