import { writeFileSync } from "node:fs";
import { dirname, relative } from "node:path";
import { stringify } from "yaml";
import type { CallerFile } from "../sdk/caller-file.ts";
import type { PostgresStore } from "../config.ts";
import type { Founded } from "./host.ts";
import type { PolicyFiles } from "./policy-files.ts";

const ROLES: Readonly<Record<string, string>> = {
  officer: "policy-officer",
  operator: "operator",
  auditor: "auditor",
};

/** The smallest house policy by which a gateway can begin: one officer, one operator, no ceilings yet. */
export function foundingHousePolicy(people: readonly CallerFile[]): PolicyFiles {
  const callers = people.map(
    ({ caller, publicKey }) => `  ${caller}: { role: ${ROLES[caller]}, keys: ["${publicKey}"] }`,
  );
  const text = `# The house: who runs this gateway, and what holds for every client. It can deny, limit and cap; it never allows.
# Change it like any policy: raise the version, then \`portcullis policy apply\`.
apiVersion: portcullis/v1
kind: HousePolicy
version: 1
callers:
${callers.join("\n")}
policyQuorum: 1 # raise it to 2 before real assets are here
`;
  return { entry: "house.yaml", files: { "house.yaml": text } };
}

/** portcullis.yaml, with paths relative to itself. */
export function writeConfig(
  path: string,
  given: {
    name: string;
    listen: string;
    founded: Founded;
    soPinShares?: readonly [string, string];
    postgres?: PostgresStore;
    /** Where it is not the default. */
    clockGapHours?: number;
    /** For a gateway in tests: the file by which its clock is moved. */
    testClock?: string;
    /** Chain → URL of a chain node for the edge. */
    nodes?: Readonly<Record<string, string>>;
  },
): void {
  const { name, listen, founded, soPinShares, postgres, clockGapHours, testClock, nodes } = given;
  const folder = dirname(path);
  const beside = (file: string) => (file.startsWith(`${folder}/`) ? `./${relative(folder, file)}` : file);
  const environment = Object.fromEntries(
    Object.entries(founded.environment).map(([key, value]) => [key, beside(value)]),
  );
  const document = {
    gateway: name,
    hsm: {
      module: founded.module,
      environment,
      logToken: founded.tokens.log,
      gatewayToken: founded.tokens.gateway,
      ...(soPinShares ? { soPinShares: soPinShares.map(beside) } : {}),
    },
    store: postgres ? { postgres } : { sqlite: "./vault/portcullis.db" },
    ...(clockGapHours === undefined && testClock === undefined
      ? {}
      : { clock: { gapHours: clockGapHours, ...(testClock === undefined ? {} : { test: beside(testClock) }) } }),
    vault: { socket: "./run/vault.sock", bootSecret: { file: beside(founded.bootSecret) } },
    edge: { listen, ...(nodes ? { nodes } : {}) },
  };
  writeFileSync(path, `# portcullis.example.yaml explains every field.\n${stringify(document)}`, {
    mode: 0o600,
    flag: "wx",
  });
}
