import { readFileSync } from "node:fs";
import { Option } from "commander";
import { OFFICER_NAMESPACE } from "../domain/approval.ts";
import { GatewayError } from "../domain/errors.ts";
import type { GatewayClient } from "../sdk/client.ts";
import { signAsPerson, type KeyOptions } from "./person-signer.ts";

/* What policy officers decide together, from several machines: each signs a text, one of them sends all signatures. */

export type PersonSignature = { readonly person: string; readonly signature: string };

export const signaturesOption = (): Option =>
  new Option(
    "--signature <person:signature...>",
    "signatures of other officers, as they were printed for them; `person:@FILE` where one is in a file",
  ).default([]);

/** With the caller file's key, or with the one that the options name. */
export const signText = ({ caller }: GatewayClient, text: string, key: KeyOptions = {}): PersonSignature => ({
  person: caller.caller,
  signature: signAsPerson(text, OFFICER_NAMESPACE, key, caller) as string,
});

/** @throws {GatewayError} `usage` */
export function readSignature(text: string): PersonSignature {
  const [, person, written] = /^([a-z0-9-]{1,24}):([^]+)$/.exec(text) ?? [];
  if (person === undefined || written === undefined)
    throw new GatewayError("usage", "expected `--signature` as `person:signature`");
  return { person, signature: written.startsWith("@") ? readFileSync(written.slice(1), "utf8") : written };
}
