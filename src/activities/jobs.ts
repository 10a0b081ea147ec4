import { createHash } from 'node:crypto';
import type { StepProgress } from '../backups/report.js';
import { Failure } from '../errors.js';
import type { Host, JobOptions, JobStatus } from '../hosts/host.js';
import { cancellation, isOverForGood, report, sleep } from './activity.js';

/** A job is asked again after this share of the time it has run, so that its end is noticed 5 % late at most. */
const waitShare = 0.05;
const leastWaitMs = 50;
const mostWaitMs = 1_000;

export interface FollowedJob {
  readonly exitCode: number;
  readonly stdoutTail: string;
  readonly stderrTail: string;
}

/** A job's id on its host: `<domain>_<backup>_<step>`, so that whose it is can be told; no domain has an underscore. */
export function jobId(run: { instance: string; backup: string }, step: string): string {
  return `${jobsOf(run)}${fit(step, 40)}`;
}

/** What the ids of an instance's jobs begin with; with a backup, those of that run. */
export function jobsOf({ instance, backup }: { instance: string; backup?: string }): string {
  return `${fit(instance, 40)}_${backup === undefined ? '' : `${backup}_`}`;
}

/** Ends these jobs of a host, with everything they started, and forgets them. */
export async function forgetJobs(host: Host, which: (id: string) => boolean): Promise<void> {
  const ids = (await host.listJobs()).filter(which);
  await Promise.all(
    ids.map(async (id) => {
      const job = host.job(id);
      await job.cancel();
      await job.forget();
    }),
  );
}

/** Ids are short; what is cut off stays told apart by its hash. */
function fit(text: string, length: number): string {
  if (text.length <= length) return text;
  return `${text.slice(0, length - 9)}-${createHash('sha256').update(text).digest('hex').slice(0, 8)}`;
}

/**
 * Starts a job, or finds it again after a worker's death, and follows it to its end.
 *
 * When the run is cancelled or gone, the job is ended and everything it started; when only this worker goes away, the
 * job goes on and the next attempt finds it. A job that failed is forgotten, so that the next attempt starts it anew.
 *
 * @throws Failure `CommandFailed` for an exit code that is not in `okCodes` (default 0), `JobLost`.
 */
export async function followJob(
  host: Host,
  id: string,
  argv: readonly string[],
  options: JobOptions & { okCodes?: readonly number[] } = {},
  progress: (
    status: Extract<JobStatus, { stdoutTail: string }>,
  ) => Partial<StepProgress> | Promise<Partial<StepProgress>> = () => ({}),
): Promise<FollowedJob> {
  const { okCodes = [0], ...jobOptions } = options;
  const job = await host.startJob(id, argv, jobOptions);
  try {
    for (;;) {
      const status = await job.status();
      if (status.state === 'absent')
        throw new Failure('JobLost', `the job ${id} is gone from ${host.name}`, { host: host.name });
      report(await progress(status));
      if (status.state === 'lost') {
        await job.forget();
        throw new Failure('JobLost', `the job ${id} on ${host.name} was killed, or the host was restarted`, {
          host: host.name,
          next: 'it is started again; if that goes on, look for out-of-memory kills in the journal there',
        });
      }
      if (status.state === 'exited') {
        if (status.exitCode !== 0) await job.forget();
        if (okCodes.includes(status.exitCode)) return status;
        throw new Failure(
          'CommandFailed',
          `${argv[0] ?? ''} (job ${id}) ended with ${String(status.exitCode)} on ${host.name}: ${status.stderrTail.trim().slice(-1500)}`,
          { host: host.name, next: 'see its message; it is tried again' },
        );
      }
      await sleep(Math.min(Math.max(leastWaitMs, status.elapsedMs * waitShare), mostWaitMs));
    }
  } catch (error) {
    if (cancellation().aborted && (await isOverForGood())) await job.cancel();
    throw error;
  }
}
