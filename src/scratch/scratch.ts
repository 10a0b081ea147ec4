import { createHash } from 'node:crypto';
import { z } from 'zod';
import { type BackupId, backupIdPattern } from '../backups/id.js';
import { Failure } from '../errors.js';
import type { Host, RunOptions } from '../hosts/host.js';
import { requirePrograms } from '../hosts/programs.js';
import { placeScript } from './place-script.js';

/** Which scratch: one for each drill of an instance. */
export interface ScratchRef {
  readonly instance: string;
  /** Of the drill: the UTC time of its start, written as a backup's id is. */
  readonly id: BackupId;
}

/**
 * A private place on a host, where a backup is restored to be looked at and thrown away. It has a lease: whatever kills
 * the drill, the host itself ends its processes and removes its files (`place-script.ts`).
 */
export interface Scratch {
  readonly host: Host;
  readonly ref: ScratchRef;
  /** Absolute. Others pass through it and see nothing (0711); every folder in it says who may look. */
  readonly folder: string;
  /** Whom the servers run as: never root. */
  readonly user: string;
  /** The id of a job that belongs here: the lease ends it and removes its folder. `name`: `[a-z0-9-]{1,40}` */
  jobId(name: string): string;
  /** A folder of the login user in it, made when it is not there. `name`: `[a-z0-9-]{1,40}`; `mode` default 0o700. */
  place(name: string, mode?: number): Promise<string>;
  /** A private folder of `user` in it; or of another user, where we are root. */
  own(name: string, user?: string): Promise<string>;
  /** The folder of the servers' sockets: `user` and the login user get to it, and whom `admit` names. */
  sockets(): Promise<string>;
  /** Lets one more user to the sockets. @throws Failure `Refused` where we are not root. */
  admit(user: string): Promise<void>;
  /** A lease's length from now on. @throws Failure `LeaseLost` when the scratch is gone. */
  renew(): Promise<void>;
  /**
   * Nothing is left: processes, files, mounts, namespaces. Safe when half of it is there, or nothing.
   *
   * @throws Failure `CommandFailed` naming what is still there.
   */
  close(): Promise<void>;
}

export interface ScratchOptions {
  /** Where it is made, as the configuration's `drill.folder` says. */
  readonly folder?: string;
  /** Milliseconds; default one hour. Every `findScratch` and `renew` begin it anew. */
  readonly leaseMs?: number;
}

/**
 * /tmp is memory on many hosts and emptied by others; /var/lib is closed to the user whom the servers run as, or to us;
 * /var/tmp is on a disk everywhere (file-hierarchy(7)), and every user may have a folder in it.
 */
export const defaultScratchFolder = '/var/tmp';
const defaultLeaseMs = 3_600_000;

/** Ending a cluster and removing it: some hundred GB of files in large pieces. */
const closeTimeoutMs = 1_800_000;

const exitCodes = { refused: 70, gone: 77 } as const;

/** What the script and the servers call, besides what a run calls. */
const programs = ['bash', 'perl', 'flock', 'realpath', 'install', 'awk', 'umount'] as const;

/**
 * Makes a scratch, or finds it again and begins its lease anew. The lease is armed before anything is put there. What is
 * left of others whose time is over is removed on the way.
 *
 * @throws Failure `Refused` for a folder that others may change or whom the servers run as cannot reach; `ToolMissing`;
 *   what `host` throws.
 */
export async function openScratch(
  host: Host,
  ref: ScratchRef,
  options: ScratchOptions = {},
): Promise<Scratch> {
  await requirePrograms(host, programs);
  await sweepScratches(host, async () => true).catch(ignore);
  const seconds = String(Math.ceil((options.leaseMs ?? defaultLeaseMs) / 1000));
  const words = [options.folder ?? defaultScratchFolder, seconds, JSON.stringify(ref), placeScript];
  await runScript(host, ref, ['prepare', ...words]);
  await holdLease(host, ref);
  return opened(host, ref, await runScript(host, ref, ['make']));
}

