import { readFileSync, statSync } from "node:fs";
import type { Server as HttpsServer } from "node:https";
import type { TlsOptions } from "node:tls";

/** PEM files. With `clientCa`, who has no certificate of that authority does not come in; who he is it never says (I11). */
export type TlsPaths = { readonly cert: string; readonly key: string; readonly clientCa?: string };

export const readTls = ({ cert, key, clientCa }: TlsPaths): TlsOptions => ({
  cert: readFileSync(cert),
  key: readFileSync(key),
  minVersion: "TLSv1.2",
  ...(clientCa === undefined ? {} : { ca: readFileSync(clientCa), requestCert: true, rejectUnauthorized: true }),
});

const LOOK_EVERY_MS = 10_000;

/**
 * New connections get the certificate that stands in the files, without a restart: looked at now and then, and on SIGHUP.
 * Files that do not fit together (one is written before the other) leave the old ones in place until they do.
 * @returns what looks at once
 */
export function keepFresh(
  server: HttpsServer,
  paths: TlsPaths,
  tell: (error: unknown) => void,
  everyMs = LOOK_EVERY_MS,
): () => void {
  let seen = stamp(paths);
  const look = (): void => {
    try {
      const now = stamp(paths);
      if (now === seen) return;
      server.setSecureContext(readTls(paths));
      seen = now;
    } catch (error) {
      tell(error);
    }
  };
  setInterval(look, everyMs).unref();
  return look;
}

function stamp({ cert, key, clientCa }: TlsPaths): string {
  const files = [cert, key, ...(clientCa === undefined ? [] : [clientCa])];
  return files
    .map((file) => {
      const { mtimeMs, ino, size } = statSync(file);
      return `${ino}/${mtimeMs}/${size}`;
    })
    .join(" ");
}
