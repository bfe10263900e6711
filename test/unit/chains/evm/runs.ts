/** How many cases a property is tried on: few at every change, as many as FUZZ_RUNS times that when one looks for trouble. */
export const runs = (few: number): number => few * Number(process.env["FUZZ_RUNS"] ?? 1);
