import { execFileSync } from "node:child_process";
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import pkcs11 from "pkcs11js";
import { scratchFolder, type ScratchFolder } from "./softhsm.ts";

/** As in faulty-hsm.c, in its order. */
const FUNCTIONS = [
  "C_Initialize",
  "C_Finalize",
  "C_GetTokenInfo",
  "C_OpenSession",
  "C_CloseSession",
  "C_Login",
  "C_FindObjectsInit",
  "C_GetAttributeValue",
  "C_SignInit",
  "C_Sign",
  "C_GenerateKeyPair",
  "C_SetPIN",
] as const;
export type FaultyFunction = (typeof FUNCTIONS)[number];

const KINDS = [
  "none",
  "answer",
  "answerAfterwards",
  "delay",
  "hang",
  "crash",
  "flipBit",
  "otherKey",
  "staleHandle",
  "loseSession",
  "loseAllSessions",
  "uninitialize",
  "crashAfterwards",
] as const;
export type FaultKind = Exclude<(typeof KINDS)[number], "none">;

export type Fault = {
  readonly at: FaultyFunction;
  readonly kind: FaultKind;
  /** For `answer` and `answerAfterwards`. */
  readonly ckr?: keyof typeof pkcs11;
  /** For `delay`. */
  readonly delayMs?: number;
  /** How many calls it strikes; all of them unless told. */
  readonly times?: number;
  /** The label of the one token that it strikes; every token unless told. */
  readonly token?: string;
  /** Ends when the module is initialised anew. */
  readonly untilInitialize?: boolean;
};

const RULE_BYTES = 64;
const LABEL_BYTES = 32;

/** SoftHSM behind a module that goes wrong on demand. */
export class FaultyHsm {
  readonly folder: ScratchFolder;
  readonly modulePath: string;
  readonly #control: number;

  /** Compiled on the spot; its rules are in a file that it and this process have in memory together. */
  constructor() {
    this.folder = scratchFolder();
    const { directory } = this.folder;
    this.modulePath = join(directory, "faulty-hsm.so");
    compile(this.modulePath);
    const control = join(directory, "control");
    this.#control = openSync(control, "w+");
    this.clear();
    Object.assign(process.env, { FAULTY_HSM_MODULE: this.folder.modulePath, FAULTY_HSM_CONTROL: control });
  }

  inject(fault: Fault): void {
    const start = FUNCTIONS.indexOf(fault.at) * RULE_BYTES + 8;
    const what = Buffer.alloc(RULE_BYTES - 16);
    what.writeBigUInt64LE(BigInt(fault.ckr ? (pkcs11[fault.ckr] as unknown as number) : (fault.delayMs ?? 0)), 0);
    if (fault.token) what.write(fault.token.padEnd(LABEL_BYTES, " "), 8, "ascii");
    what.writeBigUInt64LE(fault.untilInitialize ? 1n : 0n, 8 + LABEL_BYTES);
    writeSync(this.#control, what, 0, what.length, start + 8);
    // Last, since from then on it strikes.
    const armed = Buffer.alloc(8);
    armed.writeInt32LE(fault.times ?? -1, 0);
    armed.writeUInt32LE(KINDS.indexOf(fault.kind), 4);
    writeSync(this.#control, armed, 0, 8, start);
  }

  /** Ends every fault and begins counting anew. */
  clear(): void {
    writeSync(this.#control, Buffer.alloc(FUNCTIONS.length * RULE_BYTES), 0, FUNCTIONS.length * RULE_BYTES, 0);
  }

  /** How often the function was called since the last `clear`. */
  calls(of: FaultyFunction): number {
    const count = Buffer.alloc(8);
    readSync(this.#control, count, 0, 8, FUNCTIONS.indexOf(of) * RULE_BYTES);
    return Number(count.readBigUInt64LE());
  }

  /** How many strikes a fault with `times` has left. */
  strikesLeft(at: FaultyFunction): number {
    const remaining = Buffer.alloc(4);
    readSync(this.#control, remaining, 0, 4, FUNCTIONS.indexOf(at) * RULE_BYTES + 8);
    return remaining.readInt32LE();
  }

  remove(): void {
    closeSync(this.#control);
    delete process.env["FAULTY_HSM_MODULE"];
    delete process.env["FAULTY_HSM_CONTROL"];
    this.folder.remove();
  }
}

function compile(output: string): void {
  const headers = join(dirname(createRequire(import.meta.url).resolve("pkcs11js")), "includes", "pkcs11");
  const source = fileURLToPath(new URL("./faulty-hsm.c", import.meta.url));
  const flags = ["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-I", headers];
  execFileSync(process.env["CC"] ?? "cc", [...flags, "-o", output, source, "-ldl", "-lpthread"]);
}
