import type { Filling } from "../chains/evm/fields.ts";
import type { SigningRequestBody } from "../domain/api.ts";
import { GatewayError } from "../domain/errors.ts";
import type { Intent } from "../domain/intent.ts";
import type { Json } from "../domain/json.ts";
import type { CallerName, ClientId } from "../domain/names.ts";
import { decide, loadFacts, newRequest, understandReplacing } from "./claim.ts";
import { requireCurrent } from "./directory.ts";
import { readPayload } from "./payloads.ts";
import { shownDecision } from "./record.ts";
import { requireUnfrozen, usableKey, type SignDependencies } from "./sign.ts";

/**
 * Steps 1 to 3 and nothing more: what would be decided now. Nothing is counted, claimed, recorded or signed.
 * @throws {GatewayError} `policy-not-found`, what the decoder refuses, `key-not-found`, or why the key cannot be used
 */
export async function evaluateOnly(
  { store, directory }: SignDependencies,
  clientId: ClientId,
  caller: CallerName,
  body: SigningRequestBody,
  assist?: Filling,
): Promise<{ intent: Intent; digest: string; decision: Json }> {
  const client = directory.get(clientId);
  const house = directory.house;
  if (!client.policy) throw new GatewayError("policy-not-found", `client \`${clientId}\` has no policy yet`);
  requireUnfrozen({ client, house }, { key: body.key, caller });
  const { key } = usableKey(client, body.key);
  const payload = readPayload(body.payload, { key, registry: client.policy.registry });
  return store.read(async (reader) => {
    await requireCurrent(reader, client, house);
    const submission = { client: clientId, caller, idempotencyKey: "", bodyHash: "", body, evidence: {} };
    const request = newRequest(submission, client, await reader.now());
    const understood = await understandReplacing(reader, request, payload, assist);
    const { intent, digest32 } = understood;
    const situation = { client, house, key, request, payload: body.payload, assist, ...understood };
    const facts = await loadFacts(reader, situation);
    const decision = shownDecision(await decide(reader, situation, facts, { explain: true }));
    return { intent, digest: `0x${Buffer.from(digest32).toString("hex")}`, decision };
  });
}
