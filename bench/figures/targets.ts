import { formatBytes } from '../../src/terminal/format.js';
import { kinds } from '../places/place.js';
import type { RestoreTrial } from '../restores/trial.js';
import { alone, type Night, type PermafrostNight, type WayName } from '../ways/way.js';
import type { Results, Round } from './results.js';
import { ratios, type Spread, spreadOf } from './spread.js';

/** What Permafrost has set itself. */
export interface Target {
  readonly what: string;
  readonly value: Spread;
  readonly show: (value: number) => string;
  /** Absent: told beside a target, so that nobody takes the part for the whole. */
  readonly most?: number;
  /** By the median. */
  readonly good?: boolean;
}

/** Milliseconds for which the services were down beyond what their own stop and start take in the same round. */
export function downBeyondOwn(night: Night, round: Round): number | undefined {
  if (night.outageMs === undefined) return undefined;
  return beyondOwn(night.outageMs, round);
}

function beyondOwn(outageMs: number, { ownMs }: Round): number {
  return Math.max(0, outageMs - spreadOf(ownMs).median);
}

/** One figure of a round; undefined when what it needs was not measured. */
type Figure = (round: Round) => number | undefined;

/** The targets, so far as what they need was measured. */
export function targets({ rounds }: Results): Target[] {
  const found: Target[] = [];
  const add = (
    what: string,
    most: number | undefined,
    show: (value: number) => string,
    value: Spread | undefined,
  ) => {
    if (value === undefined) return;
    found.push({ what, value, show, ...(most === undefined ? {} : { most, good: value.median <= most }) });
  };
  const each = (figure: Figure): Spread | undefined => {
    const values = rounds.flatMap((round) => figure(round) ?? []);
    return values.length === 0 ? undefined : spreadOf(values);
  };
  /** Of the rounds that have both. */
  const ratio = (own: Figure, reference: Figure): Spread | undefined => {
    const both = rounds.flatMap((round) => {
      const [value, over] = [own(round), reference(round)];
      return value === undefined || over === undefined ? [] : [{ value, over }];
    });
    if (both.length === 0) return undefined;
    return ratios(
      both.map(({ value }) => value),
      both.map(({ over }) => over),
    );
  };

  add('services down beyond their own stop and start', 1, seconds, each(worst(downSeconds)));
  const firstDown: (way: WayName) => Figure = (way) => (round) => {
    const night = round.nights[way]?.[0];
    return night === undefined ? undefined : downBeyondOwn(night, round);
  };
  add("… over the recipe's", 1 / 50, share, ratio(firstDown('permafrost'), firstDown('recipe')));
  const recipesWall = of('recipe', 0, wall);
  add("first night over the recipe's", 0.35, share, ratio(of('permafrost', 0, wall), recipesWall));
  add("second night over the recipe's", 0.35, share, ratio(of('permafrost', 1, wall), recipesWall));
  for (const kind of kinds) {
    const ours = of(alone[kind].permafrost, 1, stored);
    add(`second night's bytes over the recipe's, ${kind}`, 0.01, share, ratio(ours, of('recipe', 0, stored)));
  }
  for (const [at, title] of ['first', 'second'].entries()) {
    const [two, slower] = [of('permafrost-two', at, delivery), slowerAlone(at, delivery)];
    add(
      `two off-sites over the slower one alone, ${title} night: sent and read back`,
      1.15,
      share,
      ratio(two, slower),
    );
    const whole = ratio(of('permafrost-two', at, wall), slowerAlone(at, wall));
    add('… the whole night', 1.15, share, whole);
  }
  for (const kind of kinds) {
    const { permafrost, bare } = alone[kind];
    const quiet =
      (way: WayName, figure: (night: Night) => number | undefined): Figure =>
      ({ quiet: { [way]: night } }) =>
        night === undefined ? undefined : figure(night);
    const tool = quiet(bare, wall);
    const media = quiet(permafrost, (night) => night.permafrost?.mediaMs);
    add(`media of a night without new ones over ${barely[kind]}`, 1.3, share, ratio(media, tool));
    add('… the whole night', undefined, share, ratio(quiet(permafrost, wall), tool));
  }
  const restores =
    (figure: (trial: RestoreTrial) => number): Figure =>
    ({ restores: trial }) =>
      trial === undefined ? undefined : figure(trial);
  const loadedByOne = restores(({ bare }) => bare.loadOneMs);
  for (const [title, ours] of [
    ['a drill', restores(({ drill }) => drill.loadMs)],
    ['a restore in place', restores(({ restore }) => restore.loadMs)],
  ] as const) {
    add(
      `load of the database in ${title}, with ANALYZE, over pg_restore -j1`,
      0.8,
      share,
      ratio(ours, loadedByOne),
    );
  }
  const bareRestore = restores(({ bare }) => bare.fetchMs + bare.loadTwoMs);
  const drill = restores(({ drill }) => drill.wallMs);
  add('drill of the database over restic restore and pg_restore -j2', 1.5, share, ratio(drill, bareRestore));
  for (const [title, of] of [
    ['a restore in place', restores(({ restore }) => restore.outageMs)],
    ['its undo', restores(({ undo }) => undo.outageMs)],
  ] as const) {
    const beyond: Figure = (round) => {
      const outageMs = of(round);
      return outageMs === undefined ? undefined : beyondOwn(outageMs, round) / 1000;
    };
    add(`services down in ${title}, beyond their own stop and start`, 3, seconds, each(beyond));
  }
  add("worker's peak memory", 250e6, formatBytes, each(worst(own(({ workerPeakBytes }) => workerPeakBytes))));
  const orchestration = own(({ profile }) => profile.orchestrationSeconds);
  add('orchestration', 5, seconds, each(worst(orchestration)));
  return found;
}

const barely = { restic: 'bare restic backup', rclone: 'bare rclone copy', rsync: 'bare rsync -a' };

const wall = ({ wallMs }: Night) => wallMs;
const stored = ({ bytesAdded }: Night) => bytesAdded;
const delivery = ({ permafrost }: Night) => permafrost?.deliveryMs;
const seconds = (value: number) => `${value.toFixed(2)} s`;
const share = (value: number) => (value < 0.1 ? value.toFixed(4) : value.toFixed(3));

function of(way: WayName, at: number, figure: (night: Night) => number | undefined): Figure {
  return ({ nights }) => {
    const night = nights[way]?.[at];
    return night === undefined ? undefined : figure(night);
  };
}

/** Of Permafrost with one restic and with one rclone off-site; undefined unless both were measured. */
function slowerAlone(at: number, figure: (night: Night) => number | undefined): Figure {
  return (round) => {
    const both = [of('permafrost', at, figure)(round), of('permafrost-rclone', at, figure)(round)];
    const known = both.flatMap((value) => value ?? []);
    return known.length < both.length ? undefined : Math.max(...known);
  };
}

function downSeconds(night: Night, round: Round): number | undefined {
  const down = downBeyondOwn(night, round);
  return down === undefined ? undefined : down / 1000;
}

function own(figure: (night: PermafrostNight) => number) {
  return ({ permafrost }: Night) => (permafrost === undefined ? undefined : figure(permafrost));
}

/** The most of all of Permafrost's nights in a round, whatever the off-site. */
function worst(figure: (night: Night, round: Round) => number | undefined): Figure {
  return (round) => {
    const nights = Object.values(round.nights)
      .flat()
      .filter(({ permafrost }) => permafrost !== undefined);
    const values = nights.flatMap((night) => figure(night, round) ?? []);
    return values.length === 0 ? undefined : Math.max(...values);
  };
}
