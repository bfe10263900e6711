import { sign } from "node:crypto";
import { Option } from "commander";
import { GatewayError } from "../domain/errors.ts";
import { privateKeyOf } from "../sdk/caller-file.ts";
import type { GatewayClient } from "../sdk/client.ts";

/* What policy officers decide together, from several machines: each signs a text, one of them sends all signatures. */

export type PersonSignature = { readonly person: string; readonly signature: string };

export const signaturesOption = (): Option =>
  new Option(
    "--signature <person:signature...>",
    "signatures of other officers, as they were printed for them",
  ).default([]);

export const signText = ({ caller }: GatewayClient, text: string): PersonSignature => ({
  person: caller.caller,
  signature: sign(null, Buffer.from(text), privateKeyOf(caller)).toString("base64"),
});

/** @throws {GatewayError} `usage` */
export function readSignature(text: string): PersonSignature {
  const match = /^([a-z0-9-]{1,24}):(.+)$/.exec(text);
  if (!match) throw new GatewayError("usage", "expected `--signature` as `person:signature`");
  return { person: match[1]!, signature: match[2]! };
}
