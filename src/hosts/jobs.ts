import { randomBytes } from 'node:crypto';
import { posix } from 'node:path';
import { Failure } from '../errors.js';
import type {
  HostFacts,
  Job,
  JobOptions,
  JobOutput,
  JobStatus,
  RunOptions,
  RunResult,
  StreamOptions,
} from './host.js';
import {
  blockScript,
  listScript,
  reapScript,
  removeScript,
  startScript,
  statusScript,
  stopUnitScript,
  termUnitScript,
  superviseScript,
  usersScript,
} from './job-scripts.js';
import { checkArgv } from './quote.js';

/** What jobs need of their host. */
export interface JobGround {
  readonly name: string;
  facts(): Promise<HostFacts>;
  /** Runs one of our scripts; once more when the connection was lost. */
  script(text: string, args: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** The whole argv for an identity, a folder and variables. */
  wrap(argv: readonly string[], options: StreamOptions): Promise<string[]>;
}

/** A job's folder as `statusScript` finds it. */
interface Seen extends JobOutput {
  readonly state: 'running' | 'exited' | 'lost' | 'orphaned';
  readonly exitCode: number;
}

/** Seconds between TERM and KILL; systemd has the same (`TimeoutStopSec`). */
const graceSeconds = 10;
/** Grace, the killing after it and the supervisor's own end: reapScript's own limits end it before this. */
const cancelTimeoutMs = 150_000;

/** The jobs of one host. What happens there is told in `job-scripts.ts`. */
export class Jobs {
  readonly #ground: JobGround;

  constructor(ground: JobGround) {
    this.#ground = ground;
  }

  async start(id: string, argv: readonly string[], options: JobOptions): Promise<Job> {
    const job = this.job(id);
    checkArgv(argv);
    const { as = 'login', env = {}, cwd = '/', stdoutFile = '', nice = 0 } = options;
    if (stdoutFile !== '' && !posix.isAbsolute(stdoutFile))
      throw new Failure('InvalidInput', `Not an absolute path: ${stdoutFile}`);
    if (!Number.isInteger(nice) || nice < 0 || nice > 19)
      throw new Failure('InvalidInput', `A job's niceness is 0 to 19, not ${nice}.`);

    const facts = await this.#ground.facts();
    const cookie = `${id}-${randomBytes(8).toString('hex')}`;
    const command = await this.#ground.wrap(argv, { as, cwd, env: { ...env, PERMAFROST_JOB: cookie } });
    const other = typeof as === 'object' && as.user !== facts.user ? ['-u', as.user] : [];
    const through = !facts.sudo
      ? []
      : (await this.#mayBeRoot())
        ? ['sudo', '-n', '--']
        : other.length === 0
          ? []
          : ['sudo', '-n', ...other, '--'];
    const words = [cookie, String(nice), stdoutFile, String(through.length), ...through, ...command];
    const spec = Buffer.from(words.map((word) => `${word}\0`).join(''));
    await this.#ground.script(
      startScript,
      [
        jobsFolder(facts),
        id,
        facts.systemdJobs ? 'systemd' : 'plain',
        String(spec.length),
        superviseScript,
        reapScript,
        ...unitOptions(nice),
      ],
      { stdin: spec },
    );
    return job;
  }

  job(id: string): Job {
    if (!/^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$/.test(id))
      throw new Failure('InvalidInput', `Not a job's id: ${JSON.stringify(id.slice(0, 120))}.`);
    return {
      id,
      status: () => this.#status(id),
      cancel: () => this.#cancel(id),
      forget: () => this.#forget(id),
    };
  }

  async list(): Promise<string[]> {
    const { stdout } = await this.#ground.script(listScript, [jobsFolder(await this.#ground.facts())]);
    return stdout.split('\n').filter((line) => line !== '');
  }

  async #status(id: string): Promise<JobStatus> {
    let seen = await this.#look(id);
    if (seen?.state === 'orphaned') {
      // Nobody can learn any more how it ends: what is left of it must not run on beside its successor.
      await this.#cancel(id);
      seen = await this.#look(id);
    }
    if (seen === undefined) return { state: 'absent' };
    const { state, exitCode, ...output } = seen;
    if (state === 'exited') return { state, exitCode, ...output };
    return { state: state === 'running' ? 'running' : 'lost', ...output };
  }

