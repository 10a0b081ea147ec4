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
  const about = `Permafrost: what ${user} may do for the backups of ${config.domain}. Keep as /etc/sudoers.d/permafrost.`;
  try {
    const { needed, wanted } = await sudoRules(host, config, await inspectInstance(host, config));
    return { text: sudoersText(user, [...needed, ...wanted], [about]), complete: true };
  } catch (error) {
    if (!(error instanceof Failure) || error.type !== 'AuthFailed') throw error;
    const { owner } = await nearestOwner(host, config.mastodon.root);
    if (['', 'root', 'UNKNOWN', user].includes(owner)) throw error;
    return { text: sudoersText(user, [{ as: owner, argv: 'ALL' }], [about]), complete: false };
  }
}
