import type { PartName } from '../backups/parts.js';
import type { InstanceConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { leaseCommands } from '../hosts/lease.js';
import { resolvePrograms, type SudoRule, sudoersText } from '../hosts/sudoers.js';
import { inspectInstance } from './inspect.js';
import type { Instance } from './instance.js';
import { nearestOwner } from './survey.js';

/** The command that prints the roles with their passwords, as the packaged server's owner. */
export function rolesArgv(database: Instance['database']): string[] {
  return [
    `${database.binDir}/pg_dumpall`,
    '--globals-only',
    '--no-password',
    `--host=${database.host.startsWith('/') ? database.host : '/var/run/postgresql'}`,
    `--port=${String(database.port)}`,
  ];
}

/** The command that prints Redis's file. */
export function redisDumpArgv(redis: Instance['redis']): string[] {
  return ['cat', redis.dump];
}

/**
 * All that a backup of this instance does as somebody else than the login user: everything as Mastodon's user, and as
 * root nothing but these very commands. Empty where sudo is not used.
 *
 * @returns `needed`: without one of these there is no backup; `wanted`: without it the roles have no passwords in it.
 */
export async function sudoRules(
  host: Host,
  config: InstanceConfig,
  instance: Instance,
): Promise<{ needed: SudoRule[]; wanted: SudoRule[] }> {
  const { sudo, systemd, user } = await host.facts();
  if (!sudo) return { needed: [], wanted: [] };
  const { services, redis, database, appUser } = instance;
  const units = services.kind === 'systemd' ? services.units : [];
  const lease = systemd ? await leaseCommands(host, instance.domain, config.quiesce.leaseMs / 1000) : [];
  const asRoot = [
    ...units.flatMap(({ name }) => [
      ['systemctl', 'start', name],
      ['systemctl', 'stop', name],
    ]),
    ...lease,
    ...(redis.local ? [redisDumpArgv(redis)] : []),
  ];
  const needed: SudoRule[] = [
    ...(appUser === user ? [] : [{ as: appUser, argv: 'ALL' as const }]),
    ...asRoot.map((argv) => ({ as: 'root', argv })),
  ];
  const wanted: SudoRule[] = database.local ? [{ as: 'postgres', argv: rolesArgv(database) }] : [];
  return { needed: await resolvePrograms(host, needed), wanted: await resolvePrograms(host, wanted) };
}

/** What the login user may not do on a host, and what helps; clauses without their full stops. */
export interface MissingRight {
  readonly detail: string;
  readonly fix: string;
}

/** Exit code 1 for a unit that the user may not manage; else 0. What is asked for changes nothing of a unit that runs. */
const mayManage = 'systemctl --no-ask-password reset-failed -- "$1" > /dev/null 2>&1 || exit 1';

/** Exit code 1 for a file that is there, or may be, and cannot be read. */
const mayRead = 'test -r "$1" || { test -x "$(dirname -- "$1")" && test ! -e "$1"; }';

/**
 * What a backup does that the login user may not, where it is neither root nor has sudo. systemd itself is asked about
 * its units, since a rule of polkit may allow them to anybody.
 *
 * @param wanted `stops`: the services that would be stopped.
 */
export async function missingRights(
  host: Host,
  instance: Pick<Instance, 'domain' | 'services' | 'redis'>,
  { stops, parts }: { stops: readonly string[]; parts: readonly PartName[] },
): Promise<MissingRight[]> {
  const { root, sudo, user } = await host.facts();
  if (root || sudo) return [];
  const may = async (script: string, word: string): Promise<boolean> =>
    (await host.run(['sh', '-c', script, 'sh', word], { okCodes: [0, 1] })).exitCode === 0;
  const who = `${user} on ${host.name} is neither root nor uses sudo`;
  const rights = `Log in there as root, or say "sudo: true" of an SSH host and put there what permafrost config sudoers ${instance.domain} prints`;
  const missing: MissingRight[] = [];
  const units = instance.services.kind === 'systemd' ? stops : [];
  const allowed = await Promise.all(units.map((unit) => may(mayManage, unit)));
  const refused = units.filter((_, at) => allowed[at] === false);
  if (refused.length > 0) {
    missing.push({
      detail: `${who}, and systemd does not let it stop and start ${refused.join(', ')}`,
      fix: `${rights}; or leave the services running: --quiesce none (quiesce.mode in the configuration)`,
    });
  }
  const { dump, local } = instance.redis;
  if (parts.includes('redis') && local && !(await may(mayRead, dump))) {
    missing.push({
      detail: `${who}, and may not read Redis's file ${dump}`,
      fix: `${rights}; or let it read that file (usermod -aG redis ${user}); or leave Redis out: --only database,secrets,media`,
    });
  }
  return missing;
}

/** Where the file belongs on the host. */
export const sudoersFile = '/etc/sudoers.d/permafrost';

/** The sudoers file that grants these rules, which `sudoRules` has found. */
export function sudoersOf(
  user: string,
  domain: string,
  { needed, wanted }: { needed: readonly SudoRule[]; wanted: readonly SudoRule[] },
): string {
  const about = `Permafrost: what ${user} may do for the backups of ${domain}. Keep as ${sudoersFile}.`;
  return sudoersText(user, [...needed, ...wanted], [about]);
}

/**
 * The sudoers file for an instance's host.
 *
 * @returns `complete: false` while the login user cannot be Mastodon's user yet: without that the rest is not known, and
 *   the text is the rule for it alone.
 * @throws Failure `ConfigInvalid` where no sudo is used; what `inspectInstance` throws.
 */
export async function sudoersFor(
  host: Host,
  config: InstanceConfig,
): Promise<{ text: string; complete: boolean }> {
  const { sudo, root, user } = await host.facts();
  if (!sudo) {
    const why = root ? `${user} is root there` : 'its configuration does not say "sudo: true"';
    throw new Failure('ConfigInvalid', `${host.name} needs no sudoers file: ${why}.`, {
      host: host.name,
      next: 'A sudoers file is for an SSH host with an ordinary user and "sudo: true".',
    });
  }
  try {
    const rules = await sudoRules(host, config, await inspectInstance(host, config));
    return { text: sudoersOf(user, config.domain, rules), complete: true };
  } catch (error) {
    if (!(error instanceof Failure) || error.type !== 'AuthFailed') throw error;
    const { owner } = await nearestOwner(host, config.mastodon.root);
    if (['', 'root', 'UNKNOWN', user].includes(owner)) throw error;
    return {
      text: sudoersOf(user, config.domain, { needed: [{ as: owner, argv: 'ALL' }], wanted: [] }),
      complete: false,
    };
  }
}
