import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BackupId } from '../backups/id.js';
import { type Manifest, readManifest } from '../backups/manifest.js';
import type { PartName } from '../backups/parts.js';
import { retainParts } from '../backups/retention.js';
import type { Configuration, InstanceConfig, OffsiteConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { localHost } from '../hosts/local.js';
import { openHost } from '../hosts/open.js';
import { provideTool } from '../hosts/tools.js';
import { keyFiles, withKeys } from './keys.js';
import type { Offsite, StoredBackup } from './offsite.js';
import { resticOffsite } from './restic.js';

/** What off-sites hold, read from the off-sites themselves: works from any machine that has the configuration. */

export interface ListedBackup {
  backup: BackupId;
  instance: string;
  createdAt: string;
  parts: PartName[];
  bytes: number;
  offsites: string[];
  verifiedAt: string;
  /** Why retention keeps it, in the operator's words; empty when the next prune removes it. */
  keep: string[];
}

export interface ShownBackup {
  manifest: Manifest;
  offsites: { name: string; verifiedAt: string }[];
}

interface FoundCopy {
  offsite: string;
  manifest: Manifest;
}

/**
 * Opens an off-site for reading, at the machine that needs the bytes: this one; but a repository that is a folder is
 * read on the host that sees it.
 */
export async function withOffsite<T>(
  configuration: Configuration,
  instance: InstanceConfig,
  offsite: OffsiteConfig,
  use: (offsite: Offsite, reader: { host: Host; scratch: string }) => Promise<T>,
): Promise<T> {
  if (offsite.kind !== 'restic') throw notYet(offsite);
  const onHost = offsite.repository.startsWith('/') && instance.host.kind === 'ssh';
  const host = onHost ? openHost(instance.host) : localHost({ folder: join(configuration.state, 'host') });
  try {
    const { folder } = await host.facts();
    const program = await provideTool(host, 'restic');
    return await withKeys(host, onHost ? instance.domain : null, await keyFiles(offsite), (keys) =>
      use(
        resticOffsite(
          offsite,
          { host, as: 'login', keys, program, cache: `${folder}/cache/restic` },
          instance.domain,
        ),
        {
          host,
          scratch: `${folder}/scratch/${instance.domain}-${offsite.name}`,
        },
      ),
    );
  } finally {
    await host.close();
  }
}

export function notYet(offsite: OffsiteConfig): Failure {
  return new Failure(
    'ConfigInvalid',
    `off-site ${offsite.name}: the kind '${offsite.kind}' is not supported yet`,
    {
      next: 'use an off-site of the kind restic',
    },
  );
}

/** All sealed backups of an instance, newest first, and the off-sites that could not be read. */
export async function listBackups(
  configuration: Configuration,
  domain: string,
): Promise<{ backups: ListedBackup[]; problems: { offsite: string; failure: Failure }[] }> {
  const { copies, problems } = await findCopies(configuration, domain);
  const instance = instanceOf(configuration, domain);
  const byBackup = groupBy(copies, (copy) => copy.manifest.backup);
  const held = copies.map(({ manifest }) => ({
    backup: manifest.backup,
    parts: manifest.parts.map(({ name }) => name),
  }));
  const decisions = retainParts(held, instance.retention, instance.schedule.backup?.timezone);
  const backups = decisions.flatMap(({ backup, reasons }) => {
    const found = byBackup.get(backup) ?? [];
    const first = found[0]?.manifest;
    if (first === undefined) return [];
    return [
      {
        backup,
        instance: domain,
        createdAt: first.moment?.at ?? first.startedAt,
        parts: first.parts.map((part) => part.name),
        bytes: first.parts.reduce((sum, part) => sum + part.bytes, 0),
        offsites: found.map((copy) => copy.offsite),
        verifiedAt:
          found
            .map((copy) => copy.manifest.copy.verifiedAt)
            .sort()
            .at(-1) ?? first.sealedAt,
        keep: reasons,
      },
    ];
  });
  return { backups, problems };
}

/**
 * One backup, by its id, a unique prefix, or `latest` (the newest sealed one).
 *
 * @throws Failure `NotFound`, also for a prefix that several backups share.
 */
export async function showBackup(
  configuration: Configuration,
  domain: string,
  wanted: string,
): Promise<ShownBackup> {
  const { copies, problems } = await findCopies(configuration, domain);
  const ids = [...new Set(copies.map((copy) => copy.manifest.backup))].sort().reverse();
  const matching = wanted === 'latest' ? ids.slice(0, 1) : ids.filter((id) => id.startsWith(wanted));
  const [backup, ...others] = matching;
  if (backup === undefined || others.length > 0) {
    const unread = problems.map((problem) => problem.offsite);
    throw new Failure(
      'NotFound',
      others.length > 0
        ? `'${wanted}' could be any of ${matching.slice(0, 5).join(', ')}`
        : `there is no sealed backup ${wanted} of ${domain}${unread.length > 0 ? ` (not looked at: ${unread.join(', ')})` : ''}`,
      {
        next: `${ids.length === 0 ? '' : `the newest: ${ids.slice(0, 3).join(', ')}; `}permafrost list ${domain} shows them all`,
      },
    );
  }
  const found = copies.filter((copy) => copy.manifest.backup === backup);
  const first = found[0];
  if (first === undefined) throw new Failure('NotFound', `there is no sealed backup ${wanted}`);
  return {
    manifest: first.manifest,
    offsites: found.map((copy) => ({ name: copy.offsite, verifiedAt: copy.manifest.copy.verifiedAt })),
  };
}

async function findCopies(
  configuration: Configuration,
  domain: string,
): Promise<{ copies: FoundCopy[]; problems: { offsite: string; failure: Failure }[] }> {
  const instance = instanceOf(configuration, domain);
  const copies: FoundCopy[] = [];
  const problems: { offsite: string; failure: Failure }[] = [];
  await Promise.all(
    instance.offsites.map(async (name) => {
      try {
        const config = offsiteOf(configuration, name);
        const found = await withOffsite(configuration, instance, config, (offsite) =>
          readCopies(configuration, offsite),
        );
        copies.push(...found.copies);
        problems.push(...found.problems.map((failure) => ({ offsite: name, failure })));
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        problems.push({ offsite: name, failure: error });
      }
    }),
  );
  if (
    copies.length === 0 &&
    new Set(problems.map(({ offsite }) => offsite)).size === instance.offsites.length
  ) {
    throw problems[0]?.failure ?? new Failure('Unexpected', 'no off-site could be read');
  }
  // As the configuration names them, not as they happened to answer.
  copies.sort(
    (one, other) => instance.offsites.indexOf(one.offsite) - instance.offsites.indexOf(other.offsite),
  );
  return { copies, problems };
}

/** Every backup on its own: a manifest that is broken, or of a newer Permafrost, hides no other backup. */
async function readCopies(
  configuration: Configuration,
  offsite: Offsite,
): Promise<{ copies: FoundCopy[]; problems: Failure[] }> {
  const { sealed } = await offsite.list();
  const copies: FoundCopy[] = [];
  const problems: Failure[] = [];
  for (const one of sealed) {
    const text = await rememberedManifest(configuration, offsite, one);
    try {
      copies.push({
        offsite: offsite.name,
        manifest: readManifest(text, `of ${one.backup} on ${offsite.name}`),
      });
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      problems.push(error);
    }
  }
  return { copies, problems };
}

/** Manifests do not change under their key, so each is fetched once and then remembered in the state folder. */
async function rememberedManifest(
  configuration: Configuration,
  offsite: Offsite,
  stored: StoredBackup,
): Promise<string> {
  const folder = join(configuration.state, 'manifests');
  const path = join(folder, `${offsite.name}-${stored.key}.json`);
  try {
    return await readFile(path, 'utf8');
  } catch {
    const text = await offsite.readManifest(stored);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const temporary = `${path}.${String(process.pid)}.new`;
    await writeFile(temporary, text, { mode: 0o600 });
    await rename(temporary, path);
    return text;
  }
}

/** @throws Failure `ConfigInvalid` for an instance that the configuration does not have. */
export function instanceOf(configuration: Configuration, domain: string): InstanceConfig {
  const instance = Object.hasOwn(configuration.instances, domain)
    ? configuration.instances[domain]
    : undefined;
  if (instance === undefined) {
    throw new Failure(
      'ConfigInvalid',
      `there is no instance '${domain.slice(0, 100)}' in the configuration`,
      {
        next: `it has: ${Object.keys(configuration.instances).join(', ')}`,
      },
    );
  }
  return instance;
}

/** @throws Failure `ConfigInvalid` for an off-site that the configuration does not have. */
export function offsiteOf(configuration: Configuration, name: string): OffsiteConfig {
  const offsite = Object.hasOwn(configuration.offsites, name) ? configuration.offsites[name] : undefined;
  if (offsite === undefined) {
    throw new Failure('ConfigInvalid', `there is no off-site '${name.slice(0, 100)}' in the configuration`, {
      next: `it has: ${Object.keys(configuration.offsites).join(', ')}`,
    });
  }
  return offsite;
}

function groupBy<K, T>(items: readonly T[], keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
}
