/** A stretch of time, in milliseconds since the epoch. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
}

/** The stretches as they cover time: in order, and none touches another. */
export function united(stretches: readonly Stretch[]): Stretch[] {
  const sorted = stretches.filter(({ from, to }) => to > from).sort((a, b) => a.from - b.from);
  const result: { from: number; to: number }[] = [];
  for (const { from, to } of sorted) {
    const last = result.at(-1);
    if (last !== undefined && from <= last.to) last.to = Math.max(last.to, to);
    else result.push({ from, to });
  }
  return result;
}

/** How long the stretches cover time, each moment counted once. Milliseconds. */
export function lengthOf(stretches: readonly Stretch[]): number {
  return united(stretches).reduce((sum, { from, to }) => sum + to - from, 0);
}

/** What of `stretches` lies within `frame`. */
export function within(frame: Stretch, stretches: readonly Stretch[]): Stretch[] {
  return united(stretches)
    .map(({ from, to }) => ({ from: Math.max(from, frame.from), to: Math.min(to, frame.to) }))
    .filter(({ from, to }) => to > from);
}
