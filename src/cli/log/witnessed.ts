import { GatewayError } from "../../domain/errors.ts";
import { openCheckpoint } from "../../tlog/checkpoint.ts";
import type { NoteKey } from "../../tlog/note.ts";
import { parseWitnesses, type Witnesses } from "../../tlog/witnesses.ts";
import { readText } from "../text-file.ts";

export const readWitnesses = (path: string): Witnesses => parseWitnesses(Buffer.from(readText(path)));

/** Whether a checkpoint carries the cosignatures that the file asks for. @throws {GatewayError} what `openCheckpoint` does */
export function isWitnessed(note: Uint8Array, log: NoteKey, { witnesses, isQuorum }: Witnesses): boolean {
  const keys = witnesses.map(({ key }) => key);
  return isQuorum(new Set(openCheckpoint(note, log, keys).cosignatures.map(({ key }) => key)));
}

/** @throws {GatewayError} `not-witnessed` */
export function requireWitnessed(what: string, note: Uint8Array, log: NoteKey, witnesses: Witnesses | undefined): void {
  if (!witnesses || isWitnessed(note, log, witnesses)) return;
  throw new GatewayError("not-witnessed", `expected ${what} with the cosignatures of enough witnesses`, {
    hint: "witnesses sign within seconds: fetch it again; else somebody may show you a log of your own",
  });
}
