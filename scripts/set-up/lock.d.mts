export type Holder = {
  readonly pid: number;
  readonly start: string | undefined;
  readonly host: string;
  readonly groups: readonly number[];
};
export function processStart(pid: number): string | undefined;
export function thisProcess(): Holder;
export function isStale(holder: Holder | undefined, silentMs: number): boolean;
export function takeLock(
  path: string,
  options?: { onWait?: (holder: Holder | undefined) => void; me?: Holder },
): Promise<{ setGroups: (groups: readonly number[]) => void; release: () => void }>;
export function isHeld(path: string): boolean;
