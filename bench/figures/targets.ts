import { formatBytes } from '../../src/terminal/format.js';
import type { Night } from '../ways/way.js';
import type { Results, Round } from './results.js';
import { ratios, type Spread, spreadOf } from './spread.js';

/** What Permafrost has set itself. */
export interface Target {
  readonly what: string;
  readonly value: Spread;
  readonly show: (value: number) => string;
  readonly most: number;
  /** By the median. */
  readonly good: boolean;
}

/** Milliseconds for which the services were down beyond what their own stop and start take in the same round. */
export function downBeyondOwn(night: Night, round: Round): number {
  return Math.max(0, night.outageMs - spreadOf(round.ownMs).median);
}

/** The targets, so far as what they need was measured: Permafrost's nights, and the recipe's where it is a ratio. */
export function targets({ rounds }: Results): Target[] {
  const night = (round: Round, at: number) => round.nights.permafrost?.[at];
  const recipe = (round: Round) => round.nights.recipe?.[0];
  const each = (of: (round: Round) => number | undefined): number[] =>
    rounds.flatMap((round) => of(round) ?? []);
  const found: Target[] = [];
  const add = (what: string, most: number, show: (value: number) => string, value: Spread | undefined) => {
    if (value !== undefined) found.push({ what, value, show, most, good: value.median <= most });
  };
  const alone = (values: readonly number[]) => (values.length === 0 ? undefined : spreadOf(values));
  /** Of the rounds that have both. */
  const ratio = (
    of: (own: Night, round: Round) => number,
    over: (other: Night, round: Round) => number,
    at: number,
  ) => {
    const both = rounds.flatMap((round) => {
      const [own, other] = [night(round, at), recipe(round)];
      return own === undefined || other === undefined
        ? []
        : [{ own: of(own, round), other: over(other, round) }];
    });
    if (both.length === 0) return undefined;
    return ratios(
      both.map(({ own }) => own),
      both.map(({ other }) => other),
    );
  };
  const share = (value: number) => (value < 0.1 ? value.toFixed(4) : value.toFixed(3));
  const seconds = (value: number) => `${value.toFixed(2)} s`;
  const downs = each((round) => {
    const all = round.nights.permafrost ?? [];
    return all.length === 0 ? undefined : Math.max(...all.map((one) => downBeyondOwn(one, round))) / 1000;
  });
  add('services down beyond their own stop and start', 1, seconds, alone(downs));
  add("… over the recipe's", 1 / 50, share, ratio(downBeyondOwn, downBeyondOwn, 0));
  const wall = ({ wallMs }: Night) => wallMs;
  add("first night over the recipe's", 0.35, share, ratio(wall, wall, 0));
  add("second night over the recipe's", 0.35, share, ratio(wall, wall, 1));
  const bytes = ({ bytesAdded }: Night) => bytesAdded;
  add("second night's bytes over the recipe's", 0.15, share, ratio(bytes, bytes, 1));
  const most = (of: (one: NonNullable<Night['permafrost']>) => number) =>
    alone(
      each((round) => {
        const values = (round.nights.permafrost ?? []).flatMap(({ permafrost }) =>
          permafrost ? [of(permafrost)] : [],
        );
        return values.length === 0 ? undefined : Math.max(...values);
      }),
    );
  add(
    "worker's peak memory",
    250e6,
    formatBytes,
    most(({ workerPeakBytes }) => workerPeakBytes),
  );
  add(
    'orchestration',
    5,
    seconds,
    most(({ profile }) => profile.orchestrationSeconds),
  );
  return found;
}
