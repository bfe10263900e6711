import { createTypeScriptImportResolver } from "eslint-import-resolver-typescript";
import importX from "eslint-plugin-import-x";
import tseslint from "typescript-eslint";

/**
 * Who may import whom: DESIGN section 5 as a table. A folder may import itself and what stands behind it; `main.ts`,
 * `supervisor.ts` and `config.ts` join things and are imported by nothing else.
 */
const MAY_IMPORT = {
  domain: [],
  chains: ["domain"],
  policy: ["domain"],
  tlog: ["domain"],
  custody: ["domain", "chains", "tlog"],
  vault: ["domain", "chains", "policy", "tlog", "custody"],
  "adapters/pkcs11": ["domain", "vault/ports.ts"],
  "adapters/sqlite": ["domain", "vault/ports.ts"],
  "adapters/postgres": ["domain", "vault/ports.ts"],
  "adapters/evm-node": ["domain", "custody/chain-reader.ts"],
  edge: ["domain", "vault/protocol.ts"],
  sdk: ["domain"],
  cli: ["sdk", "domain", "chains", "policy", "tlog", "custody", "config.ts"],
};

/** Packages that only one place may load. */
const ONLY_IN = {
  pkcs11js: "adapters/pkcs11",
  "better-sqlite3": "adapters/sqlite",
  pg: "adapters/postgres",
  express: "edge",
  helmet: "edge",
  yaml: "policy",
};
const YAML_ALSO_IN = ["config.ts", "cli"];

const zones = Object.entries(MAY_IMPORT).map(([folder, others]) => ({
  target: `./src/${folder}`,
  from: "./src",
  except: [folder, ...others].map((path) => `./${path}`),
  message: `src/${folder} may import: ${[folder, ...others].join(", ")} (DESIGN section 5)`,
}));

const packagesForbiddenIn = (folder) =>
  Object.entries(ONLY_IN)
    .filter(([name, home]) => !folder.startsWith(home) && !(name === "yaml" && YAML_ALSO_IN.includes(folder)))
    .map(([name, home]) => ({ name, message: `only src/${home} may import ${name}`, allowTypeImports: false }));

const permitIsMintedInSignOnly = {
  regex: "permit\\.ts$",
  message: "only step 4 in vault/sign.ts mints a permit (I3); main.ts hands redeemPermit to the HSM adapter",
};

export default tseslint.config(
  { ignores: ["dist/", "build/", "node_modules/"] },
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ["eslint.config.js", "bin/*.js"] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    plugins: { "import-x": importX },
    settings: { "import-x/resolver-next": [createTypeScriptImportResolver()] },
    rules: {
      "import-x/no-restricted-paths": ["error", { zones }],
      "import-x/no-cycle": "error",
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", ignoreRestSiblings: true }],
      "@typescript-eslint/require-await": "off",
      "@typescript-eslint/no-non-null-assertion": "off",
      "no-console": "error",
    },
  },
  ...Object.keys(MAY_IMPORT).map((folder) => ({
    files: [`src/${folder}/**/*.ts`],
    ignores: ["src/vault/sign.ts"],
    rules: {
      "@typescript-eslint/no-restricted-imports": [
        "error",
        { paths: packagesForbiddenIn(folder), patterns: [permitIsMintedInSignOnly] },
      ],
    },
  })),
  { files: ["src/cli/**", "scripts/**", "bench/**", "test/**"], rules: { "no-console": "off" } },
  {
    files: ["test/**/*.ts"],
    rules: {
      "@typescript-eslint/no-unused-expressions": "off",
      "@typescript-eslint/no-floating-promises": ["error", { allowForKnownSafeCalls: [] }],
    },
  },
  { files: ["*.js", "bin/*.js"], ...tseslint.configs.disableTypeChecked },
);
