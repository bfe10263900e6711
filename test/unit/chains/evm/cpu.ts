/**
 * Milliseconds of CPU that an act takes: what else runs on the machine does not count. The least of three: nor does what
 * other tests have left to the garbage collector.
 */
export function cpuMsOf(act: () => void): number {
  const taken = [1, 2, 3].map(() => {
    const before = process.cpuUsage();
    act();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  });
  return Math.min(...taken);
}
