const SOAK = process.env["SOAK"] !== undefined;

/** How many cases a property is tried on: few at every change, thirty times that in the soak, or FUZZ_RUNS times. */
export const runs = (few: number): number => few * Number(process.env["FUZZ_RUNS"] ?? (SOAK ? 30 : 1));

/** The same, where the soak has a number of its own. */
export const soakRuns = (few: number, soak: number): number => (SOAK ? soak : few);

/** How long all of a property's cases may take. */
export const RUNS_TIMEOUT_MS = SOAK || process.env["FUZZ_RUNS"] !== undefined ? 3_600_000 : 60_000;
