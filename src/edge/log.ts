import { randomBytes } from "node:crypto";
import type { RequestHandler } from "express";
import { destination, pino, type Logger } from "pino";

export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** JSON lines on stderr. Nothing that proves, opens or identifies more than a caller's name is ever in one. */
export const edgeLog = (level: LogLevel): Logger =>
  pino(
    {
      level,
      base: { process: "edge" },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: [
          "headers",
          "body",
          "query",
          "*.headers",
          "*.body",
          "*.pin",
          "*.signature",
          "*.authorization",
          "*.cookie",
        ],
        censor: "[redacted]",
      },
    },
    destination({ fd: 2, sync: true }),
  );

export const REQUEST_ID_HEADER = "request-id";

/** Of this process, then which request: unique among all edges, and no call for randomness for each. */
const PREFIX = randomBytes(4).toString("hex");
let count = 0;
const nextId = (): string => `${PREFIX}${(count++ >>> 0).toString(16).padStart(8, "0")}`;

/**
 * Every request has an id, in its answer and in each line that is about it. What went well is `debug`, what was refused
 * `info`, what this gateway could not do `warn`.
 */
export function logged(log: Logger): RequestHandler {
  return (request, response, next) => {
    const requestId = nextId();
    response.setHeader(REQUEST_ID_HEADER, requestId);
    if (!log.isLevelEnabled("warn")) return next();
    const startedAt = performance.now();
    response.once("close", () => {
      const { statusCode: status } = response;
      const level = status >= 500 || !response.writableFinished ? "warn" : status >= 400 ? "info" : "debug";
      if (!log.isLevelEnabled(level)) return;
      const ms = Math.round((performance.now() - startedAt) * 10) / 10;
      const caller = /;keyid="([a-z0-9-]{1,24})"/.exec(String(request.headers["signature-input"] ?? ""))?.[1];
      const { method, path } = request;
      const line = { requestId, method, path: path.slice(0, 256), status, ms, from: request.socket.remoteAddress };
      log[level](caller === undefined ? line : { ...line, caller }, response.writableFinished ? "answered" : "left");
    });
    next();
  };
}
