import { mkdir, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { GatewayError } from "../../domain/errors.ts";

/** One PIN a file, 0600, in a folder of 0700: `<client>.pin`. */
export function pinFiles(folder: string): {
  read(name: string): Promise<string>;
  write(name: string, pin: string): Promise<void>;
} {
  const path = (name: string) => join(folder, `${name}.pin`);
  return {
    read: async (name) => {
      try {
        return (await readFile(path(name), "utf8")).trim();
      } catch (error) {
        throw new GatewayError("pin-missing", `cannot read the PIN of \`${name}\`: ${(error as Error).message}`);
      }
    },
    write: async (name, pin) => {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      // Never over a PIN that may be a living token's.
      const file = await open(path(name), "wx", 0o600).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "EEXIST") throw error;
        throw new GatewayError("client-exists", `a PIN for \`${name}\` exists already in the secrets folder`, {
          hint: "an earlier attempt may have been interrupted: adopt or remove that token first",
        });
      });
      await file.writeFile(pin);
      await file.sync();
      await file.close();
    },
  };
}
