// Goal: a token with one operation waits for one turn, whatever another one has in its queue; none holds every lane.
// Method: users that keep what they began until the test ends it.
import assert from "node:assert/strict";
import { Lanes, type LaneUser } from "../../../../src/adapters/pkcs11/lanes.ts";

class User implements LaneUser {
  running = 0;
  wanted: number;
  readonly #lanes: Lanes;
  readonly #began: string[];
  readonly #name: string;

  constructor(lanes: Lanes, name: string, wanted: number, began: string[]) {
    this.#lanes = lanes;
    this.#name = name;
    this.wanted = wanted;
    this.#began = began;
    lanes.join(this);
  }

  want(): void {
    if (this.wanted > 0) this.#lanes.want(this);
  }

  begin(): boolean {
    if (this.wanted === 0) return false;
    this.wanted -= 1;
    this.running += 1;
    this.#began.push(this.#name);
    this.want();
    return true;
  }

  end(): void {
    this.running -= 1;
    this.#lanes.leave();
    this.want();
  }
}

describe("lanes", () => {
  it("one token alone has them all", () => {
    const alone = new User(new Lanes(4), "a", 10, []);
    alone.want();
    assert.equal(alone.running, 4);
  });

  it("of two tokens none has the last one", () => {
    const lanes = new Lanes(4);
    const began: string[] = [];
    const [flood, calm] = [new User(lanes, "flood", 100, began), new User(lanes, "calm", 1, began)];
    flood.want();
    assert.equal(flood.running, 3);
    calm.want();
    assert.equal(calm.running, 1);
  });

  it("turns go round, one operation each", () => {
    const lanes = new Lanes(1);
    const began: string[] = [];
    const users = ["x", "a", "b", "c"].map((name) => new User(lanes, name, name === "x" ? 1 : 3, began));
    for (const user of users) user.want();
    while (began.length < 10) users.find(({ running }) => running > 0)!.end();
    assert.equal(began.join(""), "xabcabcabc");
  });

  it("a lane that could not be used goes to the next", () => {
    const lanes = new Lanes(1);
    const began: string[] = [];
    const [none, one] = [new User(lanes, "none", 0, began), new User(lanes, "one", 1, began)];
    lanes.want(none);
    one.want();
    assert.deepEqual(began, ["one"]);
  });

  it("who has left gets no turn", () => {
    const lanes = new Lanes(1);
    const began: string[] = [];
    const [first, second] = [new User(lanes, "first", 1, began), new User(lanes, "second", 1, began)];
    first.want();
    second.want();
    lanes.quit(second);
    first.end();
    assert.deepEqual(began, ["first"]);
  });
});
