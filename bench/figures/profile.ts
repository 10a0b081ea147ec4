import type { Phase } from '../../src/backups/report.js';
import { lengthOf, type Stretch, united, within } from '../stretches.js';
import type { Work } from '../watch/processes.js';
import type { RunHistory, Step } from './history.js';

/** A step in a profile. Seconds, from the run's beginning. */
export interface ProfiledStep {
  readonly phase: string;
  readonly name: string;
  readonly from: number;
  readonly took: number;
  /** Seconds of it in which no other step ran. */
  readonly alone: number;
  /** Seconds of it in which a job of the run was running on the host. */
  readonly inJobs: number;
  /** Seconds of it in which no job was, and a command that the worker waits for was. */
  readonly inCommands: number;
  /** Seconds of it in which neither was, and one of the scripts was that start, watch and remove jobs. */
  readonly inHandling: number;
  readonly attempts: number;
}

export interface Profile {
  /** Seconds from the run's start to its end. */
  readonly runSeconds: number;
  /** Seconds in which a job ran on the host, or a command that the backup consists of. */
  readonly workSeconds: number;
  /** The rest: what Temporal, the worker, and the starting and watching of jobs cost. */
  readonly orchestrationSeconds: number;
  /** Of that, seconds in which nothing ran on the host at all. */
  readonly idleSeconds: number;
  /** Of that, seconds between steps: Temporal's and the workflow's own. */
  readonly betweenSeconds: number;
  readonly steps: ProfiledStep[];
  readonly jobs: Listed[];
  readonly commands: Listed[];
}

/** A job or a command. Seconds, from the run's beginning. */
interface Listed {
  readonly name: string;
  readonly from: number;
  readonly took: number;
}

/** The job that only waits, and holds the moment of the database while others work. */
const waitingJob = 'moment';

/** Where the seconds of a run went. */
export function profileOf(history: RunHistory, phases: readonly Phase[], work: Work): Profile {
  const jobs = work.jobs.filter(({ name }) => name !== waitingJob);
  const working = [...jobs, ...work.commands];
  const anything = [...working, ...work.handling];
  const run = lengthOf([history]);
  const workMs = lengthOf(within(history, working));
  return {
    runSeconds: seconds(run),
    workSeconds: seconds(workMs),
    orchestrationSeconds: seconds(run - workMs),
    idleSeconds: seconds(run - lengthOf(within(history, anything))),
    betweenSeconds: seconds(run - lengthOf(within(history, history.steps))),
    steps: history.steps.map((step) => {
      const [inJobs = 0, inWork = 0, inAnything = 0] = [jobs, working, anything].map((what) =>
        lengthOf(within(step, what)),
      );
      return {
        ...{ phase: phaseOf(step, phases), name: step.name, from: seconds(step.from - history.from) },
        took: seconds(step.to - step.from),
        alone: seconds(lengthOf([step]) - lengthOf(within(step, others(step, history.steps)))),
        inJobs: seconds(inJobs),
        inCommands: seconds(inWork - inJobs),
        inHandling: seconds(inAnything - inWork),
        attempts: step.attempts,
      };
    }),
    jobs: listed(history, jobs),
    commands: listed(history, work.commands),
  };
}

/** From the beginning of the first upload until the last seal, read-back between them. Milliseconds. */
export function deliveryMs(phases: readonly Phase[]): number {
  const times = phases
    .filter(({ name }) => name === 'upload' || name === 'verify' || name === 'seal')
    .flatMap(({ startedAt, finishedAt }) => [startedAt, finishedAt].flatMap((at) => at ?? []))
    .map((at) => Date.parse(at));
  return times.length === 0 ? 0 : Math.max(...times) - Math.min(...times);
}

/** In which the media's index was made or media were sent, whatever ran beside it. Milliseconds. */
export function mediaMs({ steps }: Pick<RunHistory, 'steps'>): number {
  return lengthOf(steps.filter(({ name }) => /^(indexMedia|uploadParts?: media\b)/.test(name)));
}

function listed(history: RunHistory, all: Work['jobs']): Listed[] {
  return all
    .filter(({ from, to }) => to > history.from && from < history.to)
    .map(({ name, from, to }) => ({ name, from: seconds(from - history.from), took: seconds(to - from) }))
    .sort((a, b) => a.from - b.from);
}

function seconds(ms: number): number {
  return Math.round(ms) / 1000;
}

function others(step: Step, steps: readonly Step[]): Stretch[] {
  return united(steps.filter((other) => other !== step));
}

/** The phase that began last of those that were on when the step was asked for; steps outside of all have none. */
function phaseOf(step: Step, phases: readonly Phase[]): string {
  // A phase's times have milliseconds, an event's more.
  const slackMs = 2;
  const on = phases.filter(
    ({ startedAt, finishedAt }) =>
      startedAt !== undefined &&
      Date.parse(startedAt) <= step.askedAt + slackMs &&
      step.askedAt < Date.parse(finishedAt ?? startedAt),
  );
  return on.sort((a, b) => Date.parse(a.startedAt ?? '') - Date.parse(b.startedAt ?? '')).at(-1)?.name ?? '';
}
