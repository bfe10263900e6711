import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { Transaction } from "ethers";
import type { SigningRequestView } from "../../src/sdk/client.ts";
import { startDevGateway, type DevGateway } from "../support/gateway.ts";

// Goal: the first call that the README shows, pasted into a shell, signs.
// Method: the line as it stands there, in a shell; only the port is another one, since the gateway runs on a free one.

const README = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
const PROXY = "http://127.0.0.1:8421/"; // where `portcullis dev` has its signing proxy

/** The first command of a code block that speaks to the proxy, with its continuation lines. */
function firstCurl(markdown: string): string {
  for (const [, block] of markdown.matchAll(/^```(?:sh|console)\n([^]*?)^```$/gm)) {
    const commands = block!.replace(/\\\n\s*/g, " ").split("\n");
    const found = commands.map((line) => line.replace(/^\$ /, "")).find((line) => line.startsWith(`curl -sS ${PROXY}`));
    if (found !== undefined) return found;
  }
  throw new Error(`README.md has no code block (sh or console) with a line \`curl -sS ${PROXY}…\``);
}

describe("README", function () {
  let gateway: DevGateway;
  before(async () => void (gateway = await startDevGateway()));
  after(() => gateway?.stop());

  it("its curl line, pasted, signs", async () => {
    const command = firstCurl(README).replace(PROXY, `${gateway.proxyUrl}/`);
    const { stdout } = await promisify(execFile)("sh", ["-c", command]);
    const view = JSON.parse(stdout) as SigningRequestView;
    assert.equal(view.state, "signed");
    assert.equal(Transaction.from(view.result!.signedTransaction).from, view.result!.address);
  });
});
