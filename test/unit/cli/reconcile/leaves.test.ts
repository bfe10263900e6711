import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { ClientLeaves } from "../../../../src/cli/reconcile/leaves.ts";
import type { GatewayClient } from "../../../../src/sdk/client.ts";

// Goal: a leaf that is withheld, changed or out of its place is told: the register would be another one.
// Method: a client's leaves, hashed here as docs/log.md says, in pages; one thing is wrong with each row.

type Leaf = { index: number; at: number; client: string; number: number; salt: string; opening: string };

function leavesOf(count: number): Leaf[] {
  const leaves: Leaf[] = [];
  let previous = null as string | null;
  for (let number = 0; number < count; number++) {
    const [index, at] = [number * 2, 1_000 + number];
    const opening: string = JSON.stringify({ type: "padding", index, at, client: "acme-fund", number, previous });
    const salt = Buffer.alloc(32, number).toString("base64");
    leaves.push({ index, at, client: "acme-fund", number, salt, opening });
    const commitment = hash("sha256", Buffer.concat([Buffer.from(salt, "base64"), Buffer.from(opening)]), "base64");
    const entry = `portcullis/leaf/v1\n${index}\n${at}\n${commitment}\n`;
    previous = hash("sha256", Buffer.concat([Buffer.from([0]), Buffer.from(entry)]), "hex");
  }
  return leaves;
}

async function read(leaves: readonly Leaf[]): Promise<number> {
  const get = async (target: string) => {
    const from = Number(/from=(\d+)$/.exec(target)![1]);
    const page = leaves.filter(({ index }) => index >= from).slice(0, 2);
    const others = page.map(({ index }) => ({ index: index + 1, at: 0, commitment: "" }));
    return { leaves: page.flatMap((leaf, index) => [leaf, others[index]!]), next: (page.at(-1)?.index ?? 0) + 2 };
  };
  const reader = new ClientLeaves({ get } as unknown as GatewayClient, "acme-fund");
  await reader.readOn();
  return reader.openings.length;
}

describe("cli/reconcile/leaves", () => {
  it("reads a client's own leaves among those of others", async () => {
    assert.equal(await read(leavesOf(5)), 5);
    assert.equal(await read([]), 0);
  });
  it("refuses what does not follow", async () => {
    const leaves = leavesOf(5);
    const changed = leaves.map((leaf) => (leaf.number === 2 ? { ...leaf, opening: `${leaf.opening} ` } : leaf));
    const wrong = {
      withheld: leaves.toSpliced(2, 1),
      "withheld first": leaves.slice(1),
      changed,
      moved: leaves.map((leaf) => (leaf.number === 4 ? { ...leaf, index: leaf.index + 6 } : leaf)),
    };
    for (const [name, each] of Object.entries(wrong))
      await assert.rejects(read(each), { code: "log-incomplete" }, name);
  });
});
