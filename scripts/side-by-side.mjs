import { availableParallelism } from "node:os";

/** Most of what runs here keeps one processor busy, or waits. */
export const PLACES = Math.max(2, availableParallelism());

/**
 * Works on the items in their order, as many at a time as there are places.
 * @param tell is given each result when those of all items before it were told
 */
export async function sideBySide(items, places, work, tell) {
  const waiting = items.entries();
  const results = new Map();
  let told = 0;
  const place = async () => {
    for (const [index, item] of waiting) {
      results.set(index, await work(item));
      for (; results.has(told); told++) tell(results.get(told));
    }
  };
  await Promise.all(Array.from({ length: places }, place));
}
