import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { GatewayError } from "../../domain/errors.ts";

/*
 * SoftHSM for development, tests and CI. A token is a folder of files, and the keys are in the memory of the process
 * that loads the module.
 */

/** Debian and Ubuntu (both), Fedora and RHEL, Arch and Alpine, Homebrew on either kind of Mac. */
const MODULE_PATHS = [
  "/usr/lib/softhsm/libsofthsm2.so",
  "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
  "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
  "/usr/lib64/pkcs11/libsofthsm2.so",
  "/usr/lib64/softhsm/libsofthsm2.so",
  "/usr/lib/pkcs11/libsofthsm2.so",
  "/usr/local/lib/softhsm/libsofthsm2.so",
  "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

export type SoftHsm = {
  readonly modulePath: string;
  /** For the process that will load the module: it must be set before C_Initialize, which reads it. */
  readonly environment: { readonly SOFTHSM2_CONF: string };
};

/** @throws {GatewayError} `softhsm-missing` */
export function findSoftHsm(paths: readonly string[] = MODULE_PATHS): string {
  const found = paths.find((path) => existsSync(path));
  if (found) return found;
  throw new GatewayError("softhsm-missing", "expected SoftHSM's PKCS#11 module, found none in the usual places", {
    facts: { searched: paths },
    hint: "install it: `apt-get install softhsm2`, `dnf install softhsm` or `brew install softhsm`",
  });
}

/**
 * Makes a folder ready to hold SoftHSM's tokens: `tokens/` (0700) and `softhsm2.conf`. Leaves tokens that are there alone.
 * @param directory made if it is missing
 * @throws {GatewayError} `softhsm-missing`; `config-invalid` if the path cannot stand in SoftHSM's file
 */
export function prepareSoftHsm(directory: string): SoftHsm {
  const modulePath = findSoftHsm();
  const root = resolve(directory);
  if (/[\r\n#]/.test(root)) {
    throw new GatewayError("config-invalid", "expected a token folder without line ends and `#` in its path", {
      facts: { path: root },
    });
  }
  const tokens = join(root, "tokens");
  mkdirSync(tokens, { recursive: true, mode: 0o700 });
  const configuration = join(root, "softhsm2.conf");
  writeFileSync(configuration, configurationFor(tokens), { mode: 0o600 });
  return { modulePath, environment: { SOFTHSM2_CONF: configuration } };
}

/** `softhsm/` stands beside `src/` and `dist/`, which have the same shape. */
const TEMPLATE = new URL("../../../softhsm/softhsm2.conf.template", import.meta.url);

const configurationFor = (tokens: string) => readFileSync(TEMPLATE, "utf8").replace("{{TOKENS}}", () => tokens);
