import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../errors.js';
import { anyExitCode, type Host, type JobStatus, type RunOptions, type RunResult } from '../hosts/host.js';
import { requirePrograms } from '../hosts/programs.js';
import { becomeScript, enterScript, insideScript, launchScript, waysOutScript } from './namespace-scripts.js';
import type { Scratch } from './scratch.js';
import { stopJob } from './servers.js';

/** A command in a network of its own, with nothing but loopback. */
export interface Namespaced {
  /**
   * Runs a command beside it, with the same rights: for curl.
   *
   * @throws Failure `JobLost` when the command that was started has ended; as `Host.run`.
   */
  run(argv: readonly string[], options?: Omit<RunOptions, 'as'>): Promise<RunResult>;
  /** What could lead out of it, a line each (an interface besides lo, a route): empty where nothing can. */
  waysOut(): Promise<string[]>;
  status(): Promise<JobStatus>;
  /** What it said last, at most 8 KiB: may hold secrets of its environment. */
  logTail(): Promise<string>;
  /** Ends all that runs in it. */
  stop(): Promise<void>;
}

export interface NamespacedOptions {
  /** The whole environment. May hold secrets: it goes by a 0600 file, which is removed before the command begins. */
  readonly env: ReadonlyMap<string, string>;
  readonly cwd: string;
  /** Default: the scratch's user. Another one only where we are root. */
  readonly user?: string;
  /** Folders that are seen, in there alone, in place of others that exist. Absolute. */
  readonly binds?: readonly { readonly from: string; readonly at: string }[];
}

const lookEveryMs = 50;
const ended = 200;

/**
 * Starts `argv` in a namespace, or finds it again by its name, also when it has ended.
 *
 * It reaches what lies on the host's disk by its own rights, and the scratch's sockets (`Scratch.admit`); of the network
 * there is loopback alone, and nothing listens on it but what it starts itself. It cannot get new rights (sudo).
 *
 * @param name `[a-z0-9-]{1,40}`
 * @throws Failure `ToolMissing`; `Refused` where the kernel does not let us make namespaces; `CommandFailed`.
 */
export async function inNamespace(
  scratch: Scratch,
  name: string,
  argv: readonly string[],
  options: NamespacedOptions,
): Promise<Namespaced> {
  const { host } = scratch;
  const job = host.job(scratch.jobId(name));
  const who = `${scratch.folder}/.scratch/who-${name}`;
  const way = await wayInto(scratch, options.user ?? scratch.user);
  const before = (await job.status()).state;
  if (before === 'lost') await stopJob(job);
  if (before === 'lost' || before === 'absent') {
    await requireNamespaces(host, way);
    const variables = `${scratch.folder}/.scratch/env-${name}`;
    await putVariables(host, variables, options.env);
    const scripts = [launchScript, 'permafrost-namespace', insideScript, becomeScript];
    const binds = (options.binds ?? []).flatMap(({ from, at }) => [from, at]);
    const words = [
      ...[who, variables, options.cwd, ...counted(way.unshare), ...counted(way.rights)],
      ...counted(binds),
    ];
    await host.startJob(job.id, ['bash', '-c', ...scripts, ...words, ...argv]);
  }
  const run: Namespaced['run'] = async (command, more = {}) => {
    const words = [
      'bash',
      '-c',
      enterScript,
      'bash',
      who,
      ...counted(way.nsenter),
      ...way.lesser,
      ...command,
    ];
    const result = await host.run(words, { ...more, okCodes: [...(more.okCodes ?? [0]), ended] });
    if (result.exitCode !== ended) return result;
    throw new Failure('JobLost', `${name} on ${host.name} has ended, so nothing can be run beside it`, {
      host: host.name,
    });
  };
  const logTail = async (): Promise<string> => {
    const status = await job.status();
    return status.state === 'absent' ? '' : `${status.stdoutTail}${status.stderrTail}`;
  };
  await isInside(host, who, async () => (await job.status()).state === 'running', logTail);
  return {
    ...{ run, logTail, status: () => job.status() },
    waysOut: async () =>
      (await run(['sh', '-c', waysOutScript])).stdout.split('\n').filter((line) => line !== ''),
    async stop() {
      await stopJob(job);
      await host.run(['rm', '-f', '--', who]);
    },
  };
}

