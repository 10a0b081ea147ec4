/** Several measurements of the same thing. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
  readonly count: number;
}

/** @throws RangeError for no values: what was not measured has no figure. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  const [least, most] = [sorted[0], sorted.at(-1)];
  if (low === undefined || high === undefined || least === undefined || most === undefined)
    throw new RangeError('nothing was measured');
  return { median: (low + high) / 2, least, most, count: sorted.length };
}

/** Each value as a share of the reference of its own round: what both of them suffered cancels out. */
export function ratios(values: readonly number[], references: readonly number[]): Spread {
  return spreadOf(
    values.map((value, round) => {
      const reference = references[round];
      if (reference === undefined) throw new RangeError('a round without a reference');
      return value / reference;
    }),
  );
}
