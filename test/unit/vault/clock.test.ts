import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSqliteStore } from "../../../src/adapters/sqlite/store.ts";
import { GatewayError } from "../../../src/domain/errors.ts";
import type { CallerName, ClientId } from "../../../src/domain/names.ts";
import { beat, ClockGuard, confirmClock, guarded, HEARTBEAT_MS } from "../../../src/vault/clock.ts";
import { appendLeaf } from "../../../src/vault/log.ts";
import type { ClientRow, Store } from "../../../src/vault/ports.ts";
import { sealed } from "../../support/sealed.ts";

// Goal: nothing is decided at a time that nobody has vouched for, so that moving a clock empties no window.
// Method: the real store with a clock that the test moves, and guards whose monotonic clock it moves as well.

const START = 1_800_000_000_000;
const GAP_MS = 3_600_000;
const officer = "officer" as CallerName;
const house: ClientRow = {
  id: "house" as ClientId,
  owner: "house",
  status: "active",
  token: { label: "house", serial: "1" },
  saltKey: Buffer.alloc(32, 1),
  freezes: [],
};

describe("vault/clock", () => {
  let folder: string;
  let store: Store;
  let wall: number;
  let monotonic: number;

  const vault = () => guarded(store, new ClockGuard({ monotonic: () => monotonic, gapMs: GAP_MS }));
  const write = (to: Store) => to.write((transaction) => appendLeaf(transaction, house, "refused", {}));
  const pass = (ms: number, monotonicMs = ms): void => {
    wall += ms;
    monotonic += monotonicMs;
  };
  const refused = (work: Promise<unknown>, code = "clock-unconfirmed") =>
    assert.rejects(work, (error) => error instanceof GatewayError && error.code === code);
  const types = () =>
    store.read(async (reader) =>
      (await reader.leaves(0, 99)).map(({ opening }) => (JSON.parse(opening) as { type: string }).type),
    );

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-clock-"));
    [wall, monotonic] = [START, 5_000];
    store = sealed(openSqliteStore(join(folder, "store.db"), () => wall));
    await write(store);
  });
  afterEach(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it("a clock that goes as time goes is believed, however long", async () => {
    const one = vault();
    for (const ms of [1, 1_000, 86_400_000, 30 * 86_400_000]) {
      pass(ms);
      if (ms > GAP_MS) continue;
      await write(one);
    }
    await write(one);
  });

  it("a minute more than the monotonic clock is borne, a millisecond more than that is not, and nothing is written", async () => {
    const one = vault();
    await write(one);
    pass(60_000, 0);
    await write(one);
    pass(1, 0);
    const before = await types();
    await refused(write(one));
    assert.deepEqual(await types(), before);
  });

  it("many small gains are one large gain", async () => {
    const one = vault();
    await write(one);
    pass(40_000, 0);
    await write(one);
    pass(40_000, 0);
    await refused(write(one));
  });

  it("set right again, it is believed again, and no leaf stands in the future", async () => {
    const one = vault();
    await write(one);
    pass(86_400_000, 0);
    await refused(write(one));
    pass(-86_400_000, 0);
    const { at } = await write(one);
    assert.equal(at, START);
  });

  it("a clock that falls back frees nothing: time stands still until it has caught up", async () => {
    const one = vault();
    await write(one);
    pass(-86_400_000, 1_000);
    assert.equal((await write(one)).at, START);
  });

  it("at a start, a log that was silent for longer than the gap needs an officer", async () => {
    pass(GAP_MS, 0);
    await write(vault());
    pass(GAP_MS + 1, 0);
    await refused(write(vault()));
  });

  it("an officer's word is a leaf, and every vault goes on from there", async () => {
    const [one, two] = [vault(), vault()];
    await Promise.all([write(one), write(two)]);
    pass(7_200_000, 0);
    await refused(write(one));
    assert.equal(await confirmClock(store, house, wall + 60_000, officer), wall);
    await write(one);
    pass(59_000);
    await write(two);
    pass(86_400_000);
    await Promise.all([write(one), write(two)]);
    assert.equal((await types()).filter((type) => type === "clock-confirmed").length, 1);
    pass(61_000, 0);
    await refused(write(two));
  });

  it("an officer whose own clock shows another time confirms nothing", async () => {
    const one = vault();
    await write(one);
    pass(7_200_000, 0);
    for (const seen of [wall - 60_001, wall + 60_001])
      await refused(confirmClock(store, house, seen, officer), "clock-differs");
    await refused(write(one));
  });

  it("a heartbeat is one leaf in five minutes, whoever is first", async () => {
    const [one, two] = [vault(), vault()];
    assert.deepEqual([await beat(one, house), await beat(two, house), await beat(one, house)], [true, false, false]);
    pass(HEARTBEAT_MS);
    assert.deepEqual([await beat(two, house), await beat(one, house)], [true, false]);
    assert.equal((await types()).filter((type) => type === "heartbeat").length, 2);
  });
});
