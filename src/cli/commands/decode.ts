import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { decodeLine } from "../decode.ts";
import { readRegistry } from "../registry.ts";

/** The registry that ships with the package: beside `src/` and `dist/`. */
const REGISTRY = fileURLToPath(new URL("../../../policies/shared/assets.yaml", import.meta.url));

/** `decode`: what payloads would do, for people and scripts; needs no gateway. */
export function decodeCommand(program: Command): void {
  program
    .command("decode")
    .description("JSON lines {chain, payload} on stdin; on stdout one line each: {intent, digest} or {error}")
    .option("--assets <files...>", "asset registries that give contracts their meaning", [REGISTRY])
    .action(async ({ assets }: { assets: string[] }) => {
      const registry = readRegistry(...assets);
      for await (const line of createInterface({ input: process.stdin })) {
        if (line.trim() !== "") process.stdout.write(`${decodeLine(line, registry)}\n`);
      }
    });
}
