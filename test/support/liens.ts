import { sign } from "node:crypto";
import { lienReleaseText, lienText, type LienBody, type LienReleaseBody } from "../../src/domain/custody.ts";
import { privateKeyOf, type CallerFile } from "../../src/sdk/caller-file.ts";
import { signedBy } from "./officers.ts";

/* Officers and a secured party who sign what they agree to, as their tools would. */

type Pledge = Omit<Parameters<typeof lienText>[0], "securedParty"> & {
  readonly party: CallerFile;
  readonly officers: readonly CallerFile[];
};

const signature = (person: CallerFile, text: string): string =>
  sign(null, Buffer.from(text), privateKeyOf(person)).toString("base64");

export function pledgeBody({ party, officers, ...fields }: Pledge): LienBody {
  const text = lienText({ ...fields, securedParty: party.caller });
  const { lien, asset, amount } = fields;
  return {
    lien,
    asset,
    amount,
    securedParty: party.caller as LienBody["securedParty"],
    signatures: officers.map((officer) => signedBy(officer, text)) as LienBody["signatures"],
    agreement: signature(party, text),
  };
}

export const releaseBody = ({
  party,
  ...fields
}: Parameters<typeof lienReleaseText>[0] & { readonly party: CallerFile }): LienReleaseBody => ({
  remaining: fields.remaining,
  signature: signature(party, lienReleaseText(fields)),
});
