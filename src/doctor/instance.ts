import { bad, type Check, good, type Subject, warning } from '../backups/checks.js';
import { partNames } from '../backups/parts.js';
import type { LastSealed } from '../backups/report.js';
import { sizeText, spoolNeed } from '../backups/space.js';
import type { InstanceConfig, OffsiteConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import type { Host, HostFacts } from '../hosts/host.js';
import { leaseState } from '../hosts/lease.js';
import { freeBytes } from '../hosts/space.js';
import { type Instance, inspectParts, instanceOf } from '../mastodon/inspect.js';
import { sourceSizes } from '../mastodon/source-sizes.js';
import { checkSource } from '../mastodon/source-checks.js';
import { sudoersFile, sudoersFor } from '../mastodon/sudo-rules.js';
import { lookAtDatabase } from './database.js';
import { badly, looking, onHost } from './looking.js';
import { lookAtServices } from './services.js';
import { lookAtSudo } from './sudo.js';

/** What to look at an instance with. */
export interface Look {
  readonly host: Host;
  readonly facts: HostFacts;
  readonly config: InstanceConfig;
  /** Its off-sites. */
  readonly offsites: readonly OffsiteConfig[];
  /** What this machine remembers of the last sealed run. */
  readonly last: LastSealed | null;
  /** Look through large tables as well, however long that takes. */
  readonly thorough: boolean;
}

/** What findings of an instance are filed under. */
export type About = (name: string, subject: string) => Subject;

/** An instance on its host, and the finding for each thing that a run needs of it. `instance`: null when it is not whole. */
export async function lookAtInstance(look: Look): Promise<{ checks: Check[]; instance: Instance | null }> {
  const { host, config } = look;
  const about: About = (name, subject) => ({ name, subject, host: host.name, instance: config.domain });
  const parts = await inspectParts(host, config).catch((error: unknown) => ({ error }));
  if ('error' in parts) return { checks: [await unseen(look, about, parts.error)], instance: null };
  const checks: Check[] = [];
  const { units, services, database, redis, files } = parts;
  const why = [units, services, database, redis, files];
  const names = [
    ['services', 'services'],
    ['services', 'services'],
    ['database', 'database'],
    ['redis', 'redis'],
    ['files', 'media'],
  ] as const;
  why.forEach((part, at) => {
    const [name, subject] = names[at] ?? names[0];
    if (part.status === 'rejected') checks.push(badly(about(name, subject), part.reason));
  });
  const whole = checks.length === 0 ? instanceOf(config, parts) : null;
  const served = services.status === 'fulfilled' && units.status === 'fulfilled' ? services.value : null;
  const found = await Promise.all([
    served === null ? [] : lookAtServices(look, about, served, parts.env),
    database.status === 'rejected'
      ? []
      : lookAtDatabase(look, about, { database: database.value, appUser: parts.looked.appUser }),
    whole === null ? [] : wholeChecks(look, about, whole),
  ]);
  return { checks: [...checks, ...found.flat()], instance: whole };
}

/** Without the root or its env file nothing is known; most often sudo does not let us be Mastodon's user yet. */
async function unseen({ host, facts, config }: Look, about: About, error: unknown): Promise<Check> {
  const isSudo = error instanceof Failure && error.type === 'AuthFailed' && facts.sudo;
  if (!isSudo) return badly(about('root', 'mastodon'), error);
  const half = await sudoersFor(host, config).catch(() => undefined);
  if (half === undefined) return badly(about('sudo', 'sudo'), error);
  return bad(
    about('sudo', 'sudo'),
    `sudo does not let ${facts.user} be Mastodon's user, without which nothing else can be seen.`,
    `${onHost(host)}visudo -f ${sudoersFile}, with the lines below; then run this again for the rest`,
    { path: sudoersFile, text: half.text },
  );
}

/** What needs everything to be known of the instance. */
async function wholeChecks(look: Look, about: About, instance: Instance): Promise<Check[]> {
  const { config } = look;
  const found = await Promise.all([
    looking(about('source', 'source'), () => source(look, about, instance)),
    looking(about('redis', 'redis'), () => Promise.resolve(redis(about('redis', 'redis'), instance))),
    looking(about('space', 'space'), () => space(look, about('space', 'space'), instance)),
    looking(about('sudo', 'sudo'), () => lookAtSudo(look, about('sudo', 'sudo'), instance)),
    looking(about('lease', 'services'), () => lease(look, about('lease', 'services'))),
  ]);
  const notes = instance.warnings.map((text) =>
    warning(
      about('note', 'mastodon'),
      text,
      `See the handbook, or correct it in the configuration of ${config.domain}`,
    ),
  );
  const version = instance.versions.mastodon;
  const root = good(
    about('root', 'mastodon'),
    `${version === null ? 'Mastodon' : `Mastodon ${version}`} in ${instance.root}, run by ${instance.appUser}`,
  );
  return [root, ...notes, ...found.flat()];
}

/** Preflight's own judgement of the instance: the same table of checks. */
async function source({ host, config, last }: Look, about: About, instance: Instance): Promise<Check[]> {
  const parts = partNames.filter((part) => part !== 'media' || instance.media !== null);
  const findings = await checkSource(host, instance, { parts, last });
  return findings.map(({ check, ok, detail, fix, allowance }) => {
    const where = about(check, subjects[check] ?? check);
    if (ok) return good(where, detail);
    if (allowance === undefined) return bad(where, detail, fix);
    if (config.allow.includes(allowance))
      return warning(
        where,
        `Allowed (${allowance}): ${detail}`,
        `If it is no longer meant so, take ${allowance} out of allow in the configuration`,
      );
    return bad(where, detail, `${fix}; if it is meant so: backup --allow ${allowance}`);
  });
}

/** What preflight's checks are about, for people; one that is not named here stands for itself. */
const subjects: Partial<Record<string, string>> = {
  'own-domain': 'mastodon',
  'self-destruct': 'mastodon',
  'encryption-keys': 'secrets',
  'secrets-proof': 'secrets',
  'service-commands': 'services',
  'mastodon-database': 'database',
  accounts: 'database',
  'database-rights': 'database',
  'database-size': 'database',
  'media-folder': 'media',
  'media-files': 'media',
  'media-mount': 'media',
};

function redis(about: Subject, { redis: { version, host, port, local, aof, dump } }: Instance): Check {
  const place = host.startsWith('/') ? host : `${host}:${String(port)}`;
  const kept = aof ? 'with an append-only file' : `dump in ${dump}`;
  return good(about, `Redis ${version} at ${place}${local ? `, ${kept}` : ', on another machine'}`);
}

async function space({ host, last, offsites }: Look, about: Subject, instance: Instance): Promise<Check> {
  const parts = partNames.filter((part) => part !== 'media' || instance.media !== null);
  const [free, sizes] = await Promise.all([freeBytes(host), sourceSizes(host, instance, parts)]);
  const { database, secrets, redis: cache } = last?.parts ?? {};
  const before = [database, secrets, cache].reduce((sum, part) => sum + (part?.bytes ?? 0), 0);
  const trees = offsites.filter(({ kind }) => kind !== 'restic').length;
  const need = Math.max(spoolNeed(sizes, trees), before * 1.1);
  const { folder } = await host.facts();
  const detail = `${sizeText(free)} free in ${folder}; a run needs about ${sizeText(need)}`;
  const fix =
    'Make room on that disk, or put Permafrost on another one there (host.folder in the configuration)';
  if (free < need) return bad(about, detail, fix);
  return free < 1.25 * need ? warning(about, `${detail}: it is getting tight`, fix) : good(about, detail);
}

async function lease({ host, config }: Look, about: Subject): Promise<Check[]> {
  const { held, rebooted, phase, firesInMs = 0 } = await leaseState(host, config.domain);
  if (!held || rebooted || phase !== 'armed' || firesInMs < 0) return [];
  const detail = `A run holds the lease, for ${String(Math.ceil(firesInMs / 60_000))} more minutes: services may be stopped just now.`;
  return [
    warning(
      about,
      detail,
      `Wait until it ends; if that run is gone for good: permafrost services start ${config.domain}`,
    ),
  ];
}
