/*
 * Every problem that the gateway answers with: the one list, from which `docs/errors.md`, the OpenAPI document and the
 * statuses come. Codes are stable: programs go by them.
 */

/**
 * May the same request be sent again, with the same idempotency key?
 * `yes`: it is what to do. `corrected`: nothing was recorded under the key, and only another request would help. `final`:
 * safe, and answered the same for ever; what is changed takes a new key.
 */
export type Again = "yes" | "corrected" | "final";

export type ProblemKind = {
  readonly status: number;
  readonly cause: string;
  readonly remedy: string;
  readonly again: Again;
  /** Said by the edge, without the vault's signature: nobody is to take it for an answer. */
  readonly unsigned?: true;
};

const kind =
  (status: number, again: Again, remedy: string) =>
  (cause: string, otherRemedy = remedy): ProblemKind => ({ status, cause, remedy: otherRemedy, again });

const malformed = kind(400, "corrected", "correct the request");
const unproven = kind(401, "corrected", "sign as docs/calling.md shows");
const forbidden = kind(403, "corrected", "let somebody ask who may: docs/roles.md");
const missing = kind(404, "corrected", "check the name or id");
const conflict = kind(409, "corrected", "look at what is there");
const later = kind(503, "yes", "repeat after `Retry-After`; tell the operator if it lasts");
const unreadable = kind(422, "final", "correct the payload");
const unacceptable = kind(422, "corrected", "correct the request");

const SIGNING = {
  "denied-by-policy": kind(
    403,
    "final",
    "read `request.decision`; ask for something else, or change the policy",
  )("the client's policy, or the house's, does not allow this"),
  "request-expired": kind(
    409,
    "final",
    "ask again with a new key",
  )("it has lapsed, by the policy or by its own `notAfter`: nothing is signed for it any more"),
  cancelled: kind(409, "final", "ask again with a new key")("its caller has taken it back"),
  rejected: kind(403, "final", "ask the approver why")("an approver has rejected it"),
  settled: kind(
    409,
    "final",
    "read `spend`: `counted` means that a signature may have been made, and none ever leaves",
  )("an operator ended the request between its authorization and its outcome"),
  "request-in-progress": kind(409, "yes", "repeat a moment later")("another attempt with this key is under way"),
  "not-replaceable": unreadable(
    "this cannot take the place of the request that `replaces` names (or that holds its nonce, over JSON-RPC): not the latest transaction of this key with its nonce that was signed or has failed, or it differs in more than its prices and is no cancellation",
  ),
  "client-frozen": kind(
    409,
    "yes",
    "repeat once it is unfrozen",
  )("client, key or caller is frozen: nothing was decided"),
  "idempotency-mismatch": kind(
    422,
    "corrected",
    "send the first body again, or use a new key",
  )("the key was used with another body"),
  "key-disabled": conflict("the key is disabled or retired", "use another key"),
  "too-many-denied": kind(
    429,
    "yes",
    "see why requests are denied; repeat after `Retry-After`",
  )("this caller had more requests denied or left pending within a minute than are recorded: nothing was done"),
} satisfies Record<string, ProblemKind>;

const signedForElse = "fetch the request again, read it, sign what it is now";
const approval = kind(403, "corrected", signedForElse);

/** Why what a person signed does not count. */
const APPROVAL = {
  "approval-malformed": kind(422, "corrected", signedForElse)("the text is not `portcullis/approval/v1`"),
  "approval-person-unknown": approval("the client's document declares no such approver"),
  "person-signature-invalid": approval("the signature is not one of the person's keys over this text"),
  "wrong-namespace": approval("the SSH signature was made for another namespace"),
  "approval-for-another-gateway": approval("it was signed for another gateway"),
  "approval-for-another-client": approval("it was signed for another client"),
  "approval-for-another-request": approval("it was signed for another request"),
  "approval-for-another-intent": approval("the request means something else than what was signed"),
  "approval-under-another-policy": approval("it was signed under another policy"),
  "approval-verdict-differs": approval("an approval was brought as a rejection, or the other way round"),
  "approval-expired": approval("it has expired"),
  "approval-outlives-request": approval("it would count longer than the request lives"),
  "approval-by-frozen": approval("the person is frozen", "ask somebody else"),
  "approval-by-initiator": approval("whoever asked decides nothing about it", "ask somebody else"),
  "approval-by-operator": approval("the person runs the service that asked", "ask somebody else"),
  "approval-not-asked": approval("nothing is missing of a group that the person is in", "ask whom `missing` names"),
  "approval-not-needed": conflict("everybody who has to approve has done so"),
  "approval-repeated": conflict("the person has approved already, and counts once"),
  "denied-now": conflict("the policy would deny the request now, whoever approves it"),
  "request-decided": conflict("the request does not wait any more"),
} satisfies Record<string, ProblemKind>;

