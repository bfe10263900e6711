import type { AddressBookDocument, AssetRegistryDocument } from "./document.ts";
import type { DocumentPath } from "./finding.ts";
import type { ResolvedPolicy } from "./parse.ts";

/** Something with a name, and where it was given. */
export type Declaration<T> = { readonly value: T; readonly file: string; readonly path: DocumentPath };

export type RegistryAsset = AssetRegistryDocument["assets"][string];
export type RegistryChain = AssetRegistryDocument["chains"][string];
export type RegistryContract = NonNullable<AssetRegistryDocument["contracts"]>[string];
export type BookEntry = AddressBookDocument["entries"][string];

/** All names of a policy and its files. Of a name given twice the first stands; `validate` refuses the second. */
export type Declared = {
  readonly chains: ReadonlyMap<string, Declaration<RegistryChain>>;
  readonly assets: ReadonlyMap<string, Declaration<RegistryAsset>>;
  readonly contracts: ReadonlyMap<string, Declaration<RegistryContract>>;
  readonly book: ReadonlyMap<string, Declaration<BookEntry>>;
  readonly tags: ReadonlySet<string>;
  /** Every second giving of a name. */
  readonly repeated: readonly (Declaration<unknown> & {
    readonly name: string;
    readonly what: string;
    readonly first: string;
  })[];
};

export function declaredIn(policy: ResolvedPolicy): Declared {
  const repeated: Declared["repeated"][number][] = [];
  const collect = <T>(
    what: string,
    maps: readonly { file: string; path: DocumentPath; map: Readonly<Record<string, T>> }[],
  ) => {
    const all = new Map<string, Declaration<T>>();
    for (const { file, path, map } of maps) {
      for (const [name, value] of Object.entries(map)) {
        const declaration = { value, file, path: [...path, name] };
        const earlier = all.get(name);
        if (earlier) repeated.push({ ...declaration, name, what, first: earlier.file });
        else all.set(name, declaration);
      }
    }
    return all;
  };
  const registries = policy.registries.map(({ path: file, document }) => ({ file, document }));
  const book = collect("an address book entry", [
    { file: policy.entry, path: ["addressBook"], map: policy.document.addressBook ?? {} },
    ...policy.books.map(({ path, document }) => ({ file: path, path: ["entries"], map: document.entries })),
  ]);
  return {
    chains: collect(
      "a chain",
      registries.map(({ file, document }) => ({ file, path: ["chains"], map: document.chains })),
    ),
    assets: collect(
      "an asset",
      registries.map(({ file, document }) => ({ file, path: ["assets"], map: document.assets })),
    ),
    contracts: collect(
      "a contract",
      registries.map(({ file, document }) => ({ file, path: ["contracts"], map: document.contracts ?? {} })),
    ),
    book,
    tags: new Set([...book.values()].flatMap(({ value }) => value.tags ?? [])),
    repeated,
  };
}

export const addressesOf = (entry: BookEntry): readonly string[] =>
  typeof entry.address === "string" ? [entry.address] : entry.address;

/** What an asset is, apart from its name: two documents may name one asset differently. */
export const assetIdentity = (asset: { readonly chain: string; readonly contract?: string | undefined }): string =>
  asset.contract ?? `${asset.chain}/native`;