/** Options and words by which a command gets into a namespace, and gives up the rights that this takes. */
interface Way {
  readonly unshare: readonly string[];
  readonly nsenter: readonly string[];
  readonly rights: readonly string[];
  /** The same for what is run beside it. */
  readonly lesser: readonly string[];
}

const noRights = ['--no-new-privs', '--inh-caps=-all', '--ambient-caps=-all', '--bounding-set=-all'];

async function wayInto({ host }: Scratch, user: string): Promise<Way> {
  const facts = await host.facts();
  if (!facts.root && user !== facts.user) {
    throw new Failure('Refused', `Running something as ${user} on ${host.name} takes root`, {
      host: host.name,
      next: 'leave the user out of the configuration, or let the drill host be reached as root',
    });
  }
  const { stdout } = await host.run(['id', '-g', '--', user]);
  const group = stdout.trim();
  if (facts.root) {
    const become = ['--reuid', user, '--regid', group, '--init-groups', ...noRights];
    const rights = user === 'root' ? [] : ['setpriv', ...become];
    return { unshare: [], nsenter: [], rights, lesser: rights };
  }
  // In a user namespace we are root, which mount(8) asks for; in another one inside it, ourselves again.
  const drop = ['setpriv', ...noRights];
  const again = ['unshare', '--user', `--map-user=${String(facts.uid)}`, `--map-group=${group}`, '--'];
  return {
    unshare: ['--user', '--map-root-user'],
    nsenter: ['--user', '--preserve-credentials'],
    rights: [...again, ...drop],
    lesser: drop,
  };
}

function counted(words: readonly string[]): string[] {
  return [String(words.length), ...words];
}

/** What `insideScript` does, without anything in it. */
const probe = 'mount -t proc proc /proc && mount -t tmpfs tmpfs /run && ip link set lo up && exec "$@"';

async function requireNamespaces(host: Host, { unshare, rights }: Way): Promise<void> {
  await requirePrograms(host, ['unshare', 'nsenter', 'setpriv', 'ip', 'mount', 'perl', 'awk']);
  const own = [...unshare, '--net', '--pid', '--mount', '--fork', '--kill-child'];
  const argv = ['unshare', ...own, '--', 'sh', '-c', probe, 'sh', ...rights, 'true'];
  const { exitCode, stderr } = await host.run(argv, { okCodes: anyExitCode });
  if (exitCode === 0) return;
  const { root } = await host.facts();
  const said = stderr.trim().slice(-500);
  throw new Failure('Refused', `${host.name} does not let a command be cut off from the network: ${said}`, {
    host: host.name,
    next: root
      ? 'a container needs CAP_SYS_ADMIN for that; or name another host with drill.host'
      : 'let the drill host be reached as root, or allow user namespaces there (on Ubuntu: sysctl kernel.apparmor_restrict_unprivileged_userns=0)',
  });
}

/** $1 path, $2 bytes. Its folder is not made again: a scratch that is gone stays gone. */
const putScript = `umask 077
cat > "$1.new" || exit 1
[ "$(stat -c %s -- "$1.new")" = "$2" ] || { rm -f -- "$1.new"; echo 'only a part of it arrived' >&2; exit 1; }
mv -f -- "$1.new" "$1"`;

async function putVariables(host: Host, path: string, env: ReadonlyMap<string, string>): Promise<void> {
  const entries = [...env].map(([name, value]) => `${name}=${value}`);
  const odd = entries.findIndex((entry) => entry.includes('\0') || entry.startsWith('='));
  if (odd >= 0) throw new Failure('InvalidInput', `Not a variable: ${[...env.keys()][odd] ?? ''}`);
  const stdin = Buffer.from(entries.map((entry) => `${entry}\0`).join(''));
  await host.run(['bash', '-c', putScript, 'bash', path, String(stdin.length)], { stdin });
}

/** @throws Failure `CommandFailed` when it has ended before it was inside. */
async function isInside(
  host: Host,
  who: string,
  isRunning: () => Promise<boolean>,
  log: () => Promise<string>,
): Promise<void> {
  for (;;) {
    const running = await isRunning();
    if ((await host.run(['test', '-e', who], { okCodes: [0, 1] })).exitCode === 0) return;
    if (!running) {
      throw new Failure('CommandFailed', `A command could not be cut off from the network: ${await log()}`, {
        host: host.name,
      });
    }
    await sleep(lookEveryMs);
  }
}
