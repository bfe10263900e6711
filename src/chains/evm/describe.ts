import type { Asset, AssetRegistry } from "../../domain/assets.ts";
import { addressOf, type Account, type AssetSymbol } from "../../domain/chain.ts";
import type { Intent, Operation } from "../../domain/intent.ts";
import { ZERO_ADDRESS } from "./calls/amounts.ts";
import { displayLines } from "./display.ts";
import { amountText, dateText, othersText, party, type Names } from "./words.ts";

/*
 * An intent in words, for approvers, terminals and logs: first what nobody can know, then what is certain, then what
 * others wrote, quoted. Every destination stands there with its whole address: look-alikes differ in the middle.
 */

type OperationOf<Kind extends Operation["kind"]> = Extract<Operation, { kind: Kind }>;

/** Sentences about one operation: `unknown` if its effect has no bound, and what is to be shown of others' words. */
type Sentence = { readonly unknown?: true; readonly text: string; readonly quotes?: readonly string[] };

/** @returns one line each, in the order in which they must be read; no line has control or formatting characters */
export function describeIntent(intent: Intent, names: Names): readonly string[] {
  const sentences = intent.operations.map((operation) => describeOperation(operation, intent.account, names));
  const fee = amountText(intent.fee.max, intent.fee.asset, names.registry);
  return [
    ...sentences.filter((sentence) => sentence.unknown).map((sentence) => `CANNOT BE KNOWN: ${sentence.text}`),
    ...sentences.filter((sentence) => !sentence.unknown).map((sentence) => sentence.text),
    `signed by ${party(intent.account, names)} on ${intent.chain}, for at most ${fee} in fees`,
    ...sentences.flatMap((sentence) => sentence.quotes ?? []),
  ];
}

function describeOperation(operation: Operation, signer: Account, names: Names): Sentence {
  switch (operation.kind) {
    case "transfer":
      return {
        text: `pays ${quantity(operation, names)} to ${party(operation.to, names)}${onBehalf(operation, signer, names)}`,
      };
    case "allowance":
      return { text: `${allowanceText(operation, names)}${onBehalf(operation, signer, names)}` };
    case "call":
      return describeCall(operation, signer, names);
    case "deploy":
      return describeDeploy(operation, names);
    case "delegate":
      return describeDelegate(operation, names);
    case "govern":
      return {
        text: `changes who or what commands ${party(operation.to, names)}: ${operation.method}${onBehalf(operation, signer, names)}`,
        quotes: argumentLines(operation.arguments ?? {}),
      };
    case "message":
      return describeMessage(operation);
    case "typed-data":
      return {
        unknown: true,
        text: `signs typed data whose effect nobody here knows (type hash ${operation.typeHash ?? "not given"})`,
        quotes: [`type: ${othersText(operation.primaryType)}`, ...argumentLines(operation.domain, "domain ")],
      };
    case "raw-digest":
      return {
        unknown: true,
        text: `signs a digest of something unseen: ${operation.digest ?? "not given"}${onBehalf(operation, signer, names)}`,
      };
    default:
      return operation satisfies never;
  }
}

function describeCall(call: OperationOf<"call">, signer: Account, names: Names): Sentence {
  const where = `${party(call.to, names)}${onBehalf(call, signer, names)}`;
  if (!call.method)
    return { unknown: true, text: `calls ${where} with data that cannot be decoded (${call.selector})` };
  const text = `calls ${call.method.signature} of ${where}`;
  return { text, quotes: displayLines(call, names) ?? argumentLines(call.method.arguments) };
}

function describeDeploy({ creates, codeHash }: OperationOf<"deploy">, names: Names): Sentence {
  const where = creates === undefined ? "" : ` at ${party(creates, names)}`;
  return { text: `creates a contract${where} from code with the hash ${codeHash ?? "not given"}` };
}

/** EIP-7702: the zero address clears the delegation. */
function describeDelegate({ from, to }: OperationOf<"delegate">, names: Names): Sentence {
  const account = party(from, names);
  if (addressOf(to) === ZERO_ADDRESS) return { text: `takes ${account} back from the code that commands it` };
  return {
    unknown: true,
    text: `hands ${account} over to the code at ${party(to, names)}: it can then do anything in its name`,
  };
}

function describeMessage({ format, text, siwe, control, anchor }: OperationOf<"message">): Sentence {
  switch (format) {
    case "opaque":
      return { unknown: true, text: "signs a message that cannot be read" };
    case "siwe":
      return { text: "signs in with Ethereum", quotes: argumentLines(siwe ?? {}) };
    case "control":
      return { text: "proves that its key is under control here", quotes: argumentLines(control ?? {}) };
    case "anchor":
      return { text: "writes a checkpoint of the log to the chain", quotes: argumentLines(anchor ?? {}) };
    case "text":
      return { text: "signs a text", quotes: [`text: ${othersText(text ?? "")}`] };
    default:
      return format satisfies never;
  }
}

function allowanceText(operation: OperationOf<"allowance">, names: Names): string {
  const { change, amount } = operation;
  const spender = party(operation.to, names);
  if (change?.startsWith("-")) {
    return `lets ${spender} take ${amountText(BigInt(change.slice(1)), operation.asset, names.registry)} less than before`;
  }
  if (amount === 0n) return `takes back what ${spender} may take of ${itemText(operation)}`;
  const added =
    change === undefined
      ? ""
      : ` (${amountText(BigInt(change), operation.asset, names.registry)} more than an unknown sum)`;
  return `lets ${spender} take ${quantity(operation, names)}${added}${untilText(operation.validUntil)}`;
}

/** `12.5 USDC`, `BAYC #7`, `3 of ITEMS #7`, `UNLIMITED USDC`, `EVERY BAYC, now and later`. */
function quantity(operation: OperationOf<"transfer"> | OperationOf<"allowance">, { registry }: Names): string {
  const asset = registry.bySymbol.get(operation.asset);
  return `${quantityOf(operation, asset, registry)}${remarks(asset)}`;
}

function quantityOf(
  operation: OperationOf<"transfer"> | OperationOf<"allowance">,
  asset: Asset | undefined,
  registry: AssetRegistry,
): string {
  const isCollection = asset?.standard === "erc721" || asset?.standard === "erc1155";
  if (operation.kind === "allowance" && operation.unlimited) {
    return isCollection ? `EVERY ${operation.asset}, now and later` : `UNLIMITED ${operation.asset}`;
  }
  if (!isCollection) return amountText(operation.amount, operation.asset, registry);
  return asset.standard === "erc721" ? itemText(operation) : `${operation.amount} of ${itemText(operation)}`;
}

const itemText = ({ asset, tokenId }: { readonly asset: AssetSymbol; readonly tokenId?: string }): string =>
  tokenId === undefined ? asset : `${asset} #${tokenId}`;

const remarks = (asset: Asset | undefined): string =>
  `${asset?.feeOnTransfer ? " (the token keeps a part)" : ""}${asset?.proxy ? " (whose code can be replaced)" : ""}`;

const untilText = (validUntil: string | undefined): string => {
  if (validUntil === undefined) return "";
  const date = dateText(BigInt(validUntil));
  return date === undefined ? ", for ever" : `, until ${date}`;
};

const onBehalf = ({ from }: { readonly from: Account }, signer: Account, names: Names): string =>
  from === signer ? "" : `, in the name of ${party(from, names)}`;

const argumentLines = (facts: Readonly<Record<string, string>>, prefix = ""): readonly string[] =>
  Object.entries(facts).map(([name, value]) => `${prefix}${othersText(name)} = ${othersText(value)}`);
