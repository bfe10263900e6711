export const PLACES: number;
export function sideBySide<Item, Result>(
  items: readonly Item[],
  places: number,
  work: (item: Item) => Promise<Result>,
  tell: (result: Result) => void,
): Promise<void>;
