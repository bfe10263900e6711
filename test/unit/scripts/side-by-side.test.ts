// Goal: everything is done once, no more of it at a time than there are places, and told in order.
import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { sideBySide } from "../../../scripts/side-by-side.mjs";

describe("npm test: side by side", () => {
  it("however long each takes, all results are told in order, and places are filled but never overfilled", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(9), { maxLength: 20 }),
        fc.integer({ min: 1, max: 5 }),
        async (turns, places) => {
          let atWork = 0;
          let most = 0;
          const told: number[] = [];
          const work = async ([index, count]: [number, number]) => {
            most = Math.max(most, ++atWork);
            for (let n = 0; n <= count; n++) await turn();
            atWork--;
            return index;
          };
          await sideBySide([...turns.entries()], places, work, (index) => told.push(index));
          assert.deepEqual(told, [...turns.keys()]);
          assert.equal(most, Math.min(places, turns.length));
        },
      ),
    ));

  it("a result is told as soon as those before it were", async () => {
    const told: string[] = [];
    let finish = () => {};
    const late = new Promise<void>((resolve) => (finish = resolve));
    const all = sideBySide(
      ["first", "late", "third"],
      2,
      async (name) => {
        if (name === "late") await late;
        return name;
      },
      (name) => told.push(name),
    );
    await turn();
    assert.deepEqual(told, ["first"]);
    finish();
    await all;
    assert.deepEqual(told, ["first", "late", "third"]);
  });

  it("what goes wrong is not lost", () =>
    assert.rejects(
      sideBySide(
        [1],
        2,
        () => Promise.reject(new Error("the disk is full")),
        () => undefined,
      ),
      /the disk is full/,
    ));
});
