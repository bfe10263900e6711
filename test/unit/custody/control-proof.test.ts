import assert from "node:assert/strict";
import { Wallet } from "ethers";
import { privateKeyToAccount } from "viem/accounts";
import { verifyControl, type ControlBundle } from "../../../src/custody/control-proof.ts";
import { controlText } from "../../../src/domain/control.ts";

// Goal: a bundle holds exactly if every key has signed exactly its own text; all that was changed is refused, with the reason.
// Method: ethers and viem sign in the place of the HSM; then each part of the bundle is changed in turn.

const KEYS = [1, 2].map((n) => `0x${String(n).repeat(64)}` as const);
const CHALLENGE = "auditor-2026.11_22-0001";
const ROOT = Buffer.alloc(32, 7).toString("base64");
const NOTE = `acme-custody\n4711\n${ROOT}\n\n— acme-custody ${Buffer.alloc(68, 1).toString("base64")}\n`;
const block = { height: 21_000_000, hash: `0x${"ab".repeat(32)}` };
const checkpoint = { origin: "acme-custody", size: 4711, root: ROOT };

async function bundleOf(): Promise<ControlBundle> {
  const sign = [
    (text: string) => new Wallet(KEYS[0]!).signMessage(text),
    (text: string) => privateKeyToAccount(KEYS[1]!).signMessage({ message: text }),
  ];
  const proofs = await Promise.all(
    KEYS.map(async (key, at) => {
      const account = `eip155:1:${new Wallet(key).address}`;
      const text = controlText({ challenge: CHALLENGE, client: "acme-fund", account, block, checkpoint });
      return { client: "acme-fund", key: `hot-${at}`, account, text, signature: await sign[at]!(text), request: null };
    }),
  );
  return { kind: "portcullis/control-proof/v1", challenge: CHALLENGE, checkpoint: NOTE, proofs, notCovered: [] };
}

type Proof = ControlBundle["proofs"][number];
const withFirst = (bundle: ControlBundle, change: Partial<Proof>): ControlBundle => ({
  ...bundle,
  proofs: [{ ...bundle.proofs[0]!, ...change }, ...bundle.proofs.slice(1)],
});

describe("a bundle of proofs of control", () => {
  it("holds with what ethers and viem signed", async () => {
    const { claims } = verifyControl(await bundleOf(), { challenge: CHALLENGE });
    assert.deepEqual(
      claims.map(({ client }) => client),
      ["acme-fund", "acme-fund"],
    );
  });

  const changes: [string, RegExp, (bundle: ControlBundle) => unknown][] = [
    ["another challenge", /answers another challenge/, (b) => ({ ...b, challenge: "auditor-2026.11_22-0002" })],
    ["another checkpoint", /names another checkpoint/, (b) => ({ ...b, checkpoint: NOTE.replace("4711", "4712") })],
    ["no proof", /at least one proof/, (b) => ({ ...b, proofs: [] })],
    ["a proof twice", /once, found it twice/, (b) => ({ ...b, proofs: [b.proofs[0], b.proofs[0]] })],
    ["another's account", /expected a proof of/, (b) => withFirst(b, { account: b.proofs[1]!.account })],
    ["another client", /expected a proof of/, (b) => withFirst(b, { client: "blue-harbor" })],
    ["another's signature", /not one of its key/, (b) => withFirst(b, { signature: b.proofs[1]!.signature })],
    ["no signature", /not signed yet/, (b) => withFirst(b, { signature: null })],
    [
      "a changed text",
      /not one of its key/,
      (b) => withFirst(b, { text: b.proofs[0]!.text.replace("21000000", "21000001") }),
    ],
    ["another text", /no proof of control/, (b) => withFirst(b, { text: "I control this" })],
    [
      "a recovery id that does not fit",
      /not one of its key/,
      (b) => withFirst(b, { signature: flipped(b.proofs[0]!.signature!) }),
    ],
    ["an unknown field", /expected a bundle/, (b) => ({ ...b, more: true })],
  ];
  for (const [what, why, change] of changes)
    it(`${what} is refused`, async () => {
      const bundle = await bundleOf();
      assert.throws(() => verifyControl(change(bundle)), { code: "control-invalid", message: why });
    });

  it("so is a challenge that is not the auditor's", async () => {
    const bundle = await bundleOf();
    assert.throws(() => verifyControl(bundle, { challenge: "somebody-elses-0001" }), { code: "control-invalid" });
  });
});

const flipped = (signature: string): string => signature.slice(0, -2) + (signature.endsWith("1b") ? "1c" : "1b");
