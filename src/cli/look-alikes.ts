/** Characters and pairs that are taken for one another, each by the one that stands for all of them. */
const ALIKE: readonly (readonly [RegExp, string])[] = [
  [/rn/g, "m"],
  [/vv/g, "w"],
  [/0/g, "o"],
  [/[1i|]/g, "l"],
  [/5/g, "s"],
  [/8/g, "b"],
  [/2/g, "z"],
  [/[.-]/g, ""],
];

/** What a hurried eye sees of a name. */
const seenAs = (name: string): string =>
  ALIKE.reduce((text, [pattern, stands]) => text.replaceAll(pattern, stands), name.toLowerCase());

/** Pairs of names that look alike, the later one first: a second `USDC` is how a worthless token is paid for. */
export function lookAlikes(names: Iterable<string>): readonly (readonly [name: string, like: string])[] {
  const seen = new Map<string, string>();
  const pairs: [string, string][] = [];
  for (const name of names) {
    const other = seen.get(seenAs(name));
    if (other === undefined) seen.set(seenAs(name), name);
    else pairs.push([name, other]);
  }
  return pairs;
}
