import { z } from "zod";

/* The bodies of JSON-RPC 2.0, as the vault reads and the OpenAPI document prints them. */

const Id = z.union([z.string().max(256), z.number(), z.null()]);

export const RpcCall = z.looseObject({
  jsonrpc: z.literal("2.0"),
  id: Id.default(null),
  method: z.string().max(64),
  params: z.array(z.unknown()).max(8).default([]),
});

export const RpcBody = z.union([RpcCall, z.array(RpcCall).min(1).max(100)]);
export type RpcBody = z.infer<typeof RpcBody>;

export const RpcReply = z.looseObject({ jsonrpc: z.literal("2.0"), id: Id });
export const RpcAnswer = z.union([RpcReply, z.array(RpcReply)]);
