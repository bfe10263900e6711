import assert from "node:assert/strict";
import { diffPolicies } from "../../../src/policy/diff.ts";
import { ACCOUNTS, CLIENT, clientPolicy } from "./fixture.ts";

// Goal: where everything is returned to is one place on each chain, and does not move unnoticed.
// Method: documents with an `exit`, and their differences.

const withExit = (exit: string, home: unknown = ACCOUNTS.treasury) =>
  clientPolicy({ exit, addressBook: { ...CLIENT.addressBook, home: { address: home } } });

describe("the exit that a policy fixes", () => {
  it("is an address book entry with one address a chain", () => {
    assert.equal(withExit("home").exit.get("eip155:1" as never), ACCOUNTS.treasury);
    assert.equal(clientPolicy().exit.size, 0);
    assert.throws(() => withExit("nowhere"), /expected an address book name, found `nowhere`/);
    assert.throws(() => withExit("home", [ACCOUNTS.treasury, ACCOUNTS.stranger]), /one address on each chain/);
  });

  it("moved it is a loosening, taken away it is none", () => {
    const kinds = (before: ReturnType<typeof withExit>, after: ReturnType<typeof withExit>) =>
      diffPolicies(before, after).changes.filter(({ text }) => text.includes("is returned to"));
    assert.equal(kinds(withExit("home"), withExit("home", ACCOUNTS.stranger))[0]?.direction, "loosening");
    assert.equal(kinds(clientPolicy(), withExit("home"))[0]?.direction, "loosening");
    assert.deepEqual(kinds(withExit("home"), withExit("home")), []);
    assert.deepEqual(kinds(withExit("home"), clientPolicy()), []);
  });
});
