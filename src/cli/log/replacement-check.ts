import { claimId, intentFromJson } from "../../domain/intent.ts";
import type { Findings } from "./findings.ts";
import type { Authorized } from "./window-check.ts";

type Version = { readonly client: string; readonly claims: readonly string[]; ended: boolean };

/**
 * What takes another one's place may reserve less: it has to be the same client's, spend the nonce that the other spends,
 * and the other has to have ended (I12).
 */
export class ReplacementCheck {
  readonly #findings: Findings;
  readonly #versions = new Map<string, Version>();

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  authorize({ request, client, intent, replaces, leaf }: Authorized): void {
    const claims = intentFromJson(intent).claims.map(claimId);
    this.#versions.set(request, { client, claims, ended: false });
    if (replaces === undefined) return;
    const before = this.#versions.get(replaces);
    if (before?.client === client && before.ended && before.claims[0] === claims[0] && replaces !== request) return;
    this.#findings.add("replacement", `leaf ${leaf} replaces what does not have its nonce, or has not ended`, leaf);
  }

  end(request: string): void {
    const version = this.#versions.get(request);
    if (version) version.ended = true;
  }
}
