import { readSync, writeSync } from "node:fs";
import { constants, getPriority, setPriority } from "node:os";
import pkcs11, { type Handle } from "pkcs11js";
import type { Curve } from "../../vault/ports.ts";
import { CURVES, SIGNATURE_BYTES } from "./attributes.ts";
import { excludesSignature } from "./faults.ts";
import { exactlyOne, scanPrivateKeys, type FoundKey } from "./keys.ts";
import { logIn } from "./login.ts";
import { Module } from "./module.ts";
import {
  ANSWER,
  decodeSignOrder,
  encodeSignerFrame,
  encodeThrown,
  ORDER,
  takeSignerFrames,
  type CloseOrder,
  type Frame,
  type KeyOrder,
  type OpenOrder,
} from "./signer-frames.ts";
import { findToken } from "./tokens.ts";

/*
 * A signer: a program of its own that has the HSM's module open, reads orders and writes signatures, one after the other.
 * It knows no clients, no policies and no permits: it is the vault's hand, and its answers are verified like any module's.
 * It waits in system calls and has no event loop: nothing else ever happens here.
 */

/** Answers that are written together, unless they take long: a system call costs each of them more than waiting. */
const TOGETHER = 4;
const TOGETHER_MS = 3;

type Login = {
  readonly slot: Handle;
  /** Keeps the login; never used for an operation. */
  readonly anchor: Handle;
  session: Handle | undefined;
  /** Every private key of the token, as last looked for: one pass serves them all. */
  found: readonly FoundKey[];
};

type Key = {
  readonly login: number;
  readonly wanted: { readonly id: string; readonly label: string };
  readonly curve: Curve;
  handle: Handle | undefined;
};

class Signer {
  readonly #module: Module;
  readonly #logins = new Map<number, Login>();
  readonly #keys = new Map<number, Key>();
  #isInitialized = false;

  constructor(modulePath: string) {
    this.#module = new Module(modulePath, 1);
  }

  /** @returns the answer's kind and body */
  obey({ kind, body }: Frame): [number, Uint8Array] {
    let failed: number = ANSWER.refused;
    try {
      switch (kind) {
        case ORDER.open:
          this.#open(JSON.parse(body.toString("utf8")) as OpenOrder);
          return [ANSWER.done, NOTHING];
        case ORDER.key: {
          const { key, login, id, label, curve } = JSON.parse(body.toString("utf8")) as KeyOrder;
          this.#keys.set(key, { login, wanted: { id, label }, curve, handle: undefined });
          return [ANSWER.done, NOTHING];
        }
        case ORDER.sign:
          return [ANSWER.done, this.#sign(body, () => (failed = ANSWER.leftOpen))];
        case ORDER.close:
          this.#close((JSON.parse(body.toString("utf8")) as CloseOrder).login);
          return [ANSWER.done, NOTHING];
        default:
          throw new Error(`expected an order, found ${kind}`);
      }
    } catch (error) {
      return [failed, encodeThrown(error)];
    } finally {
      body.fill(0); // a PIN or a digest
    }
  }

  async end(): Promise<void> {
    if (this.#isInitialized) await this.#module.finalize();
  }

  #open({ login, ref, pin }: OpenOrder): void {
    if (!this.#isInitialized) this.#module.initialize();
    this.#isInitialized = true;
    const { lib } = this.#module;
    const { slot } = findToken(this.#module, ref);
    const anchor = lib.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION);
    try {
      logIn(lib, anchor, pin);
    } catch (error) {
      lib.C_CloseSession(anchor);
      throw error;
    }
    this.#logins.set(login, { slot, anchor, session: undefined, found: [] });
  }

  #sign(order: Buffer, leftOpen: () => void): Uint8Array {
    const { lib } = this.#module;
    const { key: number, message } = decodeSignOrder(order);
    const key = this.#keys.get(number)!;
    const login = this.#logins.get(key.login)!;
    try {
      login.session ??= lib.C_OpenSession(login.slot, pkcs11.CKF_SERIAL_SESSION);
      key.handle ??= this.#find(login, login.session, key.wanted);
      lib.C_SignInit(login.session, { mechanism: CURVES[key.curve].sign }, key.handle);
      try {
        return lib.C_Sign(login.session, message, Buffer.alloc(SIGNATURE_BYTES));
      } catch (error) {
        if (!excludesSignature(error)) leftOpen();
        throw error;
      }
    } catch (error) {
      key.handle = undefined;
      login.found = [];
      this.#closeSession(login);
      throw error;
    }
  }

  #find(login: Login, session: Handle, wanted: Key["wanted"]): Handle {
    if (!login.found.some(({ id }) => id === wanted.id)) login.found = scanPrivateKeys(this.#module.lib, session);
    return exactlyOne(login.found, wanted).handle;
  }

  /** An operation that failed may still be active on its session: the next one gets another. */
  #closeSession(login: Login): void {
    const { session } = login;
    login.session = undefined;
    if (session !== undefined) this.#quietly(session);
  }

  #close(number: number): void {
    const login = this.#logins.get(number);
    if (!login) return;
    this.#logins.delete(number);
    for (const [key, { login: of }] of this.#keys) if (of === number) this.#keys.delete(key);
    this.#closeSession(login);
    this.#quietly(login.anchor);
  }

  #quietly(session: Handle): void {
    try {
      this.#module.lib.C_CloseSession(session);
    } catch {
      // It is gone already: that is often why an operation failed.
    }
  }
}

const NOTHING = new Uint8Array();

/** SoftHSM computes here, while the vault's main thread decides and answers for everybody: that goes first. */
const LOWER_BY = 10;

function serve(signer: Signer): void {
  writeWhole(encodeSignerFrame(0, ANSWER.done, NOTHING)); // it has started
  const chunk = Buffer.alloc(64 * 1024);
  let rest: Buffer = Buffer.alloc(0);
  for (;;) {
    const length = readSync(0, chunk, 0, chunk.length, null);
    if (length === 0) return; // the vault has ended, or wants no more of this signer
    let began = performance.now();
    const answers: Buffer[] = [];
    const left = takeSignerFrames(Buffer.concat([rest, chunk.subarray(0, length)]), (frame) => {
      answers.push(encodeSignerFrame(frame.number, ...signer.obey(frame)));
      if (answers.length < TOGETHER && performance.now() - began < TOGETHER_MS) return;
      writeWhole(Buffer.concat(answers.splice(0)));
      began = performance.now();
    });
    writeWhole(Buffer.concat(answers));
    rest = Buffer.from(left);
  }
}

/** A descriptor of their own: what a vendor's module prints is no answer. */
const ANSWERS = 3;

function writeWhole(bytes: Buffer): void {
  for (let at = 0; at < bytes.length; at += writeSync(ANSWERS, bytes, at));
}

// A terminal's interrupt reaches every process at once: the vault ends its signers when it has no more work for them.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);
setPriority(Math.min(getPriority() + LOWER_BY, constants.priority.PRIORITY_LOW));
const signer = new Signer(process.argv[2]!);
try {
  serve(signer);
} catch (error) {
  if ((error as NodeJS.ErrnoException).code !== "EPIPE") throw error; // else nobody is there to read the answer
}
await signer.end();
process.exit();
