import base from "../eslint.config.js";
import tseslint from "typescript-eslint";

/** These scripts run before anything is installed: plain JavaScript, which no TypeScript project holds. */
export default tseslint.config(...base, {
  files: ["**/*.mjs", "**/*.cjs", "**/*.js"],
  extends: [tseslint.configs.disableTypeChecked],
  languageOptions: { parserOptions: { projectService: false } },
  rules: {
    "no-console": "off",
    "no-undef": "off",
    "@typescript-eslint/no-require-imports": "off",
    "@typescript-eslint/switch-exhaustiveness-check": "off",
  },
});
