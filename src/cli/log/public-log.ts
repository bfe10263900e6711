import { GatewayError } from "../../domain/errors.ts";
import type { Hash } from "../../tlog/hashes.ts";
import { nodesFrom, TILE_WIDTH, tilePath } from "../../tlog/tiles.ts";
import { rootOf, type NodeReader } from "../../tlog/tree.ts";

/** A log as everybody can read it (C2SP tlog-tiles): nothing of what comes is believed before it leads to a signed root. */
export function publicLog(url: string) {
  const get = async (path: string): Promise<Buffer> => {
    const target = new URL(`/v1/log/${path}`, url);
    const ask = (): Promise<Response> => fetch(target, { redirect: "error" });
    // Once more: a connection that was kept may have been closed just then.
    const response = await ask()
      .catch(ask)
      .catch((error: unknown) => {
        throw new GatewayError("gateway-unreachable", `cannot reach \`${url}\``, { cause: error });
      });
    if (response.ok) return Buffer.from(await response.arrayBuffer());
    throw new GatewayError("log-unavailable", `expected \`${target.pathname}\`, found ${response.status}`);
  };
  /** From the tiles of the tree of `treeSize`. */
  const nodes = (treeSize: number): NodeReader =>
    nodesFrom(({ level, index }) => {
      const width = Math.min(Math.floor(treeSize / TILE_WIDTH ** level) - index * TILE_WIDTH, TILE_WIDTH);
      return get(`tile/${tilePath({ level, index, width })}`);
    });
  return {
    checkpoint: () => get("checkpoint"),
    nodes,
    /** The root at `size`. */
    rootOf: (size: number, treeSize: number): Promise<Hash> => rootOf(size, nodes(treeSize)),
  };
}