const ASKING = {
  "invalid-body": malformed("the body is not what the route's schema says; `issues` names the fields"),
  "invalid-parameter": malformed("a query parameter is unknown, stands twice or has no such value"),
  "idempotency-key-missing": malformed("POST and PUT need the header `Idempotency-Key`"),
  "idempotency-key-invalid": malformed("a key has 1 to 128 visible ASCII characters"),
  "signature-missing": unproven("there is no `Signature-Input` or no `Signature`"),
  "signature-malformed": unproven("a signature header is not of the one profile that is spoken here"),
  "signature-components": unproven("the signature covers more, fewer or other components than the profile says"),
  "signature-algorithm": unproven("`alg` is neither `ed25519` nor `ecdsa-p256-sha256`"),
  "signature-stale": unproven("`created` is more than a minute from the gateway's time", "set the clock; sign anew"),
  "signature-invalid": unproven("the signature is not of one of the caller's keys over these bytes"),
  "wrong-gateway": unproven("`tag` names another gateway"),
  "digest-mismatch": unproven("`Content-Digest` is not the SHA-256 of the body"),
  "unknown-caller": unproven(
    "no policy that counts for this path declares the caller",
    "declare it in the client's document, or the house's",
  ),
  "not-permitted": forbidden("the caller's role may not do this"),
  "caller-frozen": forbidden("the caller is frozen", "the policy officers' quorum unfreezes it"),
  "policy-signatures": forbidden("the officers' signatures over this policy are too few or not theirs", "sign again"),
  "officer-signatures": forbidden("the officers' signatures are too few or not theirs", "sign again"),
  "not-found": missing("there is nothing at this path", "see /docs"),
  "client-not-found": missing("there is no such client"),
  "key-not-found": missing("the client has no such key"),
  "invalid-params": unacceptable("the parameters of the JSON-RPC call are not what its method takes"),
  "raw-digest-refused": unacceptable("what is to be signed can be read neither as a transaction nor as a message"),
  "cosignature-invalid": unacceptable("what a witness gave back is no cosignature of a checkpoint of this log"),
  "asset-not-found": missing("the client's registry has no such asset"),
  "foreign-account": unacceptable("the account is not one of this client's"),
  "caller-not-found": missing("the client's document declares no such caller"),
  "request-not-found": missing("the client has no such request, or it is another caller's"),
  "policy-not-found": missing("the client has no policy, or none of this version"),
  "method-not-allowed": kind(405, "corrected", "see /docs")("the path has no such method"),
  "client-exists": conflict("there is a client of this name already"),
  "key-exists": conflict("the client, or its token, has a key of this name already"),
  "token-exists": conflict("there is a token of this name already"),
  "token-in-use": conflict("the token belongs to somebody already"),
  "policy-conflict": conflict(
    "the policy does not follow on the active one",
    "fetch the active policy and begin there",
  ),
  "policy-scheduled": conflict("another change of this policy waits already", "wait, or have an officer cancel it"),
  "not-frozen": conflict("there is no such freeze"),
  "lien-not-found": missing("the client has no such lien that stands"),
  "lien-exists": conflict("the client has, or had, a lien of this name", "choose another name"),
  "not-enough-free": conflict(
    "less is free than is to be pledged; what no observer has read on the chain counts as nothing",
    "`portcullis reconcile`",
  ),
  "sub-account-not-found": missing("the client's policy has no such sub-account"),
  "sub-account-missing": unacceptable(
    "the client holds several owners' assets together: say whose this is",
    "name `subAccount`",
  ),
  "deposit-booked": conflict("the deposit is another sub-account's already"),
  "not-less": conflict("a release leaves more than is encumbered"),
  "promise-broken": conflict(
    "it is said that nothing was lost, and the store lacks what was promised",
    "`portcullis recover --after-restore`",
  ),
  "not-moved": conflict("it is said that nothing was lost, of a store that was not moved", "say what is true"),
  "clock-differs": conflict("the store's clock is not what the officer's shows", "set the clocks"),
  "reserved-name": unacceptable("the name is one of the gateway's own"),
  "label-invalid": unacceptable("a token's label is not one that every module keeps"),
  "policy-invalid": unacceptable(
    "the policy document cannot be used; `findings` says why",
    "`portcullis policy check`",
  ),
  "chains-missing": unacceptable("an adopted key needs to be told its chains"),
  "answer-too-large": unacceptable("the answer is larger than a frame", "ask for less: `limit=50`"),
} satisfies Record<string, ProblemKind>;

