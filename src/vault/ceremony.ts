import type { Hsm, Token, TokenFacts } from "./ports.ts";

/** Where and how a key came to be, as the HSM said it at that moment. */
export type Ceremony = {
  readonly how: "generated" | "adopted";
  readonly module: Hsm["module"];
  readonly token: TokenFacts;
  readonly attestation: string;
};

export async function ceremonyOf(hsm: Hsm, token: Token, how: Ceremony["how"]): Promise<Ceremony> {
  const facts = await token.describe();
  return { how, module: hsm.module, token: facts, attestation: attestationOf(facts) };
}

/** What stands behind the attributes. Nothing here is a hardware attestation, and no report may look as if it were. */
export const attestationOf = ({ manufacturer }: TokenFacts): string =>
  manufacturer.startsWith("SoftHSM")
    ? "software token: no hardware attestation"
    : "the gateway's own word: the HSM's hardware attestation is not collected";
