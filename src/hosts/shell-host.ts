import { posix } from 'node:path';
import { randomBytes } from 'node:crypto';
import { Failure } from '../errors.js';
import { type Ended, end, finish, graceSeconds, Tail } from './command.js';
import { factsScript, parseFacts } from './facts.js';
import type {
  Host,
  HostFacts,
  HostStream,
  Identity,
  Job,
  JobOptions,
  RunOptions,
  RunResult,
  StreamOptions,
} from './host.js';
import { type Account, argvAs, sudoRefused, throughSudo } from './identity.js';
import { Jobs } from './jobs.js';
import { reapScript } from './job-scripts.js';
import { checkArgv } from './quote.js';
import type { Transport } from './transport.js';

/**
 * bash reads ~/.bashrc before a command when its stdin is a socket or sshd started it (bash(1), "INVOCATION"), but only
 * as the first shell: what a user's file does or prints there is not for us.
 */
const notByNetwork = 'SHLVL=1';

const defaultTimeoutMs = 60_000;
const defaultOutputBytes = 4 * 1024 * 1024;

/** Everything that a host does, over whatever starts its processes. */
export class ShellHost implements Host {
  readonly name: string;
  readonly #transport: Transport;
  readonly #jobs: Jobs;
  readonly #accounts = new Map<string, Promise<Account>>();
  #facts: Promise<HostFacts> | undefined;