  async #look(id: string): Promise<Seen | undefined> {
    const folder = posix.join(jobsFolder(await this.#ground.facts()), id);
    const { stdout } = await this.#ground.script(statusScript, [folder]);
    const [line = '', out = '', err = ''] = stdout.split('\n');
    if (line === 'absent') return undefined;
    const [, state, exitCode, elapsedMs, stdoutBytes] =
      /^(running|exited|lost|orphaned) (-?\d+) (-?\d+) (\d+)$/.exec(line) ?? [];
    if (state === undefined)
      throw new Failure('Unexpected', `What ${this.#ground.name} says of job ${id} cannot be read: ${line}`);
    return {
      state: state as Seen['state'],
      exitCode: Number(exitCode),
      elapsedMs: Math.max(0, Number(elapsedMs)),
      stdoutBytes: Number(stdoutBytes),
      stdoutTail: Buffer.from(out, 'base64').toString('utf8'),
      stderrTail: Buffer.from(err, 'base64').toString('utf8'),
    };
  }

  async #cancel(id: string): Promise<void> {
    const facts = await this.#ground.facts();
    const { stdout } = await this.#ground.script(blockScript, [posix.join(jobsFolder(facts), id)]);
    const [cookie, pid, startTime] = stdout.trim().split(' ');
    if (cookie === undefined || pid === undefined || startTime === undefined) return;
    const options: RunOptions = { as: 'privileged', timeoutMs: cancelTimeoutMs };
    const reap = [reapScript, [cookie, pid, startTime, String(graceSeconds)]] as const;
    if (facts.sudo && !(await this.#mayBeRoot())) {
      // Each user's processes are ended as that user; sudo's own ends with what it runs.
      for (const user of await this.#usersOf(id))
        await this.#ground.script(reap[0], [...reap[1], 'keep'], { ...options, as: { user } });
      await this.#ground.script(reap[0], [...reap[1], 'end'], { ...options, as: 'login' });
      return;
    }
    if (facts.systemdJobs) await this.#ground.script(termUnitScript, [cookie], options);
    await this.#ground.script(reap[0], [...reap[1], 'end'], options);
    if (facts.systemdJobs) await this.#ground.script(stopUnitScript, [cookie], options);
  }

  /** Whether sudo gives a whole root here, or exact commands alone. Asked each time: the file may have been changed. */
  async #mayBeRoot(): Promise<boolean> {
    const script = 'sudo -n -l -- bash -c : > /dev/null 2>&1 && echo yes';
    return (await this.#ground.script(script, [], { okCodes: [0, 1] })).stdout.trim() === 'yes';
  }

  /** The users that a job's own words make it by sudo, so far as we may be them whatever the command is. */
  async #usersOf(id: string): Promise<string[]> {
    const spec = posix.join(jobsFolder(await this.#ground.facts()), id, 'spec');
    const { stdout } = await this.#ground.script(usersScript, [spec]);
    return stdout.split('\n').filter((line) => line !== '');
  }

  async #forget(id: string): Promise<void> {
    const { state } = await this.#status(id);
    if (state === 'running')
      throw new Failure('CommandFailed', `Job ${id} still runs on ${this.#ground.name}.`, {
        host: this.#ground.name,
        next: 'Wait for its end, or cancel it.',
      });
    const folder = jobsFolder(await this.#ground.facts());
    // One that was never launched must not be launched out of the removed folder by a start that is under way.
    if (state === 'absent') await this.#ground.script(blockScript, [posix.join(folder, id)]);
    await this.#ground.script(removeScript, [folder, id]);
  }
}

function jobsFolder(facts: HostFacts): string {
  return posix.join(facts.folder, 'jobs');
}

/**
 * Options of systemd-run (systemd.exec(5), systemd.kill(5), systemd.resource-control(5)). Between units it is their
 * weights that count, not niceness, which `supervise` sets; so a nice job has both.
 */
function unitOptions(nice: number): string[] {
  const weight = String(100 - nice * 5);
  const properties = {
    KillMode: 'control-group',
    TimeoutStopSec: String(graceSeconds),
    IgnoreSIGPIPE: 'no',
    OOMPolicy: 'continue',
    UMask: '0077',
    ...(nice > 0 ? { CPUWeight: weight, IOWeight: weight } : {}),
  };
  return Object.entries(properties).map(([name, value]) => `--property=${name}=${value}`);
}