/** What the decoder refuses: recorded as a denial, and final for its key. */
const PAYLOAD = {
  "address-checksum": unreadable("an address has no EIP-55 checksum, or a wrong one"),
  "already-signed": unreadable("the transaction is signed already"),
  "authority-unknown": unreadable("nobody can have signed an EIP-7702 authorization that the transaction carries"),
  "authorization-for-every-chain": unreadable("an EIP-7702 authorization names chain 0, which means every chain"),
  "blob-sidecar-mismatch": unreadable("blobs, commitments and proofs do not fit the transaction"),
  "call-too-deep": unreadable("calls are nested deeper than is read"),
  "calldata-length": unreadable("calldata is longer or shorter than its method's arguments"),
  "calldata-offset": unreadable("an offset in calldata is not where an encoder puts it"),
  "calldata-padding": unreadable("padding in calldata is not zeros"),
  "calldata-value": unreadable("an argument in calldata is no value of its type"),
  "chain-id-zero": unreadable("the chain id is 0"),
  "conflicting-fields": unreadable("fields of two transaction types, or one thing said twice"),
  "control-malformed": unreadable("it begins as a proof of control and is none"),
  "control-other-account": unreadable("a proof of control names another account"),
  "empty-transaction": unreadable("there are no bytes"),
  "invalid-address": unreadable("an address is not 20 bytes in hex"),
  "invalid-data": unreadable("bytes are no pairs of hex digits, or not as many as they must be"),
  "invalid-field": unreadable("a field has no value of its type"),
  "invalid-number": unreadable("a number is not a decimal or hexadecimal integer"),
  "invalid-signature": unreadable("a signature that the payload carries is none of the curve"),
  "message-too-large": unreadable("the message has more bytes than are signed"),
  "missing-field": unreadable("a field is left out that nobody fills in"),
  "no-authorizations": unreadable("a transaction of type 4 carries no authorization"),
  "no-blobs": unreadable("a transaction of type 3 carries no blob hash"),
  "no-replay-protection": unreadable("a legacy transaction without EIP-155: any chain would take it"),
  "non-canonical-transaction": unreadable("the bytes are not the one encoding of this transaction"),
  "nonce-too-large": unreadable("the nonce is 2^64 − 1 or more"),
  "not-an-authorization": unreadable("the bytes are no EIP-7702 authorization"),
  "number-too-large": unreadable("a number does not fit its word"),
  "priority-fee-above-max-fee": unreadable("the tip is above the fee that is to hold it"),
  "rlp-expected-bytes": unreadable("a list stands where bytes belong"),
  "rlp-expected-list": unreadable("bytes stand where a list belongs"),
  "rlp-extra-items": unreadable("a list has more items than its type"),
  "rlp-leading-zero": unreadable("an integer begins with a zero byte"),
  "rlp-missing-item": unreadable("a list has fewer items than its type"),
  "rlp-non-minimal": unreadable("a length or a byte is not in its shortest encoding"),
  "rlp-too-large": unreadable("an item is too long"),
  "rlp-trailing-bytes": unreadable("there are bytes behind the transaction"),
  "rlp-truncated": unreadable("an item goes on behind its list's end"),
  "siwe-malformed": unreadable("it begins as a Sign-In with Ethereum message and is none"),
  "siwe-other-account": unreadable("a Sign-In with Ethereum message names another account"),
  "too-many-operations": unreadable("the payload unfolds into more operations than are read"),
  "undecoded-refund": unreadable("a Safe refunds its sender in a token that no registry pins"),
  "too-many-arguments": unreadable("a call has more arguments than are read"),
  "transaction-too-large": unreadable("the transaction has more bytes than are read"),
  "typed-data-shape": unreadable("the document is not exactly `types`, `domain`, `primaryType`, `message`"),
  "typed-data-too-large": unreadable("the document is larger or deeper than is read"),
  "typed-data-type": unreadable("a type is none of EIP-712, or is used and not declared"),
  "typed-data-value": unreadable("a value is none of its type"),
  "unknown-blob-version": unreadable("a blob hash is not of version 1"),
  "unknown-field": unreadable("a field is not one of a transaction"),
  "unknown-transaction-type": unreadable("nobody has defined this transaction type"),
  "unsafe-delegatecall": unreadable("a Safe's MultiSend runs foreign code as the Safe"),
  "wrong-chain": unreadable("the key does not live on this chain"),
  "wrong-length": unreadable("a field has not as many bytes as it must"),
  "wrong-purpose": unreadable("the key was made for another kind of payload"),
} satisfies Record<string, ProblemKind>;