  constructor(transport: Transport) {
    this.#transport = transport;
    this.name = transport.name;
    this.#jobs = new Jobs({
      name: this.name,
      facts: () => this.facts(),
      script: (text, args, options) => this.#script(text, args, options),
      wrap: (argv, options) => this.#wrapped(argv, options),
    });
  }

  facts(): Promise<HostFacts> {
    const asked = (this.#facts ??= this.#askFacts());
    asked.catch(() => {
      if (this.#facts === asked) this.#facts = undefined;
    });
    return asked;
  }

  async run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const result = await this.#finish(argv, options);
    if ((options.okCodes ?? [0]).includes(result.exitCode)) return result;
    await this.#checkSudo(result, options.as ?? 'login');
    const said = lastBytes(result.stderr.trim(), 2048);
    throw new Failure(
      'CommandFailed',
      `${shown(argv)} on ${this.name} ended with exit code ${result.exitCode}${said === '' ? '.' : `: ${said}`}`,
      { host: this.name },
    );
  }

  async stream(argv: readonly string[], options: StreamOptions = {}): Promise<HostStream> {
    options.signal?.throwIfAborted();
    const { wrapped, reap } = await this.#cancellable(argv, options, undefined);
    const running = await this.#transport.start(wrapped, { stdin: options.stdin });
    const stderr = new Tail(running.stderr, 64 * 1024);
    let killed: Promise<void> | undefined;
    const kill = (): void => void (killed ??= end(running, reap).then(() => running.abandon()));
    const delivered = new Promise<void>((resolve, reject) => {
      running.stdout.once('error', reject);
      running.stdout.once('end', resolve);
      running.stdout.once('close', resolve);
    });
    delivered.catch(() => undefined);
    const completed = (async () => {
      try {
        const exitCode = await running.exited;
        await Promise.race([Promise.all([delivered, stderr.ended]), killed ?? new Promise(() => undefined)]);
        return { exitCode, stderr: stderr.text() };
      } finally {
        options.signal?.removeEventListener('abort', kill);
      }
    })();
    completed.catch(() => undefined);
    options.signal?.addEventListener('abort', kill, { once: true });
    if (options.signal?.aborted === true) kill();
    return { stdout: running.stdout, completed, kill };
  }

  startJob(id: string, argv: readonly string[], options: JobOptions = {}): Promise<Job> {
    return this.#jobs.start(id, argv, options);
  }

  job(id: string): Job {
    return this.#jobs.job(id);
  }

  listJobs(): Promise<string[]> {
    return this.#jobs.list();
  }

  async putFile(path: string, content: string | Buffer, mode = 0o600): Promise<void> {
    if (!posix.isAbsolute(path)) throw new Failure('InvalidInput', `Not an absolute path: ${path}`);
    const bytes = Buffer.from(content);
    await this.#script(putScript, [path, mode.toString(8).padStart(4, '0'), String(bytes.length)], {
      stdin: bytes,
      timeoutMs: 60_000 + bytes.length / 1000,
    });
  }

  async argvAs(argv: readonly string[], as: Identity): Promise<string[]> {
    checkArgv(argv);
    if (as === 'login') return [...argv];
    return argvAs(await this.facts(), this.name, argv, as, (user) => this.#account(user));
  }

  async close(): Promise<void> {
    this.#facts = undefined;
    this.#accounts.clear();
    await this.#transport.close();
  }

  async #askFacts(): Promise<HostFacts> {
    const { folder = '', look } = this.#transport;
    const { stdout } = await this.#script(factsScript, [folder, look ? 'look' : '']);
    return parseFacts(stdout, this.name, this.#transport.sudo);
  }

  /**
   * Runs one of our own scripts. They may all run twice, so one that a dead connection swallowed is run again on a
   * new one.
   */
  async #script(text: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const argv = ['bash', '-c', text, 'permafrost', ...args];
    try {
      return await this.run(argv, options);
    } catch (error) {
      if (!(error instanceof Failure) || error.type !== 'HostUnreachable') throw error;
      return await this.run(argv, options);
    }
  }

  async #finish(argv: readonly string[], options: RunOptions): Promise<Ended> {
    options.signal?.throwIfAborted();
    const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
    const { wrapped, reap } = await this.#cancellable(argv, options, timeoutMs);
    const running = await this.#transport.start(wrapped, { stdin: options.stdin });
    const limits = {
      timeoutMs,
      maxOutputBytes: options.maxOutputBytes ?? defaultOutputBytes,
      signal: options.signal,
      command: shown(argv),
      host: this.name,
    };
    return finish(running, limits, reap);
  }

  /**
   * The whole argv of a command with a cookie in its environment, and how to end all that carries it: neither does a
   * closed connection end a command, nor may a login user signal what runs under sudo.
   */
  async #cancellable(
    argv: readonly string[],
    options: StreamOptions,
    timeoutMs: number | undefined,
  ): Promise<{ wrapped: string[]; reap: () => Promise<void> }> {
    const { as = 'login' } = options;
    const cookie = `run-${randomBytes(12).toString('hex')}`;
    const env = { ...options.env, PERMAFROST_JOB: cookie };
    const reap = async (): Promise<void> => {
      const reaper = as !== 'login' && throughSudo(await this.facts(), as) ? as : 'login';
      const script = ['bash', '-c', reapScript, 'permafrost', cookie, '0', '0', String(graceSeconds), 'end'];
      const running = await this.#transport.start(await this.#wrapped(script, { as: reaper }, 60_000), {
        urgent: true,
      });
      running.stdout.resume();
      running.stderr.resume();
      await running.exited;
      running.abandon();
    };
    return { wrapped: await this.#wrapped(argv, { ...options, env }, timeoutMs), reap };
  }

  /**
   * The whole argv: identity, time limit, folder, variables, command. `timeout` runs on the host and on the far side
   * of sudo, so that nothing hangs on there when we are gone or may not signal it.
   */
  async #wrapped(argv: readonly string[], options: StreamOptions, timeoutMs?: number): Promise<string[]> {
    checkArgv(argv);
    const { as = 'login', env = {}, cwd = '/' } = options;
    if (!posix.isAbsolute(cwd)) throw new Failure('InvalidInput', `Not an absolute path: ${cwd}`);
    const variables = Object.entries(env).map(([name, value]) => {
      if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
        throw new Failure('InvalidInput', `Not a variable's name: ${name}`);
      return `${name}=${value}`;
    });
    // We are the first to end it; two seconds later the host does.
    const limit =
      timeoutMs === undefined
        ? []
        : ['timeout', '-k', String(graceSeconds), (timeoutMs / 1000 + 2).toFixed(3)];
    return this.argvAs([...limit, 'env', '-C', cwd, '--', notByNetwork, ...variables, ...argv], as);
  }

  #account(user: string): Promise<Account> {
    const known = this.#accounts.get(user);
    if (known !== undefined) return known;
    const asked = this.#askAccount(user);
    this.#accounts.set(user, asked);
    asked.catch(() => this.#accounts.delete(user));
    return asked;
  }

  async #askAccount(user: string): Promise<Account> {
    const text = 'getent passwd -- "$1" && command -v runuser';
    const { exitCode, stdout } = await this.#script(text, [user], { okCodes: [0, 1, 2] });
    const [entry = '', runuser = ''] = stdout.split('\n');
    const [name, , , gid, , home] = entry.split(':');
    if (name === undefined || name === '' || home === undefined)
      throw new Failure(
        'AuthFailed',
        `There is no user ${user} on ${this.name} (getent: exit code ${exitCode}).`,
        {
          host: this.name,
          next: "Check the user's name in the configuration.",
        },
      );
    return { home: home === '' ? '/' : home, gid: Number(gid), runuser: runuser !== '' };
  }

  /** sudo itself ends with 1 and speaks under its own name when no rule allows the command. */
  async #checkSudo(result: Ended, as: Identity): Promise<void> {
    if (
      as === 'login' ||
      result.exitCode !== 1 ||
      !/^sudo: |may not run sudo|is not allowed to/m.test(result.stderr)
    )
      return;
    const facts = await this.facts();
    if (throughSudo(facts, as)) throw sudoRefused(facts, this.name, as, lastBytes(result.stderr.trim(), 500));
  }
}

/** $1 path, $2 mode, $3 bytes on stdin. A cut connection ends stdin early: a file that is too short is never named. */
const putScript = `
umask 077
mkdir -p -- "$(dirname -- "$1")" && new=$(mktemp -- "$(dirname -- "$1")/.new.XXXXXXXX") || exit 1
trap 'rm -f -- "$new"' EXIT
cat > "$new" && chmod "$2" -- "$new" && sync -- "$new" || exit 1
[ "$(stat -c %s -- "$new")" = "$3" ] || { echo "only a part of $1 arrived" >&2; exit 1; }
mv -fT -- "$new" "$1"
`;

/** How messages call a command: its program and the first words, on one line. */
function shown(argv: readonly string[]): string {
  const words = argv[0] === 'bash' && argv[1] === '-c' ? ['a script of bash'] : argv;
  const line = words.join(' ').replaceAll(/\s+/g, ' ');
  return line.length > 120 ? `${line.slice(0, 117)}…` : line;
}

function lastBytes(text: string, limit: number): string {
  const bytes = Buffer.from(text);
  return bytes.length <= limit ? text : `…${bytes.subarray(-limit + 3).toString('utf8')}`;
}
