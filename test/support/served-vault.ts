import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createApp, createEdgeServer, type EdgeLimits } from "../../src/edge/app.ts";
import { VaultLink } from "../../src/edge/vault-link.ts";
import { GatewayClient } from "../../src/sdk/client.ts";
import { AnswerSigner } from "../../src/vault/auth/answers.ts";
import { serveVault } from "../../src/vault/server.ts";
import type { TestVault } from "./vault.ts";
import { send, type WireAnswer, type WireRequest } from "./wire.ts";

/* The vault of a test behind its real socket and a real edge, in one process. */

export type ServedVault = {
  readonly url: string;
  readonly socket: string;
  /** Signed by that caller, through the edge; whatever comes back. */
  readonly call: (...of: ServedCall) => Promise<WireAnswer>;
  /** What `call` sends. */
  readonly signed: (...of: ServedCall) => WireRequest;
  readonly close: () => Promise<void>;
};

export type ServedCall = [caller: string, method: string, target: string, body?: Uint8Array | object, key?: string];

export async function served(
  vault: TestVault,
  limits: EdgeLimits = { bodyBytes: 256 * 1024, inFlight: 256 },
): Promise<ServedVault> {
  const folder = mkdtempSync(join(tmpdir(), "portcullis-served-"));
  const socket = join(folder, "vault.sock");
  const signer = await AnswerSigner.start(vault.gateway.name, vault.gateway.logToken);
  const server = await serveVault(vault.gateway, signer, { path: socket, mode: 0o600 });
  const link = new VaultLink(socket);
  const edge = createEdgeServer(createApp(link, limits), undefined);
  edge.listen(0, "127.0.0.1");
  await once(edge, "listening");
  const url = `http://127.0.0.1:${(edge.address() as AddressInfo).port}`;
  const signed: ServedVault["signed"] = (caller, method, target, body = Buffer.alloc(0), key?) => {
    const bytes = body instanceof Uint8Array ? body : Buffer.from(JSON.stringify(body));
    const { headers } = new GatewayClient(vault.callers.get(caller)!).signRequest(method, target, bytes, key);
    // Node gives a GET no length, and its body would be the next request.
    const length = { "content-length": String(bytes.length) };
    return { method, target, headers: { ...headers, ...length }, body: bytes };
  };
  return {
    url,
    socket,
    signed,
    call: (...of) => send(url, signed(...of)),
    close: async () => {
      edge.closeAllConnections();
      edge.close();
      link.close();
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