/**
 * The scratch of a drill, made by any worker; its lease begins anew.
 *
 * @throws Failure `LeaseLost` when it is gone: its lease has ended, or its host was started anew.
 */
export async function findScratch(host: Host, ref: ScratchRef): Promise<Scratch> {
  const said = await runScript(host, ref, ['find']);
  await holdLease(host, ref);
  return opened(host, ref, said);
}

/** Removes what is left of a scratch, whether or not it can still be found. @throws as `Scratch.close` */
export async function closeScratch(host: Host, ref: ScratchRef): Promise<void> {
  await closeKey(host, keyOf(ref));
}

/**
 * Closes the scratches of a host that nobody holds any more: those whose lease is over or that are of another boot, and
 * those of which `stillOpen` says false. A host may be another Permafrost's too: of an instance that is not ours,
 * `stillOpen` says true.
 *
 * @returns those that were closed.
 */
export async function sweepScratches(
  host: Host,
  stillOpen: (ref: ScratchRef) => Promise<boolean>,
): Promise<ScratchRef[]> {
  const { folder } = await host.facts();
  const { stdout } = await host.run(['sh', '-c', listScript, 'sh', `${folder}/scratches`]);
  const closed: ScratchRef[] = [];
  for (const key of stdout.split('\n').filter((name) => name !== '')) {
    const { stdout: said } = await host.run(await scriptArgv(host, key, ['look']));
    const [state, written = ''] = said.split('\n');
    const ref = refSchema.safeParse(written === '' ? undefined : JSON.parse(written)).data;
    if (state === undefined || state === '') continue;
    if ((state === 'alive' || state === 'ended') && (ref === undefined || (await stillOpen(ref)))) continue;
    await closeKey(host, key);
    if (ref !== undefined) closed.push(ref);
  }
  await forgetLeases(host);
  return closed;
}

const refSchema = z.object({ instance: z.string(), id: z.string().regex(backupIdPattern) });

const listScript = '[ ! -d "$1" ] || find "$1" -mindepth 1 -maxdepth 1 -type d ! -name ".*" -printf "%f\\n"';

function opened(host: Host, ref: ScratchRef, said: string): Scratch {
  const [folder = '', user = ''] = said.split('\n');
  const made = async (path: string, words: readonly string[]): Promise<string> => {
    const argv = ['bash', '-c', folderScript, 'bash', path, ...words];
    const { exitCode } = await host.run(argv, { okCodes: [0, exitCodes.gone] });
    if (exitCode === exitCodes.gone) throw lost(host, ref);
    return path;
  };
  const inFolder = (name: string): string => `${folder}/${checked(name)}`;
  const notRoot = (what: string): Failure =>
    new Failure('Refused', `${what} on ${host.name} takes root`, {
      host: host.name,
      next: `leave the user out of the configuration, or let the drill host be reached as root`,
    });
  const isRoot = async () => (await host.facts()).root;
  return {
    ...{ host, ref, folder, user },
    jobId: (name) => `scratch-${keyOf(ref)}-${checked(name)}`,
    place: (name, mode = 0o700) => made(inFolder(name), [mode.toString(8), '']),
    own: async (name, owner = user) => {
      if (owner !== (await host.facts()).user && !(await isRoot())) throw notRoot(`A folder of ${owner}`);
      return made(inFolder(name), ['700', (await isRoot()) ? owner : '']);
    },
    sockets: async () => made(`${folder}/run`, ['700', (await isRoot()) ? user : '']),
    async admit(other) {
      if (other === user || other === 'root' || other === (await host.facts()).user) return;
      if (!(await isRoot())) throw notRoot(`Running something as ${other}`);
      await host.run(['bash', '-c', admitScript, 'bash', await this.sockets(), other]);
    },
    renew: async () => {
      await runScript(host, ref, ['find']);
      await holdLease(host, ref);
    },
    close: () => closeScratch(host, ref),
  };
}

