/*
 * The policy of tests that are about something else: one service, one key, one place where money may go. As a text, as
 * `startGateway` takes it.
 */

export const TREASURY = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

/** Test keys of nobody: the gateway puts others in their place, and only their being different counts. */
const PAYOUTS = 'payouts: { role: wallet-service, keys: ["ed25519:M6VqVUrtA/kadQU9EtD0ORaImZtOy1kR/HPbKRYegRM="] }';
const ALICE = 'alice: { role: approver, keys: ["ed25519:rE+HDdsI1jl4pUTVAqZMhR+1ashqyyHECzFcmYkssJU="] }';

/** Rules that a test may add. */
export const RULES = {
  /** Alice approves. */
  large:
    '{ id: large, allow: [transfer], from: [hot-1], to: [treasury], amount: { ETH-LOCAL: { over: "10", max: "50" } }, approvals: { officers: 1 } }',
  sweep: "{ id: sweep, allow: [transfer], from: [hot-1], to: [own], amount: { ETH-LOCAL: any } }",
  words: "{ id: words, allow: [message], from: [hot-1], to: [anyone], format: [text] }",
  orders:
    '{ id: orders, allow: [typed-data], from: [hot-1], to: [anyone], domain: { name: Exchange, chainId: "31337" }, primaryType: [Order], unbounded: true }',
} as const;

export type SmallPolicy = {
  readonly client?: string;
  /** Lines of `callers`; default: `payouts` alone. */
  readonly callers?: readonly string[];
  readonly rules?: readonly (keyof typeof RULES)[];
  /** Ether that may leave within 24 hours. */
  readonly daily?: number;
};

/** `payouts` pays up to 10 ether to the treasury. */
export function smallPolicy({ client = "acme-fund", callers, rules = [], daily = 10 }: SmallPolicy = {}): string {
  const asksPeople = rules.includes("large");
  const lines = (of: readonly string[], mark = "") => of.map((line) => `  ${mark}${line}`).join("\n");
  return `apiVersion: portcullis/v1
kind: ClientPolicy
client: ${client}
version: 1
use: [shared/assets.yaml]
callers:
${lines(callers ?? [PAYOUTS, ...(asksPeople ? [ALICE] : [])])}
${asksPeople ? "groups: { officers: [alice] }\n" : ""}addressBook:
  treasury: { address: "eip155:31337:${TREASURY}" }
fee: { ETH-LOCAL: { max: "0.02" } }
rules:
  - { id: payouts, allow: [transfer], from: [hot-1], to: [treasury], amount: { ETH-LOCAL: { max: "10" } } }
${lines(
  rules.map((name) => RULES[name]),
  "- ",
)}
limits:
  eth-daily: { sum: ETH-LOCAL, max: "${daily}", window: { rolling: 24h } }
`;
}