const LATER = {
  "checkpoint-pending": later("no checkpoint covers the leaf yet", "repeat in a few seconds"),
  "clock-unconfirmed": later("the log was silent for long, and no officer has said that the clock is right"),
  "hsm-busy": later("too many operations wait for the token"),
  "hsm-unavailable": later("the client's token does not answer"),
  "key-ambiguous": later("the token holds two keys of one name"),
  "key-refused": later("the key does not show what I1 asks for, or does not prove its public key"),
  "node-unavailable": later(
    "fields were left out that only a chain node knows, and none has filled them: nothing was recorded",
    "name them, or repeat when the edge's node answers; one that expects the transaction to fail knows no `gas`",
  ),
  "not-ready": later("the vault is starting"),
  "outcome-unknown": later("the store was lost while it committed; the same request finds out"),
  "pin-incorrect": later("the token refused its PIN"),
  "pin-invalid": later("the token does not take the new PIN"),
  "pin-locked": later("the token is locked"),
  "pin-missing": later("there is no sealed PIN for the token"),
  "pin-refused": later("the token has refused its PIN before: it is not tried again"),
  "seal-broken": later("a sealed PIN does not open"),
  "store-fault": later("the store does not understand what it is asked"),
  "store-lost": later("the store's disk failed; the vault starts again"),
  "store-moved": later("the store is not the one that it was"),
  "store-not-durable": later("the store does not promise to keep what it commits"),
  "store-rolled-back": later("the store lacks what the log has promised"),
  "store-too-new": later("a newer Portcullis wrote the store"),
  "store-too-old": later("the store's schema is older than this program"),
  "store-unavailable": later("the store does not answer"),
  "token-ambiguous": later("there are two tokens of this label and serial"),
  "token-not-found": later("the HSM does not show the client's token"),
  "vault-busy": later("the vault has more requests under way than it takes: nothing was done"),
  integrity: kind(
    503,
    "yes",
    "tell the operator at once: nothing is signed for this client",
  )("the store holds what is not as the log has it: somebody has changed it"),
  "internal-error": kind(
    500,
    "yes",
    "tell the operator; the same key finishes the same request",
  )("something went wrong inside; the gateway's log has the reason"),
} satisfies Record<string, ProblemKind>;

const edge = (of: ProblemKind): ProblemKind => ({ ...of, unsigned: true });

const EDGE = {
  "body-too-large": edge(kind(413, "corrected", "send less, or raise `edge.bodyBytes`")("the body is over the bound")),
  "edge-busy": edge(later("the edge has more requests under way than it takes: nothing was done")),
  "encoding-unsupported": edge(kind(415, "corrected", "send it plain")("the body has a content encoding")),
  "headers-too-large": edge(kind(431, "corrected", "send shorter headers")("the headers are over the bound")),
  "invalid-request": edge(malformed("what was sent is no HTTP that can be read")),
  "vault-unreachable": edge(
    kind(504, "yes", "repeat with the same key")("the vault did not answer: it may or may not have seen the request"),
  ),
  "wrong-host": edge(kind(421, "corrected", "use one of `edge.hosts`")("`Host` is not a name of this gateway")),
  "too-many-requests": edge(
    kind(
      429,
      "yes",
      "send less at a time; repeat after `Retry-After`",
    )("more requests came from this address than are taken: nothing was done"),
  ),
} satisfies Record<string, ProblemKind>;

export const PROBLEM_SECTIONS = {
  "Signing requests": SIGNING,
  "Approvals and rejections": APPROVAL,
  Asking: ASKING,
  "What cannot be decoded": PAYLOAD,
  "Not now": LATER,
  "Said by the edge": EDGE,
} as const;

const ALL = { ...SIGNING, ...APPROVAL, ...ASKING, ...PAYLOAD, ...LATER, ...EDGE };
export type ProblemCode = keyof typeof ALL;
export const PROBLEMS: Readonly<Record<ProblemCode, ProblemKind>> = ALL;
export const PAYLOAD_PROBLEMS = Object.keys(PAYLOAD) as readonly ProblemCode[];
export const APPROVAL_PROBLEMS = [...Object.keys(APPROVAL), "request-expired"] as readonly ProblemCode[];
export const LATER_PROBLEMS = Object.keys(LATER) as readonly ProblemCode[];
