/** As package.json has it: a test compares. No file is read for it, so that bundles need none beside them. */
export const VERSION = "0.1.0";
