import { open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { GatewayError } from "../../domain/errors.ts";
import type { Anchor } from "../../vault/ports.ts";

/** An anchor in a file of its own, on another disk than the store's where possible. Its folder must exist. */
export function anchorFile(path: string): Anchor {
  return {
    read: async () => {
      try {
        return await readFile(path, "utf8");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
        throw unavailable(path, error);
      }
    },
    write: async (note) => {
      try {
        await replace(path, note);
      } catch (error) {
        throw unavailable(path, error);
      }
    },
  };
}

/** Written beside, synced, put in place, and the folder synced: at no moment is there half a file. */
async function replace(path: string, text: string): Promise<void> {
  const next = `${path}.next`;
  const file = await open(next, "w", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(next, path);
  const folder = await open(dirname(path), "r");
  await folder.sync().finally(() => folder.close());
}

const unavailable = (path: string, error: unknown) =>
  new GatewayError("anchor-unavailable", `cannot use the anchor \`${path}\`: ${(error as Error).message}`, {
    cause: error,
    hint: "`log.anchor` in portcullis.yaml names a file that the vault can write, outside the store's folder",
  });
