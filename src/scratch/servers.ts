import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../errors.js';
import type { Host, Identity, Job } from '../hosts/host.js';
import type { Scratch } from './scratch.js';

/** How the servers of a scratch are started and found again: each is a job of it. */

/** Between two looks at a server that is starting. */
const lookEveryMs = 100;

/** What a server is run by: the first to go when memory runs out, and nice, since its host has other work. */
export const politely = 'echo 800 2> /dev/null > /proc/self/oom_score_adj';
const nice = 10;

export interface ServerStart {
  /** `[a-z0-9-]{1,40}` */
  readonly name: string;
  readonly argv: readonly string[];
  readonly as: Identity;
  /** Whether it answers; false while it is still starting. */
  readonly answers: () => Promise<boolean>;
  /** Milliseconds it may take to answer. */
  readonly patienceMs: number;
  /** What is said when it ends instead. */
  readonly failed: (log: string) => Failure;
}

/** Starts a server, or finds it again; one that has ended is started anew. Returns when it answers. */
export async function startServer(scratch: Scratch, server: ServerStart): Promise<Job> {
  const { host } = scratch;
  const job = host.job(scratch.jobId(server.name));
  const before = await job.status();
  if (before.state === 'exited' || before.state === 'lost') await stopJob(job);
  if (before.state !== 'running') await host.startJob(job.id, server.argv, { as: server.as, nice });
  const until = Date.now() + server.patienceMs;
  while (!(await server.answers())) {
    const now = await job.status();
    if (now.state !== 'running') {
      const log = now.state === 'absent' ? '' : `${now.stdoutTail}${now.stderrTail}`.trim();
      await stopJob(job);
      throw server.failed(log);
    }
    if (Date.now() > until) {
      const text = `${server.name} of a scratch on ${host.name} does not answer after ${String(server.patienceMs / 1000)} s`;
      await stopJob(job);
      throw new Failure('CommandTimedOut', text, {
        host: host.name,
        next: 'see whether the host is overloaded',
      });
    }
    await sleep(lookEveryMs);
  }
  return job;
}

export async function stopJob(job: Job): Promise<void> {
  await job.cancel();
  await job.forget();
}

/** A server's or a tool's absence, in the words of Debian's packages. */
export function notInstalled(host: Host, what: string, packages: string): Failure {
  return new Failure('ToolMissing', `There is no ${what} on ${host.name}.`, {
    host: host.name,
    next: `Install ${packages} there, or name another host with drill.host in the configuration.`,
  });
}
