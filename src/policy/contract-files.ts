import { z } from "zod";
import type { AbiFunction, AbiParameter, CallDisplay } from "../domain/assets.ts";

/*
 * Files of others that a registry names: a contract's JSON ABI, and an ERC-7730 descriptor. They are read with the
 * failsafe reader like all else, so every scalar is text. What they say besides is theirs, and is left out.
 */

const IDENTIFIER = /^[A-Za-z_$][A-Za-z0-9_$]*$/;
/** Types as `chains/evm/abi.ts` reads them: a pinned function that could not be decoded would refuse every call of it. */
const TYPE =
  /^(address|bool|string|tuple|bytes([1-9]|[12][0-9]|3[012])?|u?int(8|16|24|32|40|48|56|64|72|80|88|96|104|112|120|128|136|144|152|160|168|176|184|192|200|208|216|224|232|240|248|256))(\[([1-9][0-9]{0,3})?\])*$/;

const Parameter: z.ZodType<AbiParameter> = z
  .object({
    name: z
      .string()
      .max(100, "expected at most 100 characters")
      .regex(/^([A-Za-z_$][A-Za-z0-9_$]*)?$/, "expected a parameter's name"),
    type: z.string().max(60, "expected at most 60 characters").regex(TYPE, "expected a type of the contract ABI"),
    get components() {
      return z.array(Parameter).min(1, "expected at least one component").optional();
    },
  })
  .refine(({ type, components }) => type.startsWith("tuple") === (components !== undefined), {
    message: "expected `components` with a tuple, and only there",
  }) as z.ZodType<AbiParameter>;

const Entry = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("function"),
    name: z.string().max(100, "expected at most 100 characters").regex(IDENTIFIER, "expected a function's name"),
    inputs: z.array(Parameter).max(64, "expected at most 64 inputs"),
  }),
  z.object({ type: z.enum(["constructor", "event", "error", "fallback", "receive"]) }),
]);

/** What of a JSON ABI gives calls a meaning: its functions. */
export const ContractAbi = z
  .array(Entry)
  .max(2000, "expected at most 2000 entries")
  .transform((entries): AbiFunction[] =>
    entries.flatMap((entry) => (entry.type === "function" ? [{ name: entry.name, inputs: entry.inputs }] : [])),
  );
export type ContractAbi = z.infer<typeof ContractAbi>;

const text = z.string().max(200, "expected at most 200 characters");
const FORMATS = ["raw", "amount", "tokenAmount", "addressName", "date"] as const;

/** Nested groups and references to `definitions` are not followed: those arguments are shown as they are. */
const Field = z.object({
  path: text.optional(),
  label: text.optional(),
  format: text.optional(),
  params: z.object({ tokenPath: text.optional() }).optional(),
});

/** What of an ERC-7730 descriptor is used, by canonical signature. */
export const CallDescriptor = z
  .object({
    display: z.object({
      formats: z.record(
        text,
        z.object({ intent: z.unknown(), fields: z.array(Field).max(200, "expected at most 200 fields") }),
      ),
    }),
  })
  .transform(({ display }): Record<string, CallDisplay> =>
    Object.fromEntries(
      Object.entries(display.formats).map(([signature, format]) => [
        canonicalSignature(signature),
        {
          intent: typeof format.intent === "string" ? format.intent.slice(0, 200) : signature,
          fields: format.fields.flatMap(displayField),
        },
      ]),
    ),
  );
export type CallDescriptor = z.infer<typeof CallDescriptor>;

function displayField({ path, label, format, params }: z.infer<typeof Field>): CallDisplay["fields"][number][] {
  if (path === undefined || label === undefined) return [];
  const known = FORMATS.find((one) => one === format);
  const tokenPath = params?.tokenPath;
  return [
    {
      path,
      label,
      ...(known === undefined ? {} : { format: known }),
      ...(tokenPath === undefined ? {} : { params: { tokenPath } }),
    },
  ];
}

/** ERC-7730 may write names of parameters as well: `transfer(address to, uint256 value)`. */
const canonicalSignature = (signature: string): string =>
  signature.replaceAll(/ [A-Za-z_$][A-Za-z0-9_$]*(?=[,)])/g, "").replaceAll(" ", "");
