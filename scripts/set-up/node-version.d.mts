export function isAtLeast(version: string, minimum: string): boolean;
export function requireNode(): void;
