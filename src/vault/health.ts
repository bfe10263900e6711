import type { ClientEntry } from "./directory.ts";
import type { Gateway } from "./gateway.ts";
import { HOUSE } from "../domain/names.ts";
import type { SignatureCounts, TokenHealth, TokenRef } from "./ports.ts";
import type { WitnessState } from "./witnessing.ts";

/* How the gateway is, for `readyz` and for metrics. */

type Unavailable = { readonly client: string; readonly state: string; readonly ckr: string };

/** One client's token: as the HSM connection sees it, or why there is none. */
type TokenState = {
  readonly client: string;
  readonly state: string;
  readonly ckr?: string;
  readonly load?: TokenHealth;
};

const isSame = (one: TokenRef, other: TokenRef) => one.label === other.label && one.serial === other.serial;

function tokenStates({ directory, health }: Gateway): TokenState[] {
  const known = health();
  return directory.clients().map((entry) => stateOf(entry, known));
}

function stateOf({ row, token, tokenError }: ClientEntry, known: readonly TokenHealth[]): TokenState {
  const load = known.find(({ ref }) => isSame(ref, row.token));
  if (token && load) {
    return { client: row.id, state: load.state, load, ...(load.ckr === undefined ? {} : { ckr: load.ckr }) };
  }
  if (token) return { client: row.id, state: "ready" };
  const { ckr } = (tokenError?.facts ?? {}) as { ckr?: string };
  return { client: row.id, state: "unavailable", ckr: ckr && ckr !== "none" ? ckr : (tokenError?.code ?? "unknown") };
}

export type Readiness = {
  readonly status: string;
  readonly gateway: string;
  readonly isolation: string;
  readonly clients: { readonly available: number; readonly all: number };
  /** How many clients are frozen as a whole; all of them with the house. */
  readonly frozen: number;
  /** Tokens that are away, with PKCS#11's name of the reason, or the gateway's own where the module gave none. */
  readonly unavailable: readonly Unavailable[];
  /** Clients for whom nothing is signed, because the store is not what the log says of them. */
  readonly integrity: readonly string[];
  /** Where witnesses are asked: the largest checkpoint that enough of them have cosigned. */
  readonly log?: WitnessState;
};

const isFrozen = ({ directory: { house } }: Pick<Gateway, "directory">, { row }: Pick<ClientEntry, "row">): boolean =>
  row.status !== "active" || house.row.status !== "active";

/** One token that is away leaves the vault ready for the others; with none left it is not ready. */
export function readinessOf(gateway: Gateway): Readiness {
  const states = tokenStates(gateway);
  const unavailable = states
    .filter(({ state }) => state === "unavailable")
    .map(({ client, state, ckr }) => ({ client, state, ckr: ckr ?? "unknown" }));
  const available = states.length - unavailable.length;
  const noneLeft = states.length > 0 && available === 0;
  return {
    status: (gateway.refusal() ?? gateway.stopped.get(HOUSE))?.code ?? (noneLeft ? "no-token-available" : "ready"),
    gateway: gateway.name,
    isolation: gateway.isolation,
    clients: { available, all: states.length },
    frozen: gateway.directory.clients().filter((entry) => isFrozen(gateway, entry)).length,
    unavailable,
    integrity: [...gateway.stopped.keys()],
    ...(gateway.witnessing.state ? { log: gateway.witnessing.state } : {}),
  };
}

type Metric = { readonly name: string; readonly help: string; readonly of: (token: TokenState) => number };

const METRICS: readonly Metric[] = [
  {
    name: "token_up",
    help: "1: the client's token signs; 0: it is away",
    of: ({ state }) => Number(state !== "unavailable"),
  },
  {
    name: "token_healing",
    help: "1: a fault that callers do not see yet",
    of: ({ state }) => Number(state === "healing"),
  },
  { name: "token_sessions_leased", help: "operations under way", of: ({ load }) => load?.leased ?? 0 },
  {
    name: "token_waiting",
    help: "operations that wait for a session or for healing",
    of: ({ load }) => load?.waiting ?? 0,
  },
  {
    name: "token_oldest_operation_seconds",
    help: "age of the oldest operation under way",
    of: ({ load }) => (load?.oldestMs ?? 0) / 1000,
  },
];

/** Labels after the client's, and a value. */
type Sample = readonly [labels: string, value: number];

/** What tokens have counted of their signatures; one that was never opened has counted none. */
const samplesOf =
  (states: readonly TokenState[]) =>
  (name: string, of: (counts: SignatureCounts) => readonly Sample[]): string[] =>
    states.flatMap(({ client, load }) =>
      load ? of(load.signatures).map(([more, n]) => `portcullis_${name}{client="${client}"${more}} ${n}`) : [],
    );

/** Prometheus' text format, version 0.0.4. Clients' ids need no escaping: see `domain/names.ts`. */
export function metricsOf(gateway: Gateway): string {
  const states = tokenStates(gateway);
  const metric = (type: string) => (name: string, help: string, lines: readonly string[]) =>
    [`# HELP portcullis_${name} ${help}`, `# TYPE portcullis_${name} ${type}`, ...lines].join("\n");
  const [gauge, counter] = [metric("gauge"), metric("counter")];
  const samples = samplesOf(states);
  const ready = Number(readinessOf(gateway).status === "ready");
  return `${[
    counter(
      "unauthenticated_refusals_total",
      "requests that were proven to be nobody's, by the code of their refusal",
      [...gateway.strangers].map(([code, n]) => `portcullis_unauthenticated_refusals_total{code="${code}"} ${n}`),
    ),
    gauge("ready", "1: the vault signs for at least one client", [`portcullis_ready ${ready}`]),
    ...METRICS.map(({ name, help, of }) =>
      gauge(
        name,
        help,
        states.map((state) => `portcullis_${name}{client="${state.client}"} ${of(state)}`),
      ),
    ),
    counter(
      "signatures_total",
      "signatures that the client's token has made",
      samples("signatures_total", ({ made }) => [["", made]]),
    ),
    counter(
      "signature_failures_total",
      "orders that ended without one, by the reason",
      samples("signature_failures_total", ({ failed }) => [...failed].map(([ckr, n]) => [`,ckr="${ckr}"`, n])),
    ),
    counter(
      "hsm_faults_total",
      "faults of the client's token that healing was tried for, by the reason; most of them no caller sees",
      samples("hsm_faults_total", ({ faults }) => [...faults].map(([ckr, n]) => [`,ckr="${ckr}"`, n])),
    ),
    metric("histogram")("signature_seconds", "from the order to the signature, with waiting and healing", [
      ...samples("signature_seconds_bucket", ({ within, made }) => [
        ...within.map(({ seconds, count }): Sample => [`,le="${seconds}"`, count]),
        [`,le="+Inf"`, made],
      ]),
      ...samples("signature_seconds_sum", ({ seconds }) => [["", seconds]]),
      ...samples("signature_seconds_count", ({ made }) => [["", made]]),
    ]),
    gauge(
      "client_frozen",
      "1: nothing of the client is signed until the officers unfreeze it",
      gateway.directory
        .clients()
        .map((entry) => `portcullis_client_frozen{client="${entry.row.id}"} ${Number(isFrozen(gateway, entry))}`),
    ),
    gauge(
      "token_unavailable_reason",
      "1 for the reason why the client's token is away",
      states
        .filter(({ state }) => state === "unavailable")
        .map(({ client, ckr }) => `portcullis_token_unavailable_reason{client="${client}",ckr="${ckr}"} 1`),
    ),
  ].join("\n")}\n`;
}
