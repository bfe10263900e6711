import { isIP } from "node:net";
import type { RequestHandler, Response } from "express";

/* What keeps strangers from costing much: whose name they use, how much they send, how many there are at a time. */

export type Refuse = (response: Response, status: number, code: string, detail: string) => void;

/**
 * A page of another site can make a browser send requests here under that site's own name (DNS rebinding): a name has to
 * be one that the configuration lists. An address is nobody's name, and `localhost` is this machine's.
 */
export function knownHosts(hosts: readonly string[], refuse: Refuse): RequestHandler {
  const known = new Set(["localhost", ...hosts.map((host) => host.toLowerCase())]);
  return (request, response, next) => {
    const host = hostName(request.headers.host ?? "");
    if (host !== undefined && (isIP(host) !== 0 || known.has(host))) return next();
    refuse(response, 421, "wrong-host", "expected a name of this gateway as `Host`");
  };
}

/** Without the port; undefined where it is none. */
function hostName(header: string): string | undefined {
  const match = /^(?:\[([0-9a-f:.]{2,45})\]|([a-z0-9._-]{1,253}))(?::[0-9]{1,5})?$/.exec(header.toLowerCase());
  return match?.[1] ?? match?.[2];
}

/** Addresses that are remembered; the one that came first is forgotten for a new one. */
const ADDRESSES_MAX = 10_000;

type Bucket = { tokens: number; at: number };

/** Whether this address may have so many more now; if so they are taken. */
export type Rate = (address: string | undefined, count?: number) => boolean;

/**
 * Each address has as many as it may have in a second, and gets them back at that rate. By hand: one subtraction
 * for each request, where a package would set headers and timers (decision 78).
 */
export function rateOf(perSecond: number, now = () => performance.now()): Rate {
  const buckets = new Map<string, Bucket>();
  return (remote = "", count = 1) => {
    const address = networkOf(remote);
    const at = now();
    let bucket = buckets.get(address);
    if (!bucket) {
      if (buckets.size >= ADDRESSES_MAX) buckets.delete(buckets.keys().next().value!);
      buckets.set(address, (bucket = { tokens: perSecond, at }));
    }
    bucket.tokens = Math.min(perSecond, bucket.tokens + ((at - bucket.at) / 1000) * perSecond);
    bucket.at = at;
    if (bucket.tokens < count) return false;
    bucket.tokens -= count;
    return true;
  };
}

export function ratePerAddress(perSecond: number, refuse: Refuse): RequestHandler {
  const mayHave = rateOf(perSecond);
  return (request, response, next) => {
    if (mayHave(request.socket.remoteAddress)) return next();
    refuseTooMany(response, refuse);
  };
}

export function refuseTooMany(response: Response, refuse: Refuse): void {
  response.setHeader("retry-after", "1");
  refuse(response, 429, "too-many-requests", "more requests come from this address than are taken");
}

/** Whoever has one IPv6 address has 2^64 of them. */
export const networkOf = (address: string): string =>
  isIP(address) === 6 && !address.startsWith("::ffff:") ? address.split(":").slice(0, 4).join(":") : address;
