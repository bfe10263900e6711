import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { ApprovalView, SigningRequestView } from "../../src/domain/api.ts";
import { approvalText } from "../../src/domain/approval.ts";
import { Chromium } from "../support/chromium.ts";
import { checkpointsOf, exported, verified } from "../support/exported-log.ts";
import { fieldsOf } from "../support/people.ts";
import { acmePolicy, newKey, REQUESTS, testVault, transferBody, type TestVault } from "../support/vault.ts";

// Goal: what a browser's authenticator signs is an approval; without a verified person it is none.
// Method: a real Chromium with a virtual authenticator makes key and assertions; the vault has never heard of either.

const CREATE = `(async () => {
  const credential = await navigator.credentials.create({ publicKey: {
    rp: { id: "localhost", name: "test" },
    user: { id: new Uint8Array([1]), name: "wilma", displayName: "wilma" },
    challenge: new Uint8Array(32),
    pubKeyCredParams: [{ type: "public-key", alg: -7 }],
    authenticatorSelection: { userVerification: "discouraged", residentKey: "discouraged" },
  } });
  window.rawId = credential.rawId;
  const spki = new Uint8Array(credential.response.getPublicKey());
  return btoa(String.fromCharCode(...spki.slice(-65)));
})()`;

const assertion = (challenge: Uint8Array): string => `(async () => {
  const url = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const { response } = await navigator.credentials.get({ publicKey: {
    challenge: new Uint8Array(${JSON.stringify([...challenge])}),
    rpId: "localhost",
    allowCredentials: [{ type: "public-key", id: window.rawId }],
    userVerification: "preferred",
  } });
  return {
    authenticatorData: url(response.authenticatorData),
    clientDataJSON: url(response.clientDataJSON),
    signature: url(response.signature),
  };
})()`;

describe("an approval made with WebAuthn in a real browser", function () {
  this.timeout(120_000);
  let vault: TestVault;
  let server: Server;
  let origin: string;
  let browser: Chromium | undefined;

  before(async () => {
    vault = await testVault();
    server = createServer((_, response) => void response.writeHead(200, { "content-type": "text/html" }).end("<p>"));
    await once(server.listen(0, "localhost"), "listening");
    origin = `http://localhost:${(server.address() as AddressInfo).port}`;
  });
  afterEach(async () => {
    await browser?.close();
    browser = undefined;
  });
  after(async () => {
    server.close();
    await vault.close();
  });

  async function approvedBy(isUserVerified: boolean, version: string) {
    browser = await Chromium.open(`${origin}/`);
    await browser.addAuthenticator({ isUserVerified });
    const point = await browser.evaluate<string>(CREATE);
    await vault.apply("acme", {
      ...acmePolicy,
      version,
      callers: {
        ...vault.clientCallers,
        wilma: { role: "approver", keys: [`webauthn:${origin} localhost ${point}`] },
      },
      groups: { desk: { members: ["wilma"], via: ["console"] } },
      rules: [
        { id: "all", allow: ["transfer"], to: ["anyone"], amount: { ETH: { max: "1000" } }, approvals: { desk: "1" } },
      ],
    });
    const ask = () => vault.call("payouts", "POST", REQUESTS, transferBody(5), `w-${version}`);
    const { id } = (await ask()).body as SigningRequestView;
    const view = (await vault.call("alice", "GET", `${REQUESTS}/${id}/approvals`)).body as ApprovalView;
    const text = approvalText(fieldsOf(view, "wilma"));
    const signature = await browser.evaluate(assertion(createHash("sha256").update(text).digest()));
    const answer = await vault.call("alice", "POST", `${REQUESTS}/${id}/approvals`, { text, signature }, newKey());
    return { answer, signed: (await ask()).body as SigningRequestView };
  }

  it("counts, and an auditor verifies it from the log", async () => {
    const { answer, signed } = await approvedBy(true, "2");
    assert.deepEqual([answer.status, signed.state], [201, "signed"], JSON.stringify(answer.body));
    await (await checkpointsOf(vault)).round();
    assert.deepEqual(verified(await exported(vault)).findings, []);
  });

  it("counts for nothing where the person was there and was not verified", async () => {
    const { answer, signed } = await approvedBy(false, "3");
    assert.deepEqual([answer.status, (answer.body as { code: string }).code], [403, "person-signature-invalid"]);
    assert.equal(signed.state, "pending");
  });
});
