import { addressOf, chainOf, evmChain, type Account } from "../../domain/chain.ts";
import { GatewayError, quoted } from "../../domain/errors.ts";

/*
 * Sign-In with Ethereum. A text that looks like one and breaks its grammar is refused: a server with a laxer parser could
 * take it for a sign-in to somewhere else.
 * Source: EIP-4361, "ABNF Message Format".
 */

const SIGN_IN = " wants you to sign in with your Ethereum account:";

const SCHEME = "[A-Za-z][A-Za-z0-9+.-]*";
// RFC 3986 without percent-decoding: which characters may stand in an authority and in a URI.
const AUTHORITY = "[A-Za-z0-9._~%!$&'()*+,;=:@\\[\\]-]+";
const URI = `${SCHEME}:[A-Za-z0-9._~%!$&'()*+,;=:@/?#\\[\\]-]+`;
const DATE_TIME = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})";
const GRAMMAR = new RegExp(
  `^(?:(?<scheme>${SCHEME})://)?(?<domain>${AUTHORITY})${SIGN_IN}\\n` +
    "(?<address>0x[0-9a-fA-F]{40})\\n\\n" +
    "(?:(?<statement>[^\\n]+)\\n)?\\n" +
    `URI: (?<uri>${URI})\\n` +
    "Version: (?<version>1)\\n" +
    "Chain ID: (?<chainId>[1-9][0-9]{0,15})\\n" +
    "Nonce: (?<nonce>[A-Za-z0-9]{8,})\\n" +
    `Issued At: (?<issuedAt>${DATE_TIME})` +
    `(?:\\nExpiration Time: (?<expirationTime>${DATE_TIME}))?` +
    `(?:\\nNot Before: (?<notBefore>${DATE_TIME}))?` +
    "(?:\\nRequest ID: (?<requestId>[A-Za-z0-9._~%!$&'()*+,;=:@-]*))?" +
    `(?:\\nResources:(?<resources>(?:\\n- ${URI})*))?$`,
);

/**
 * @returns the fields of a Sign-In with Ethereum message of this account; undefined for any other text
 * @throws {GatewayError} `siwe-malformed`, `siwe-other-account`, `wrong-chain`
 */
export function siweOf(text: string, account: Account): Readonly<Record<string, string>> | undefined {
  if (!text.includes(SIGN_IN)) return undefined;
  const groups = GRAMMAR.exec(text)?.groups;
  if (!groups) {
    throw new GatewayError("siwe-malformed", "expected a Sign-In with Ethereum message as EIP-4361 writes it", {
      hint: "the text asks for a sign-in, and is not of the form that servers should take",
    });
  }
  const fields = Object.fromEntries(
    Object.entries(groups).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
  requireOwn(fields, account);
  return { ...fields, ...(fields["resources"] === undefined ? {} : { resources: resourcesOf(fields["resources"]) }) };
}

/** EIP-4361: the address has its checksum; both it and the chain are those of the signer. */
function requireOwn(fields: Readonly<Record<string, string>>, account: Account): void {
  const { address, chainId } = fields;
  if (address !== addressOf(account)) {
    throw new GatewayError(
      "siwe-other-account",
      `expected a sign-in of ${addressOf(account)}, found ${quoted(address)}`,
    );
  }
  if (evmChain(BigInt(chainId!)) === chainOf(account)) return;
  throw new GatewayError("wrong-chain", `expected a sign-in on \`${chainOf(account)}\`, found chain id ${chainId}`, {
    facts: { expected: chainOf(account), found: evmChain(BigInt(chainId!)) },
  });
}

const resourcesOf = (lines: string): string => lines.split("\n- ").slice(1).join(" ");