/**
 * $1 path, $2 mode, $3 owner or '': what is there keeps who may look at it. The scratch itself is not made again: one that
 * is gone stays gone.
 */
const folderScript = `umask 077
[ ! -d "$1" ] || exit 0
[ -d "\${1%/*}/.scratch" ] || exit ${String(exitCodes.gone)}
[ -n "$3" ] || { mkdir -m "$2" -- "$1" || [ -d "$1" ]; exit; }
install -d -m "$2" -o "$3" -g "$(id -g -- "$3")" -- "$1"`;

/** $1 folder of the sockets, $2 user: by his group, so that he gets to them and sees nothing else. */
const admitScript = 'chgrp -- "$(id -g -- "$2")" "$1" && chmod 710 -- "$1"';

/** The lease's job, started again should something have ended it. */
async function holdLease(host: Host, ref: ScratchRef): Promise<void> {
  const key = keyOf(ref);
  const dir = await registered(host, key);
  const job = host.job(leaseJob(key));
  const { state } = await job.status();
  if (state === 'running') return;
  if (state !== 'absent') await job.forget();
  await host.startJob(job.id, ['bash', `${dir}/scratch.sh`, dir, 'hold']);
}

async function closeKey(host: Host, key: string): Promise<void> {
  await host.run(await scriptArgv(host, key, ['close']), { timeoutMs: closeTimeoutMs });
  const lease = host.job(leaseJob(key));
  await lease.cancel();
  await lease.forget();
}

/** Leases that have done their work leave a job's folder, with nothing in it. */
async function forgetLeases(host: Host): Promise<void> {
  for (const id of (await host.listJobs()).filter((id) => id.startsWith(leaseJob('')))) {
    const job = host.job(id);
    if ((await job.status()).state !== 'running') await job.forget();
  }
}

async function runScript(host: Host, ref: ScratchRef, words: readonly string[]): Promise<string> {
  const argv = await scriptArgv(host, keyOf(ref), words);
  const options: RunOptions = { okCodes: [0, exitCodes.refused, exitCodes.gone], timeoutMs: closeTimeoutMs };
  const { exitCode, stdout, stderr } = await host.run(argv, options);
  if (exitCode === exitCodes.refused) {
    throw new Failure('Refused', `no scratch can be made on ${host.name}: ${stderr.trim()}`, {
      host: host.name,
      next: 'name another folder with drill.folder in the configuration: on a disk with room, root’s or the login user’s own',
    });
  }
  if (exitCode === exitCodes.gone) throw lost(host, ref);
  return stdout;
}

function lost(host: Host, ref: ScratchRef): Failure {
  return new Failure('LeaseLost', `the scratch of drill ${ref.id} on ${host.name} is gone`, {
    host: host.name,
    next: 'its lease has ended, or the host was started anew: run the drill again',
  });
}

async function scriptArgv(host: Host, key: string, words: readonly string[]): Promise<string[]> {
  return ['bash', '-c', placeScript, 'permafrost-scratch', await registered(host, key), ...words];
}

async function registered(host: Host, key: string): Promise<string> {
  return `${(await host.facts()).folder}/scratches/${key}`;
}

function leaseJob(key: string): string {
  return `scratchlease-${key}`;
}

/** In the names of jobs and sockets: an instance's own name may be too long for them. */
function keyOf({ instance, id }: ScratchRef): string {
  if (!backupIdPattern.test(id)) throw new Failure('InvalidInput', `Not a drill's id: ${id.slice(0, 40)}`);
  return `${id}_${createHash('sha256').update(instance).digest('hex').slice(0, 8)}`;
}

function checked(name: string): string {
  if (/^[a-z0-9-]{1,40}$/.test(name)) return name;
  throw new Failure('InvalidInput', `Not a name in a scratch: ${JSON.stringify(name.slice(0, 60))}`);
}

function ignore(): void {}
