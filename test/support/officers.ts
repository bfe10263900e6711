import { sign } from "node:crypto";
import type { FreezeView } from "../../src/domain/freeze.ts";
import { unfreezeSigningText } from "../../src/domain/freeze.ts";
import { privateKeyOf, type CallerFile } from "../../src/sdk/caller-file.ts";

/** As an officer would on a machine of their own. */
export const signedBy = (person: CallerFile, text: string) => ({
  person: person.caller,
  signature: sign(null, Buffer.from(text), privateKeyOf(person)).toString("base64"),
});

/** The text that ends this freeze. */
export const unfreezing = (origin: string, client: string, { target, leaf }: FreezeView): string =>
  unfreezeSigningText({ origin, client, target, leaf });
