import assert from "node:assert/strict";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { findingText } from "../../../src/policy/finding.ts";
import { LINTS, checkPolicy } from "../../../src/policy/lint.ts";
import { parseAddress } from "../../../src/chains/evm/address.ts";
import { addressOf, type Account } from "../../../src/domain/chain.ts";

// Goal: each kind of mistake is caught, with the message that its example promises.
// Method: `policies/examples/*-bad/policy.yaml` is broken in one way; its first line says what `policy check` must say.

const POLICIES = new URL("../../../policies/", import.meta.url).pathname;
const EXAMPLES = `${POLICIES}examples/`;
/** As the gateway checks it, so that the message is the one that people see. */
const checkAccount = (account: string): void => void parseAddress(addressOf(account as Account));
const bad = readdirSync(EXAMPLES).filter((name) => name.endsWith("-bad"));
const assets = readFileSync(`${POLICIES}shared/assets.yaml`, "utf8");

function messageOf(name: string): { expected: string; found: string } {
  const path = `${EXAMPLES}${name}/policy.yaml`;
  const text = readFileSync(path, "utf8");
  const own = readdirSync(`${EXAMPLES}${name}`).map(
    (file) => [file, readFileSync(`${EXAMPLES}${name}/${file}`, "utf8")] as const,
  );
  const findings = checkPolicy("policy.yaml", new Map([...own, ["shared/assets.yaml", assets]]), checkAccount);
  const code = name.slice(0, -"-bad".length);
  const finding = findings.find((one) => one.code === code) ?? findings[0];
  const found = finding ? `# expect: ${finding.code}: ${findingText(finding)}` : "nothing";
  if (process.env.PORTCULLIS_WRITE) writeFileSync(path, text.replace(/^.*\n/, `${found}\n`));
  return { expected: process.env.PORTCULLIS_WRITE ? found : text.slice(0, text.indexOf("\n")), found };
}

describe("broken examples", () => {
  for (const name of bad) {
    it(name, () => {
      const { expected, found } = messageOf(name);
      assert.equal(found, expected);
      assert.match(found, /^# expect: [a-z-]+: (policy|assets)\.yaml:\d+:\d+: /);
    });
  }
  it("there is one for each lint", () => {
    const without = Object.keys(LINTS).filter((code) => code !== "too-large" && !bad.includes(`${code}-bad`));
    assert.deepEqual(without, []);
  });
});
