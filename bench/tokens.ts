import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import type { ClientId } from "../src/domain/names.ts";
import { mintPermit } from "../src/vault/permit.ts";
import type { KeyRef, Token, TokenRef } from "../src/vault/ports.ts";
import { reopened, SCRATCH_PIN, scratchHsm, type ScratchHsm } from "../test/support/softhsm.ts";

/*
 * `npm run bench -- --tokens`: what many tokens and many keys cost, against one token with one key, through the session
 * pool alone. The two take turns on one machine: only their ratio is worth quoting.
 */

const TOKENS = 300;
const KEYS_IN_ONE = 1_000;
const CONCURRENCY = 8;
const ROUNDS = 3;
const SECONDS = 1.5;
/** The first moments are the compiler's, and those of processes that start one by one and log in to every token. */
const WARM_UP_SECONDS = 3;
/** As a vault has them. */
const SIGNERS = { count: 3, hangMs: 5_000 };

export type TokensReport = {
  readonly tokens: number;
  readonly keysInOne: number;
  /** Module, logins, and every key found and proven (I1). */
  readonly startMs: number;
  readonly oneKeyPerSecond: number;
  /** Over all tokens, then over all keys of the one that has many. */
  readonly allTokensPerSecond: number;
  readonly allKeysPerSecond: number;
  readonly allTokensOfOne: number;
  readonly allKeysOfOne: number;
};

type Signer = { readonly token: Token; readonly key: KeyRef };
type Made = { scratch: ScratchHsm; readonly keys: readonly { readonly ref: TokenRef; readonly key: KeyRef }[] };

export async function tokensReport(progress: (text: string) => void): Promise<TokensReport> {
  // Making so many waits for the disk at each; signing never does.
  if (existsSync("/dev/shm")) process.env["TMPDIR"] = "/dev/shm";
  progress(`making ${TOKENS} tokens, one of them with ${KEYS_IN_ONE} keys`);
  const [small, large] = [await make(1, 1), await make(TOKENS, KEYS_IN_ONE)];
  try {
    return await compare(small, large, progress);
  } finally {
    await large.scratch.close();
    small.scratch.remove();
  }
}

/** SoftHSM is one to a process: what was made is closed until its turn comes. */
async function make(tokens: number, keysInOne: number): Promise<Made> {
  const scratch = await scratchHsm();
  const keys = [];
  for (let index = 0; index < tokens; index += 1) {
    const ref = await scratch.hsm.createToken(`client-${index}`, SCRATCH_PIN);
    const token = await scratch.hsm.openToken(ref, SCRATCH_PIN);
    for (let nth = 0; nth < (index === 0 ? keysInOne : 1); nth += 1)
      keys.push({ ref, key: (await token.generateKey(`key-${nth}`, "secp256k1")).key });
  }
  await scratch.hsm.close();
  return { scratch, keys };
}

async function compare(small: Made, large: Made, progress: (text: string) => void): Promise<TokensReport> {
  const rates = { one: [] as number[], tokens: [] as number[], keys: [] as number[], startMs: [] as number[] };
  for (let round = 1; round <= ROUNDS; round += 1) {
    progress(`round ${round} of ${ROUNDS}`);
    const one = await start(small);
    rates.one.push(await signingRate(one.signers));
    await small.scratch.hsm.close();
    const all = await start(large);
    rates.startMs.push(all.startMs);
    const [{ token: big }] = all.signers as [Signer];
    rates.tokens.push(await signingRate(all.signers.filter((signer, n) => n === 0 || signer.token !== big)));
    rates.keys.push(await signingRate(all.signers.filter(({ token }) => token === big)));
    if (round < ROUNDS) await large.scratch.hsm.close();
  }
  const [one, tokens, keys] = [median(rates.one), median(rates.tokens), median(rates.keys)];
  return {
    tokens: TOKENS,
    keysInOne: KEYS_IN_ONE,
    startMs: median(rates.startMs),
    oneKeyPerSecond: one,
    allTokensPerSecond: tokens,
    allKeysPerSecond: keys,
    allTokensOfOne: tokens / one,
    allKeysOfOne: keys / one,
  };
}

async function start(made: Made): Promise<{ readonly signers: Signer[]; readonly startMs: number }> {
  process.env["SOFTHSM2_CONF"] = made.scratch.environment.SOFTHSM2_CONF;
  const startedAt = performance.now();
  made.scratch = await reopened(made.scratch, { sessionsPerToken: CONCURRENCY, signers: SIGNERS });
  const signers = [];
  for (const { ref, key } of made.keys) {
    const token = await made.scratch.hsm.openToken(ref, SCRATCH_PIN); // the same again for the same token
    await token.proveKey(key);
    signers.push({ token, key });
  }
  return { signers, startMs: performance.now() - startedAt };
}

/** Each key in its turn, so many at a time. */
async function signingRate(signers: readonly Signer[]): Promise<number> {
  await signFor(signers, WARM_UP_SECONDS);
  return signFor(signers, SECONDS);
}

async function signFor(signers: readonly Signer[], seconds: number): Promise<number> {
  const digest32 = randomBytes(32);
  const startedAt = performance.now();
  let count = 0;
  const worker = async () => {
    while (performance.now() - startedAt < seconds * 1_000) {
      const { token, key } = signers[count++ % signers.length]!;
      await token.sign(key, mintPermit({ client: "bench" as ClientId, keyId: key.id, digest32 }));
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  return count / ((performance.now() - startedAt) / 1_000);
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;

export const tokensText = (report: TokensReport): string =>
  [
    `one token, one key: ${report.oneKeyPerSecond.toFixed(0)} signatures/s, ${CONCURRENCY} in flight`,
    `${report.tokens} tokens in turn: ${report.allTokensPerSecond.toFixed(0)} signatures/s, ${(report.allTokensOfOne * 100).toFixed(0)} %`,
    `${report.keysInOne} keys of one token in turn: ${report.allKeysPerSecond.toFixed(0)} signatures/s, ${(report.allKeysOfOne * 100).toFixed(0)} %`,
    `start, every key proven: ${report.startMs.toFixed(0)} ms`,
  ].join("\n");
