import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { createEdgeServer } from "../../../src/edge/app.ts";
import { keepFresh, readTls, type TlsPaths } from "../../../src/edge/tls.ts";
import express from "express";

// Goal: certificates are read again without a restart, old protocols are not spoken, and who has no certificate of the
// authority does not come in. Method: the edge's own server, certificates by OpenSSL's command, Node's TLS as the caller.

describe("edge/tls", () => {
  let folder: string;
  let server: Server;
  const at = (name: string) => join(folder, name);

  const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: folder, stdio: "pipe" });
  const authority = (name: string) =>
    openssl(
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-days",
      "1",
      "-subj",
      `/CN=${name}`,
      "-keyout",
      `${name}.key`,
      "-out",
      `${name}.pem`,
    );
  const certificate = (name: string, ca: string) => {
    openssl(
      "req",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-subj",
      `/CN=${name}`,
      "-keyout",
      `${name}.key`,
      "-out",
      `${name}.csr`,
    );
    openssl(
      "x509",
      "-req",
      "-days",
      "1",
      "-in",
      `${name}.csr`,
      "-CA",
      `${ca}.pem`,
      "-CAkey",
      `${ca}.key`,
      "-CAcreateserial",
      "-out",
      `${name}.pem`,
    );
  };
  const pair = (name: string) => ({ cert: readFileSync(at(`${name}.pem`)), key: readFileSync(at(`${name}.key`)) });

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-tls-"));
    for (const name of ["first", "second", "callers", "others"]) authority(name);
    certificate("payouts", "callers");
    certificate("stranger", "others");
  });
  after(() => rmSync(folder, { recursive: true, force: true }));
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  const place = (name: string): TlsPaths => {
    for (const kind of ["pem", "key"]) copyFileSync(at(`${name}.${kind}`), at(`now.${kind}`));
    return { cert: at("now.pem"), key: at("now.key") };
  };
  const start = async (paths: TlsPaths): Promise<number> => {
    const app = express();
    app.use((_request, response) => void response.end("ok"));
    server = createEdgeServer(app, readTls(paths)) as Server;
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  };
  /** @returns the server's name, once it has answered a request; or how it refused */
  const reach = (port: number, options: ConnectionOptions = {}): Promise<string> =>
    new Promise((resolve) => {
      const socket: TLSSocket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false, ...options }, () => {
        const { CN } = socket.getPeerCertificate().subject;
        socket.once("data", () => (socket.destroy(), resolve(String(CN))));
        socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      });
      socket.once("error", () => resolve("refused")).once("close", () => resolve("refused"));
    });

  it("new connections get the certificate that stands in the files; a pair that does not fit is waited for", async () => {
    const paths = place("first");
    const port = await start(paths);
    const told: unknown[] = [];
    const look = keepFresh(server, paths, (error) => told.push(error), 3_600_000);
    assert.equal(await reach(port), "first");
    copyFileSync(at("second.pem"), paths.cert);
    look();
    assert.deepEqual([await reach(port), told.length], ["first", 1]);
    copyFileSync(at("second.key"), paths.key);
    look();
    assert.deepEqual([await reach(port), told.length], ["second", 1]);
    rmSync(paths.cert);
    look();
    assert.deepEqual([await reach(port), told.length], ["second", 2]);
  });

  it("who has no certificate of the authority does not come in", async () => {
    const port = await start({ ...place("first"), clientCa: at("callers.pem") });
    assert.equal(await reach(port), "refused");
    assert.equal(await reach(port, pair("stranger")), "refused");
    assert.equal(await reach(port, pair("payouts")), "first");
  });

  it("nothing below TLS 1.2 is spoken", async () => {
    const port = await start(place("first"));
    const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const;
    assert.equal(await reach(port, old), "refused");
    assert.equal(await reach(port, { maxVersion: "TLSv1.2" }), "first");
  });
});
