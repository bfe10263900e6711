type Tree = { readonly packages: Readonly<Record<string, Package>> };
type Package = {
  readonly version?: string;
  readonly integrity?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly devOptional?: boolean;
  readonly link?: boolean;
};

export const PURPOSES: Readonly<
  Record<
    string,
    { readonly system: string[]; readonly edgeUser: boolean; readonly addons: boolean; readonly build: boolean }
  >
>;
export const COMPILERS: readonly string[];
export const SOFTHSM_MODULES: readonly string[];
export const STAMP: string;
export function missingPackages(
  names: readonly string[],
  machine: { path: string; platform: NodeJS.Platform; exists?: (path: string) => boolean },
): string[];
export function aptCommand(packages: readonly string[]): string;
export function treeDiffers(
  lock: Tree,
  installed: Tree | undefined,
  options: { dev: boolean; exists: (path: string) => boolean },
): string | undefined;
export function checkoutDiffers(root: string, options: { dev: boolean }): string | undefined;
export function filesBelow(root: string, folder: string): string[];
export function inputsHash(root: string): string;
export function buildIsCurrent(root: string): boolean;
export function npmEnvironment(
  env: NodeJS.ProcessEnv,
  options: { headers: string | undefined; cache: string | undefined },
): NodeJS.ProcessEnv;
