/*
 * The log's state in a chain: a transaction of an account to itself whose data is a checkpoint's text behind a line that
 * says what it is. It moves nothing, and what it says can be held against the log for as long as there is the chain.
 */

export type LogAnchor = {
  readonly origin: string;
  readonly size: number;
  /** RFC 6962 root of so many leaves, base64. */
  readonly root: string;
};

/** C2SP tlog-checkpoint behind the first line. */
const LINES = /^Portcullis log anchor v1\n([a-z0-9][a-z0-9.-]{0,62})\n(0|[1-9][0-9]{0,14})\n([A-Za-z0-9+/]{43}=)\n$/;

export const anchorText = ({ origin, size, root }: LogAnchor): string =>
  `Portcullis log anchor v1\n${origin}\n${size}\n${root}\n`;

/** @returns undefined for a text of any other form */
export function readAnchor(text: string): LogAnchor | undefined {
  const [, origin, size, root] = LINES.exec(text) ?? [];
  return origin === undefined ? undefined : { origin, size: Number(size), root: root! };
}
