import assert from "node:assert/strict";
import { controlText, readControlText } from "../../../src/domain/control.ts";
import { intentOfMessage, messageBytes } from "../../../src/chains/evm/message.ts";
import type { Account, ChainId } from "../../../src/domain/chain.ts";

// Goal: what a key signs as proof of control says whose it is, to whom and when, and can never be anything else.

const claim = {
  challenge: "auditor-2026.11_22-0001",
  client: "acme-fund",
  account: "eip155:1:0x742d35Cc6634C0532925a3b844Bc454e4438f44e",
  block: { height: 21_000_000, hash: `0x${"ab".repeat(32)}` },
  checkpoint: { origin: "acme-custody", size: 4711, root: `${"A".repeat(43)}=` },
};

describe("the text of a proof of control", () => {
  it("is read back as it was said", () => {
    assert.deepEqual(readControlText(controlText(claim)), claim);
    assert.ok(controlText(claim).startsWith("Portcullis proof of control v1\n"));
  });

  it("to the decoder it is itself: no other text, no raw digest, no login, nothing opaque", () => {
    const account = claim.account as Account;
    const registry = { bySymbol: new Map(), nativeOf: new Map(), byContract: new Map() };
    const intent = intentOfMessage(messageBytes(controlText(claim)), account, {
      ...registry,
      nativeOf: new Map([
        ["eip155:1" as ChainId, { symbol: "ETH", chain: "eip155:1", decimals: 18, standard: "native" }],
      ]),
    } as never);
    assert.deepEqual(
      intent.operations.map((operation) => [operation.kind, "format" in operation && operation.format]),
      [["message", "control"]],
    );
  });

  for (const challenge of [
    "",
    "short",
    "a".repeat(65),
    "with a blank in it....",
    "0x\n".padEnd(20, "a"),
    "ünïcode-challenge-1",
  ])
    it(`refuses the challenge ${JSON.stringify(challenge)}`, () =>
      assert.throws(() => controlText({ ...claim, challenge }), { code: "challenge-invalid" }));

  it("nothing more and nothing less is such a text", () => {
    const text = controlText(claim);
    for (const other of [`${text}\n`, ` ${text}`, text.replace("client", "Client"), text.replace("v1", "v2"), ""])
      assert.equal(readControlText(other), undefined);
  });
});
