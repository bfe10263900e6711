#!/usr/bin/env node
/*
 * For a container's HEALTHCHECK: ends with 0 if the edge answers 200. It asks on loopback, where a certificate for the
 * outside name cannot match, and believes nothing but the status: so the certificate is not checked.
 */
import { get as getHttp } from "node:http";
import { get as getHttps } from "node:https";

const url = process.env.PORTCULLIS_HEALTH_URL ?? "http://127.0.0.1:8420/livez";
const get = url.startsWith("https:") ? getHttps : getHttp;

const fail = (reason) => {
  process.stderr.write(`${url}: ${reason}\n`);
  process.exit(1);
};

get(url, { rejectUnauthorized: false, timeout: 4_000, agent: false }, ({ statusCode }) =>
  statusCode === 200 ? process.exit(0) : fail(`answered ${statusCode}`),
)
  .on("timeout", () => fail("no answer within 4 s"))
  .on("error", (error) => fail(error.message));
