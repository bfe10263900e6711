import { randomBytes } from "node:crypto";
import { GatewayError } from "../domain/errors.ts";
import { HOUSE } from "../domain/names.ts";
import { compilers } from "./compilers.ts";
import { heldDigest } from "./ledger.ts";
import { appendLeaf } from "./log.ts";
import type { ClientRow, LogToken, PinRow, PolicyRow, Store, TokenRef } from "./ports.ts";

/**
 * Leaf 0, to which all authority traces (I15): the gateway's name, the log's public keys, the founding `house.yaml`.
 * It is written once, into an empty store, before any vault serves it.
 * @throws {GatewayError} `already-initialised`, `policy-invalid`
 */
export async function writeGenesis(
  { store, logToken }: { store: Store; logToken: LogToken },
  founding: {
    gateway: string;
    houseToken: TokenRef;
    /** Sealed: the key of the rows, PINs of the tokens that are there. */
    pins?: readonly PinRow[];
    entry: string;
    files: Readonly<Record<string, string>>;
  },
): Promise<{ answersKey: string; statementKey: string }> {
  const { entry, files } = founding;
  const policy = compilers.house({ entry, files });
  const officers = [...policy.callers].filter(([, { role }]) => role === "policy-officer").map(([name]) => name);
  if (officers.length < policy.policyQuorum) {
    throw new GatewayError(
      "policy-invalid",
      `expected at least ${policy.policyQuorum} policy officers in the founding house policy, found ${officers.length}`,
    );
  }
  const names = ["checkpoint", "answers", "statement"] as const;
  const keys = Object.fromEntries(
    await Promise.all(
      names.map(
        async (name) => [name, `ed25519:${Buffer.from(await logToken.publicKey(name)).toString("base64")}`] as const,
      ),
    ),
  );
  const house: ClientRow = {
    id: HOUSE,
    owner: "house",
    status: "active",
    token: founding.houseToken,
    saltKey: randomBytes(32),
    freezes: [],
  };
  await store.write(async (transaction) => {
    if (await transaction.lastLeaf())
      throw new GatewayError("already-initialised", "expected an empty store, found one with a genesis leaf");
    await transaction.insertClient(house);
    for (const pin of founding.pins ?? []) await transaction.putPin(pin);
    const now = await transaction.now();
    const held = new Map([...policy.addresses.keys()].map((account) => [account, now]));
    const { index, at } = await appendLeaf(transaction, house, "genesis", {
      gateway: founding.gateway,
      owner: house.owner,
      token: house.token,
      logKeys: keys,
      officers,
      policyQuorum: policy.policyQuorum,
      policy: policy.hash,
      version: policy.version,
      held: heldDigest(held),
    });
    const row: PolicyRow = {
      client: HOUSE,
      version: policy.version,
      hash: policy.hash,
      previousHash: null,
      entry,
      files,
      signatures: [],
      appliedAt: at,
      leaf: index,
    };
    await transaction.insertPolicy(row, held);
    for (const { keys: callerKeys } of policy.callers.values()) {
      for (const key of callerKeys) await transaction.insertCallerKey(key, HOUSE);
    }
  });
  return { answersKey: keys["answers"]!, statementKey: keys["statement"]! };
}
