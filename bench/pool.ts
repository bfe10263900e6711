import { randomBytes } from "node:crypto";
import { openHsm } from "../src/adapters/pkcs11/hsm.ts";
import type { ClientId } from "../src/domain/names.ts";
import { mintPermit, redeemPermit } from "../src/vault/permit.ts";
import type { KeyRef, Token } from "../src/vault/ports.ts";

export type PoolOptions = {
  readonly concurrency: number;
  readonly seconds: number;
  readonly modulePath: string;
  readonly softhsmConf: string;
  readonly tokenLabel: string;
  readonly pin: string;
  readonly keyLabel: string;
};

/** As many as a vault has, unless told otherwise. */
const SIGNERS = { count: 3, hangMs: 5_000 };

const WARM_UP_SECONDS = 3;

/**
 * Signatures per second through the session pool alone: permits, turns, orders to the processes that sign; no HTTP, no
 * policy, no store, no verification. Initialises the module in this process, so nothing else in it may have it open.
 */
export async function poolSigningRate(options: PoolOptions): Promise<number> {
  process.env["SOFTHSM2_CONF"] = options.softhsmConf;
  const { modulePath, concurrency } = options;
  const hsm = await openHsm({
    modulePath,
    sessionsPerToken: 8,
    queueLimit: concurrency,
    signers: SIGNERS,
    redeem: redeemPermit,
  });
  try {
    const ref = (await hsm.listTokens()).find(({ label }) => label === options.tokenLabel);
    const token = await hsm.openToken(ref!, options.pin);
    const key = (await token.adoptKeys()).map((adopted) => adopted.key).find(({ label }) => label === options.keyLabel);
    // The first moments are the compiler's, and those of processes that start one by one.
    await signFor(token, key!, concurrency, WARM_UP_SECONDS);
    return await signFor(token, key!, concurrency, options.seconds);
  } finally {
    await hsm.close();
  }
}

async function signFor(token: Token, key: KeyRef, concurrency: number, seconds: number): Promise<number> {
  const digest32 = randomBytes(32);
  const started = performance.now();
  const ends = started + seconds * 1_000;
  let count = 0;
  const signer = async () => {
    for (; performance.now() < ends; count += 1) {
      await token.sign(key, mintPermit({ client: "bench" as ClientId, keyId: key.id, digest32 }));
    }
  };
  await Promise.all(Array.from({ length: concurrency }, signer));
  return count / ((performance.now() - started) / 1_000);
}
