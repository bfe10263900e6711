import assert from "node:assert/strict";
import fc from "fast-check";
import { authorization, eip191Signer, recoverAddressTyped, Transaction } from "micro-eth-signer";
import { encodeAuthorization } from "../../src/chains/evm/authorization.ts";
import { messageDigest } from "../../src/chains/evm/message.ts";
import {
  decodeUnsigned,
  encodeUnsigned,
  signingDigest,
  type EvmTransaction,
} from "../../src/chains/evm/transaction.ts";
import { parseTypedData } from "../../src/chains/evm/typed-data.ts";

import { SigningKey } from "ethers";
import { privateKeyToAddress } from "viem/accounts";
import { address, hexOf, transaction, uint } from "../unit/chains/evm/arbitraries.ts";
import { RUNS_TIMEOUT_MS, soakRuns } from "../unit/chains/evm/runs.ts";
import { typedDocument } from "../unit/chains/evm/typed-data-arbitraries.ts";

// Goal: a third library, which shares no code with ethers and viem, reads the same of the same bytes and hashes the same.
// Method: random payloads of every kind, read by micro-eth-signer and by us.

/** As micro-eth-signer tells a transaction: texts of hex, a creation as an empty `to`. */
const told = ({ type, ...fields }: EvmTransaction): Record<string, unknown> => ({
  ...fields,
  to: fields.to ?? "0x",
  data: hexOf(fields.data),
  ...("authorizationList" in fields
    ? {
        authorizationList: fields.authorizationList.map(({ r32, s32, ...rest }) => ({
          ...rest,
          r: BigInt(hexOf(r32)),
          s: BigInt(hexOf(s32)),
        })),
      }
    : {}),
  type,
});

const defined = (fields: object) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

const SECRET = `0x${"37".repeat(32)}` as const;
const key = new SigningKey(SECRET);

describe("property: micro-eth-signer", function () {
  this.timeout(RUNS_TIMEOUT_MS);

  it("reads the fields of transactions of every type as we do", () => {
    const read: Record<string, number> = {};
    for (const tx of fc.sample(transaction, soakRuns(500, 30_000))) {
      const bytes = encodeUnsigned(tx);
      const theirs = readByThem(hexOf(bytes));
      if (!theirs) continue;
      const ours = told(decodeUnsigned(bytes));
      assert.deepEqual(defined({ ...theirs.raw, type: theirs.type }), defined(ours));
      read[tx.type] = (read[tx.type] ?? 0) + 1;
    }
    for (const type of ["legacy", "eip2930", "eip1559", "eip4844", "eip7702"])
      assert.ok((read[type] ?? 0) > soakRuns(50, 3_000), `${read[type]} of type ${type}`);
  });

  /** It refuses some fields that a decoder has no reason to: undefined for those. */
  function readByThem(raw: string) {
    try {
      return Transaction.fromHex(raw, false);
    } catch (error) {
      assert.match(String(error), /fields had validation errors/);
      return undefined;
    }
  }

  it("hashes typed data of any depth as we do", () => {
    fc.assert(
      fc.property(typedDocument, (document) => {
        const { digest32 } = parseTypedData(document);
        const signature = key.sign(digest32).serialized;
        assert.equal(recoverAddressTyped(signature, document as never), privateKeyToAddress(SECRET));
      }),
      { numRuns: soakRuns(150, 10_000) },
    );
  });

  it("hashes messages as we do", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2_000 }), (message) =>
        assert.equal(eip191Signer.getHash(message), hexOf(messageDigest(message))),
      ),
      { numRuns: soakRuns(150, 10_000) },
    );
  });

  it("hashes authorizations as we do", () => {
    fc.assert(
      fc.property(uint(52), address, uint(52), (chainId, to, nonce) => {
        const ours = signingDigest(encodeAuthorization({ chainId, address: to, nonce }));
        assert.equal(hexOf(authorization.getHash({ chainId, address: to, nonce })), hexOf(ours));
      }),
      { numRuns: soakRuns(150, 10_000) },
    );
  });
});
