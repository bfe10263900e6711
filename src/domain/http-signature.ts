/*
 * The one profile of HTTP Message Signatures (RFC 9421) that Portcullis speaks, as texts: what a caller signs over a
 * request, what the vault signs over its answer. Signing and verifying stand where the keys are.
 */

export type SignatureParameters = {
  readonly created: number;
  readonly keyid: string;
  readonly alg: string;
  readonly tag: string;
};

/** A request as both ends see it; `path` and `query` exactly as sent, header names in lower case. */
export type SignedRequest = {
  readonly method: string;
  readonly path: string;
  /** With its question mark; `?` alone when there is none (RFC 9421, section 2.2.7). */
  readonly query: string;
  readonly contentDigest: string;
  readonly idempotencyKey: string | undefined;
};

/** A caller's signature is worth something only for the gateway that it names: a staging request stays in staging. */
export const gatewayTag = (gateway: string): string => `portcullis:${gateway}`;

export const splitTarget = (target: string): { path: string; query: string } => {
  const mark = target.indexOf("?");
  return mark < 0 ? { path: target, query: "?" } : { path: target.slice(0, mark), query: target.slice(mark) };
};

export const requestComponents = (hasIdempotencyKey: boolean): string[] => [
  "@method",
  "@path",
  "@query",
  "content-digest",
  ...(hasIdempotencyKey ? ["idempotency-key"] : []),
];

/** `("@method" …);created=…;keyid="…";alg="…";tag="…"`: the value that stands in Signature-Input and in the base. */
export const signatureInput = (components: readonly string[], parameters: SignatureParameters): string =>
  `(${components.map((name) => (name.includes(";") ? name : `"${name}"`)).join(" ")});created=${parameters.created};keyid="${parameters.keyid}";alg="${parameters.alg}";tag="${parameters.tag}"`;

/** The signature base of a request (RFC 9421, section 2.5), for components in the order in which `input` names them. */
export function requestSignatureBase(request: SignedRequest, components: readonly string[], input: string): string {
  const values: Record<string, string | undefined> = {
    "@method": request.method,
    "@path": request.path,
    "@query": request.query,
    "content-digest": request.contentDigest,
    "idempotency-key": request.idempotencyKey,
  };
  const lines = components.map((name) => `"${name}": ${values[name]}`);
  return [...lines, `"@signature-params": ${input}`].join("\n");
}

/** The vault's answer binds to the request by the request's own signature (RFC 9421, section 2.4). */
export const ANSWER_COMPONENTS = ['"@status"', '"content-digest"'] as const;
export const requestSignatureComponent = (label: string): string => `"signature";req;key="${label}"`;

/** @param requestSignature base64 of the request's signature with its label, or undefined for a request without one */
export function answerSignatureBase(
  answer: { status: number; contentDigest: string },
  requestSignature: { label: string; base64: string } | undefined,
  input: string,
): string {
  return [
    `"@status": ${answer.status}`,
    `"content-digest": ${answer.contentDigest}`,
    ...(requestSignature ? [`${requestSignatureComponent(requestSignature.label)}: :${requestSignature.base64}:`] : []),
    `"@signature-params": ${input}`,
  ].join("\n");
}

export function answerSignatureInput(requestLabel: string | undefined, parameters: SignatureParameters): string {
  const names = [
    ...ANSWER_COMPONENTS,
    ...(requestLabel === undefined ? [] : [requestSignatureComponent(requestLabel)]),
  ];
  return `(${names.join(" ")});created=${parameters.created};keyid="${parameters.keyid}";alg="${parameters.alg}";tag="${parameters.tag}"`;
}

/** `sig=…` of Signature-Input taken apart. */
export type ParsedSignatureInput = {
  readonly label: string;
  readonly components: readonly string[];
  readonly parameters: SignatureParameters;
  /** The value after the label, byte for byte: it is part of the base. */
  readonly input: string;
};

const LABELLED_INPUT =
  /^([a-z][a-z0-9_-]{0,31})=(\((("[^"\\\s]{1,64}"(?:;req;key="[a-z][a-z0-9_-]{0,31}")?)(?: (?:"[^"\\\s]{1,64}"(?:;req;key="[a-z][a-z0-9_-]{0,31}")?))*)\)((?:;[a-z]+=(?:[0-9]{1,12}|"[^"\\]{1,128}"))*))$/;
const PARAMETER = /;([a-z]+)=(?:([0-9]{1,12})|"([^"\\]{1,128})")/g;

/**
 * Reads a Signature-Input of our profile: one label, quoted components, the parameters created, keyid, alg and tag once
 * each and no others. Whatever RFC 9421 allows besides is refused: nobody needs it here.
 * @returns undefined if the text is anything else
 */
export function parseSignatureInput(header: string): ParsedSignatureInput | undefined {
  const match = header.length <= 1024 ? LABELLED_INPUT.exec(header) : null;
  if (!match) return undefined;
  const found = new Map<string, string>();
  for (const [, name, number, text] of match[5]!.matchAll(PARAMETER)) {
    if (found.has(name!)) return undefined;
    found.set(name!, number ?? text!);
  }
  const [created, keyid, alg, tag] = ["created", "keyid", "alg", "tag"].map((name) => found.get(name));
  if (found.size !== 4 || !/^[0-9]+$/.test(created ?? "") || !keyid || !alg || !tag) return undefined;
  return {
    label: match[1]!,
    components: match[3]!.split(" ").map((name) => (name.includes(";") ? name : name.slice(1, -1))),
    parameters: { created: Number(created), keyid, alg, tag },
    input: match[2]!,
  };
}

/** 64 bytes, in the one text that an encoder writes for them: the last digit before the padding carries two bits. */
const LABELLED_SIGNATURE = /^([a-z][a-z0-9_-]{0,31})=:([A-Za-z0-9+/]{85}[AQgw]==):$/;

/** `sig=:base64:` of the Signature header. One signature has one text, since the answer is bound to the text. */
export function parseSignature(header: string): { label: string; base64: string } | undefined {
  const match = LABELLED_SIGNATURE.exec(header);
  return match ? { label: match[1]!, base64: match[2]! } : undefined;
}

/** First line of the text by which the log token's `answers` key certifies the vault's key for answers (I18). */
export const ANSWER_CERTIFICATE_TYPE = "portcullis/answers/v1";

export type AnswerCertificate = {
  readonly gateway: string;
  /** base64 of the raw Ed25519 key, 32 bytes. */
  readonly publicKey: string;
  readonly notBefore: number;
  readonly notAfter: number;
};

export const answerCertificateText = (certificate: AnswerCertificate): string =>
  [
    ANSWER_CERTIFICATE_TYPE,
    `gateway: ${certificate.gateway}`,
    `public-key: ed25519:${certificate.publicKey}`,
    `not-before: ${certificate.notBefore}`,
    `not-after: ${certificate.notAfter}`,
    "",
  ].join("\n");

const CERTIFICATE_TEXT =
  /^portcullis\/answers\/v1\ngateway: ([a-z0-9.-]{1,64})\npublic-key: ed25519:([A-Za-z0-9+/]{43}=)\nnot-before: ([0-9]{1,12})\nnot-after: ([0-9]{1,12})\n$/;

export function parseAnswerCertificate(text: string): AnswerCertificate | undefined {
  const match = CERTIFICATE_TEXT.exec(text);
  if (!match) return undefined;
  return { gateway: match[1]!, publicKey: match[2]!, notBefore: Number(match[3]), notAfter: Number(match[4]) };
}
