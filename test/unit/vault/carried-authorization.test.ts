// Goal: a nonce that an EIP-7702 authorization uses up is used once (I12): only a transaction that carries exactly the
// authorization that was signed for it may meet it again.
// Method: the router, the real store; a signature that was made outside the gateway comes from the token itself.
import assert from "node:assert/strict";
import { hashAuthorization } from "viem/utils";
import type { ClientId } from "../../../src/domain/names.ts";
import type { SigningRequestView } from "../../../src/domain/api.ts";
import { mintPermit } from "../../../src/vault/permit.ts";
import { verifySecp256k1 } from "../../../src/vault/verify.ts";
import { acmePolicy, newKey, REQUESTS, testVault, transferBody, type TestVault } from "../../support/vault.ts";

const [CODE, OTHER_CODE] = [
  "0x1111111111111111111111111111111111111111",
  "0x2222222222222222222222222222222222222222",
] as const;
const rules = [
  ...acmePolicy.rules,
  { id: "delegations", allow: ["delegate"], to: ["anyone"], unbounded: "true" },
  { id: "own", allow: ["transfer"], to: ["own"], amount: { ETH: "any" } },
];

describe("a carried authorization", () => {
  let vault: TestVault;
  beforeEach(async () => (vault = await testVault({ policy: { rules } })));
  afterEach(() => vault.close());

  const post = async (body: unknown) => {
    const { status, body: answer } = await vault.call("payouts", "POST", REQUESTS, body, newKey());
    return { status, ...(answer as SigningRequestView & { reason?: string; detail?: string }) };
  };
  const authorize = (nonce: number, address: string = CODE) =>
    post({ key: "hot-1", payload: { type: "evm-authorization", chainId: "31337", address, nonce: String(nonce) } });
  const carrying = (nonce: number, authorization: object) =>
    post(transferBody(0, { to: own(), nonce: String(nonce), gas: "1", authorizationList: [authorization] }));
  const own = (): string => vault.key.accounts[0]!.split(":")[2]!;
  const transfer = (nonce: number) => post(transferBody(1, { nonce: String(nonce) }));

  /** Signed by the same key, and by nobody who asked the gateway: stolen, or made before it was here. */
  async function signedOutside(nonce: number, address: `0x${string}`): Promise<object> {
    const digest32 = Buffer.from(hashAuthorization({ chainId: 31337, address, nonce }).slice(2), "hex");
    const { id, name, curve, publicKey } = vault.key;
    const { token } = vault.gateway.directory.get("acme" as ClientId);
    const permit = mintPermit({ client: "acme" as ClientId, keyId: id, digest32 });
    const signature64 = await token!.sign({ id, label: name, curve, publicKey }, permit);
    const { r32, s32, yParity } = verifySecp256k1(signature64, digest32, publicKey);
    return written(nonce, address, `0x${Buffer.concat([r32, s32, Buffer.of(27 + yParity)]).toString("hex")}`);
  }
  const written = (nonce: number, address: string, signature: string): object => ({
    chainId: "31337",
    address,
    nonce: String(nonce),
    yParity: String(Number.parseInt(signature.slice(130), 16) - 27),
    r: signature.slice(0, 66),
    s: `0x${signature.slice(66, 130)}`,
  });

  it("that was signed here is carried, by as many transactions as are asked for; none takes its nonce itself", async () => {
    const { status, result } = await authorize(5);
    assert.equal(status, 201);
    const authorization = written(5, CODE, result!.signature);
    for (const nonce of [3, 4]) assert.equal((await carrying(nonce, authorization)).status, 201);
    assert.equal((await carrying(5, authorization)).reason, "conflict");
    assert.equal((await transfer(5)).reason, "conflict");
    assert.equal((await authorize(5, OTHER_CODE)).reason, "conflict");
  });

  it("to other code than the one that was signed here, with the same nonce: a conflict", async () => {
    assert.equal((await authorize(5)).status, 201);
    assert.equal((await carrying(3, await signedOutside(5, OTHER_CODE))).reason, "conflict");
  });

  it("whose nonce a transaction has: a conflict", async () => {
    assert.equal((await transfer(5)).status, 201);
    assert.equal((await carrying(3, await signedOutside(5, CODE))).reason, "conflict");
  });

  it("that nobody signed here claims its nonce for the transaction that carries it first", async () => {
    const authorization = await signedOutside(5, CODE);
    assert.equal((await carrying(3, authorization)).status, 201);
    assert.equal((await transfer(5)).reason, "conflict");
    assert.equal((await carrying(4, authorization)).reason, "conflict");
  });
});
