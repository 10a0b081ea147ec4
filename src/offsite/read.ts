import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import type { BackupId } from '../backups/id.js';
import type { Manifest } from '../backups/manifest.js';
import type { PartName } from '../backups/parts.js';
import { retainParts } from '../backups/retention.js';
import type { Configuration, InstanceConfig, OffsiteConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { ownMark, sweepLeft } from '../hosts/leftovers.js';
import { localHost } from '../hosts/local.js';
import { openHost } from '../hosts/open.js';
import { provideTool, type ToolName } from '../hosts/tools.js';
import { keyFiles, withKeys } from './keys.js';
import { type JudgedManifest, readJudgedManifest } from './manifest-check.js';
import type { Offsite, StoredBackup, StoredBackups } from './offsite.js';
import { openOffsite } from './open.js';
import { timezoneOf } from './prune-plan.js';
import { sweepCalls } from './tree-commands.js';
import { trustedKeys } from './trusted-keys.js';

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

export interface FoundCopy {
  offsite: string;
  stored: StoredBackup;
  manifest: Manifest;
}

/** What all off-sites of an instance hold, as far as they could be read. */
export interface Found {
  /** As the configuration names the off-sites, and the newest first. */
  copies: FoundCopy[];
  problems: { offsite: string; failure: Failure }[];
  /** What each off-site that could be read has listed. */
  lists: Map<string, StoredBackups>;
}

/**
 * Opens an off-site for reading, at the machine that needs the bytes: this one; but a repository that is a folder is
 * read on the host that sees it.
 *
 * @param purpose what may go on beside others on the same off-site: each has folders of its own.
 * @param on the machine that needs the bytes, when it is another one: a drill host, a restore's target. The keys that
 *   open the backups are handed over to it for this call. Stays open.
 * @param folder a private one there, made when it is not there, for whatever lies there in the meantime, and which the
 *   caller removes: where there is room for it, and where it goes with the rest. Default: Permafrost's own on that host.
 * @throws Failure `Refused` for a folder that `on` does not see.
 */
export async function withOffsite<T>(
  configuration: Configuration,
  instance: InstanceConfig,
  offsite: OffsiteConfig,
  use: (offsite: Offsite, reader: { host: Host; scratch: string }) => Promise<T>,
  purpose = 'night',
  on?: Host,
  folder?: string,
): Promise<T> {
  const onHost = on === undefined && isOnHost(offsite) && instance.host.kind === 'ssh';
  const host =
    on ?? (onHost ? openHost(instance.host) : localHost({ folder: join(configuration.state, 'host') }));
  if (on !== undefined) requireSeen(offsite, instance, on);
  try {
    const { folder: base } = await host.facts();
    // A folder on the instance's host is opened there, where the keys that open backups have no place.
    const keys = await keyFiles(offsite, onHost ? 'filler' : 'reader');
    const work = `${folder ?? `${base}/scratch`}/${instance.domain}-${offsite.name}-${purpose}`;
    const ours = (name: string) => name.startsWith(`${posix.basename(work)}-cache`);
    await Promise.all([
      sweepLeft(host, posix.dirname(work), ours),
      sweepCalls({ host, as: 'login', work: `${work}-work` }),
    ]);
    // restic takes what it has in its cache for what is in the repository: who reads back must not share that of who has
    // filled it, and who verifies has to begin without. On a machine that only lends itself nothing stays.
    const own = isFresh(purpose) || (on !== undefined && on.name !== 'local');
    const cache = own ? `${work}-cache.${ownMark()}` : `${base}/cache/reading-${offsite.kind}`;
    try {
      return await withKeys(host, host.name === 'local' ? null : instance.domain, keys, (keysFolder) =>
        use(
          openOffsite(
            offsite,
            {
              ...{ host, as: 'login' as const, keys: keysFolder, tool: toolsOf(host) },
              ...{ cache, work: `${work}-work` },
            },
            instance.domain,
            { opens: !onHost },
          ),
          { host, scratch: work },
        ),
      );
    } finally {
      if (own) await host.run(['rm', '-rf', '--', cache], { timeoutMs: 600_000 }).catch(() => undefined); // swept later
    }
  } finally {
    if (on === undefined) await host.close();
  }
}

/** Looked for once for each opening: to look takes longer than many a command. */
function toolsOf(host: Host): (name: ToolName) => Promise<string> {
  const found = new Map<ToolName, Promise<string>>();
  return (name) => {
    const known = found.get(name) ?? provideTool(host, name);
    found.set(name, known);
    known.catch(() => found.delete(name));
    return known;
  };
}

function requireSeen(offsite: OffsiteConfig, { host }: InstanceConfig, on: Host): void {
  if (!isOnHost(offsite)) return;
  const seenBy = openHost(host, { look: true }).name;
  if (on.name === seenBy) return;
  throw new Failure('Refused', `${offsite.name} is a folder on ${seenBy}, which ${on.name} does not see`, {
    host: on.name,
    next: `name it in the configuration as it is reached from everywhere, such as sftp:USER@HOST:/folder`,
  });
}

/** What is to be proven must come from the off-site itself. */
function isFresh(purpose: string): boolean {
  return purpose === 'verify' || purpose.startsWith('drill');
}

/** A folder that only the instance's host sees. */
function isOnHost(offsite: OffsiteConfig): boolean {
  return offsite.kind === 'restic' && offsite.repository.startsWith('/');
}

/**
 * All sealed backups of an instance, newest first, and the off-sites that could not be read.
 *
 * @throws Failure when none could be read.
 */
export async function listBackups(
  configuration: Configuration,
  domain: string,
): Promise<{ backups: ListedBackup[]; problems: Found['problems'] }> {
  const found = await findCopies(configuration, domain);
  return { backups: listed(instanceOf(configuration, domain), found, new Date()), problems: found.problems };
}

/** The backups of what was found, newest first, each with what keeps it on any off-site. */
export function listed(instance: InstanceConfig, { copies, lists }: Found, now: Date): ListedBackup[] {
  const keep = new Map<BackupId, Set<string>>();
  for (const { sealed } of lists.values()) {
    for (const { backup, reasons } of retainParts(sealed, instance.retention, timezoneOf(instance), { now }))
      keep.set(backup, new Set([...(keep.get(backup) ?? []), ...reasons]));
  }
  const byBackup = groupBy(copies, (copy) => copy.stored.backup);
  return [...byBackup.keys()]
    .sort()
    .reverse()
    .flatMap((backup) => {
      const found = byBackup.get(backup) ?? [];
      const first = found[0]?.manifest;
      if (first === undefined) return [];
      return [
        {
          backup,
          instance: instance.domain,
          createdAt: first.moment?.at ?? first.startedAt,
          parts: first.parts.map((part) => part.name),
          bytes: first.parts.reduce((sum, part) => sum + part.bytes, 0),
          offsites: found.map((copy) => copy.offsite),
          verifiedAt:
            found
              .map((copy) => copy.manifest.copy.verifiedAt)
              .sort()
              .at(-1) ?? first.sealedAt,
          keep: [...(keep.get(backup) ?? [])],
        },
      ];
    });
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
  const unread = problems.map((problem) => problem.offsite);
  const backup = chooseBackup(
    copies.map((copy) => copy.stored.backup),
    wanted,
    { domain, unread },
  );
  const found = copies.filter((copy) => copy.stored.backup === backup);
  const first = found[0];
  if (first === undefined) throw new Failure('NotFound', `there is no sealed backup ${wanted}`);
  return {
    manifest: first.manifest,
    offsites: found.map((copy) => ({ name: copy.offsite, verifiedAt: copy.manifest.copy.verifiedAt })),
  };
}

/**
 * The backup that is meant: an id, a unique prefix of one, or `latest`.
 *
 * @param sealed those that there are, in any order.
 * @param unread off-sites that could not be looked at.
 * @throws Failure `NotFound`, also for a prefix that several backups share.
 */
export function chooseBackup(
  sealed: readonly BackupId[],
  wanted: string,
  { domain, unread }: { domain: string; unread: readonly string[] },
): BackupId {
  const ids = [...new Set(sealed)].sort().reverse();
  const matching = wanted === 'latest' ? ids.slice(0, 1) : ids.filter((id) => id.startsWith(wanted));
  const [backup, ...others] = matching;
  if (backup !== undefined && others.length === 0) return backup;
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

/** @throws Failure when no off-site could be read. */
async function findCopies(configuration: Configuration, domain: string): Promise<Found> {
  const found = await readOffsites(configuration, domain);
  const unread = new Set(found.problems.map(({ offsite }) => offsite));
  if (found.copies.length === 0 && unread.size === instanceOf(configuration, domain).offsites.length)
    throw found.problems[0]?.failure ?? new Failure('Unexpected', 'no off-site could be read');
  return found;
}

/** Reads all off-sites of an instance, side by side; who does not answer is a problem, never a failure. */
export async function readOffsites(configuration: Configuration, domain: string): Promise<Found> {
  const instance = instanceOf(configuration, domain);
  const found: Found = { copies: [], problems: [], lists: new Map() };
  await Promise.all(
    instance.offsites.map(async (name) => {
      try {
        const config = offsiteOf(configuration, name);
        const there = await withOffsite(configuration, instance, config, (offsite) =>
          readCopies(configuration, domain, offsite),
        );
        found.lists.set(name, there.list);
        found.copies.push(...there.copies);
        found.problems.push(...there.problems.map((failure) => ({ offsite: name, failure })));
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        found.problems.push({ offsite: name, failure: error });
      }
    }),
  );
  // As the configuration names them, not as they happened to answer.
  found.copies.sort(
    (one, other) => instance.offsites.indexOf(one.offsite) - instance.offsites.indexOf(other.offsite),
  );
  return found;
}

/** Every backup on its own: a manifest that is broken, or of a newer Permafrost, hides no other backup. */
async function readCopies(
  configuration: Configuration,
  instance: string,
  offsite: Offsite,
): Promise<{ list: StoredBackups; copies: FoundCopy[]; problems: Failure[] }> {
  const list = await offsite.list();
  const trusted = await trustedKeys(configuration);
  const copies: FoundCopy[] = [];
  const problems: Failure[] = [];
  for (const stored of list.sealed) {
    const text = () => rememberedManifest(configuration, offsite, stored);
    const judged = await readJudgedManifest(offsite, stored, { instance, trusted }, text);
    const [problem] = judged.problems;
    if (judged.manifest !== undefined && problem === undefined)
      copies.push({ offsite: offsite.name, stored, manifest: judged.manifest });
    else problems.push(notOurs(offsite, stored, judged));
  }
  return { list, copies, problems };
}

/** A manifest that cannot be read, or is not the one that was sealed there. */
function notOurs({ name }: Offsite, { backup }: StoredBackup, { problems, next }: JudgedManifest): Failure {
  return new Failure('NotRestorable', `the manifest of ${backup} on ${name} ${problems.join('; it ')}`, {
    next,
  });
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
