import { z } from "zod";
import { AddressBookDocument, AssetRegistryDocument, ClientPolicy, HousePolicy } from "./document.ts";

/** One schema for all files of the policies folder: `kind` says which applies. */
const AnyDocument = z
  .discriminatedUnion("kind", [ClientPolicy, HousePolicy, AssetRegistryDocument, AddressBookDocument])
  .meta({ title: "Portcullis policy documents" });

/** `policies/schema.json`: JSON Schema 2020-12 for editors. What it admits may still be refused by `policy check`; never the other way round. */
export function policyJsonSchema(): string {
  const schema = z.toJSONSchema(AnyDocument, { target: "draft-2020-12", reused: "inline" });
  return `${JSON.stringify(schema, null, 2)}\n`;
}
