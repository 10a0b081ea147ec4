import { existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Configuration } from '../../src/config/configuration.js';
import { offsiteFiles } from '../../src/config/offsite-files.js';
import type { Host } from '../../src/hosts/host.js';
import { shellLine } from '../../src/hosts/quote.js';
import { programFile } from './unit-files.js';

/** Something that the unit's user may not do, and the command that lets it; without one it is for a person to decide. */
export interface Obstacle {
  /** In words: `permafrost cannot read /etc/permafrost/server.key`. */
  readonly what: string;
  readonly remedies: readonly (readonly string[])[];
  /** What to do where no command of ours should. */
  readonly advice?: string;
}

interface Account {
  readonly user: string;
  readonly uid: number;
  /** The name of its own group. */
  readonly group: string;
  readonly groups: readonly number[];
}

/**
 * What keeps a user from running Permafrost with this configuration: asked of the kernel, as that user.
 * The files are those of the configuration, Node and the program; the state folder has to be the user's own.
 */
export async function obstaclesFor(
  user: string,
  configuration: Configuration,
  machine: Host,
): Promise<Obstacle[]> {
  if (user === 'root') return [];
  const account = await accountOf(user, machine);
  const obstacles: Obstacle[] = [];
  const state = obstacleOfState(account, configuration.state);
  if (state !== undefined) obstacles.push(state);
  for (const file of filesRead(configuration)) {
    if (await mayRead(user, file, machine)) continue;
    obstacles.push(
      existsSync(file)
        ? { what: `${user} cannot read ${file}`, ...waysIn(account, file) }
        : { what: `${file} does not exist`, remedies: [], advice: 'correct the configuration' },
    );
  }
  return obstacles;
}

/** Every file on this machine that the program opens because the configuration, or the unit, names it. */
export function filesRead(configuration: Configuration): string[] {
  const { temporal } = configuration;
  const ofTemporal =
    temporal.kind === 'address'
      ? [temporal.apiKeyFile, ...(typeof temporal.tls === 'object' ? tlsFiles(temporal.tls) : [])]
      : temporal.kind === 'profile'
        ? [temporal.file]
        : [];
  const ofHosts = Object.values(configuration.instances).flatMap(({ host }) =>
    host.kind === 'ssh' ? [host.identityFile, host.passphraseFile, host.knownHosts] : [],
  );
  const ofOffsites = Object.values(configuration.offsites).flatMap((offsite) =>
    offsiteFiles(offsite).map(({ path }) => path),
  );
  const all = [process.execPath, programFile(), configuration.file, ...ofTemporal, ...ofHosts, ...ofOffsites];
  return [...new Set(all.filter((file) => file !== undefined))];
}

function tlsFiles(tls: { caFile?: string; certFile?: string; keyFile?: string }): (string | undefined)[] {
  return [tls.caFile, tls.certFile, tls.keyFile];
}

function obstacleOfState({ uid, user, group }: Account, state: string): Obstacle | undefined {
  const found = statSync(state, { throwIfNoEntry: false }); // one that is not there is made by the unit
  if (found === undefined || found.uid === uid) return undefined;
  return {
    what: `the state folder ${state} belongs to another user`,
    remedies: [['chown', '-R', `${user}:${group}`, state]],
  };
}

/** The rights that are missing on the way to a file, given to the user's group where the file is root's alone. */
function waysIn(account: Account, file: string): Pick<Obstacle, 'remedies' | 'advice'> {
  const remedies: string[][] = [];
  for (const path of [...foldersAbove(file), file]) {
    const folder = path !== file;
    const found = statSync(path);
    if (allowed(found, account, folder ? 1 : 4)) continue;
    if (found.uid !== 0 || found.gid !== 0 || path === '/root') {
      return {
        remedies: [],
        advice: `put it where ${account.user} can get at it, for example into /etc/permafrost`,
      };
    }
    remedies.push(['chgrp', account.group, path], ['chmod', folder ? 'g+x' : 'g+r', path]);
  }
  return remedies.length > 0 ? { remedies } : { remedies, advice: 'look at its access control list' };
}

function foldersAbove(file: string): string[] {
  const folder = dirname(file);
  return folder === file ? [] : [...foldersAbove(folder), folder];
}

function allowed(
  { uid, gid, mode }: { uid: number; gid: number; mode: number },
  account: Account,
  right: 1 | 4,
) {
  const shift = uid === account.uid ? 6 : account.groups.includes(gid) ? 3 : 0;
  return ((mode >> shift) & right) !== 0;
}

async function mayRead(user: string, path: string, machine: Host): Promise<boolean> {
  const argv = ['runuser', '-u', user, '--', 'test', '-r', path];
  return (await machine.run(argv, { okCodes: [0, 1] })).exitCode === 0;
}

async function accountOf(user: string, machine: Host): Promise<Account> {
  const ask = async (option: string) => (await machine.run(['id', option, '--', user])).stdout.trim();
  return {
    user,
    uid: Number(await ask('-u')),
    group: await ask('-gn'),
    groups: (await ask('-G')).split(' ').map(Number),
  };
}

/** Whether there is such a user. */
export async function userExists(user: string, machine: Host): Promise<boolean> {
  return (await machine.run(['getent', 'passwd', '--', user], { okCodes: [0, 2] })).exitCode === 0;
}

/** A system user without a login, whose home is the state folder; nothing is made there. */
export async function createUser(user: string, state: string, machine: Host): Promise<void> {
  const options = ['--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin'];
  await machine.run(['useradd', ...options, '--home-dir', state, '--', user]);
}

export function commandLines(obstacles: readonly Obstacle[]): string[] {
  return [...new Set(obstacles.flatMap(({ remedies }) => remedies.map((argv) => shellLine(argv))))];
}
