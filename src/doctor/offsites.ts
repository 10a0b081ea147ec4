import { bad, type Check, good, type Subject, warning } from '../backups/checks.js';
import { timeOfBackup } from '../backups/id.js';
import { sizeText } from '../backups/space.js';
import type { InstanceConfig, OffsiteConfig, ResticConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { freeBytes, sharingDisk } from '../hosts/space.js';
import { findTool, type ToolName } from '../hosts/tools.js';
import type { Instance } from '../mastodon/inspect.js';
import { lookAtOffsite } from '../offsite/look.js';
import type { Offsite } from '../offsite/offsite.js';
import { toolsFor } from '../offsite/open.js';
import { badly, looking, onHost } from './looking.js';
import type { Look } from './instance.js';

export interface SeenOffsite {
  readonly checks: Check[];
  /** Of the newest backup there; null when there is none, undefined when that was not seen. */
  readonly newest: Date | null | undefined;
}

function filed(name: string, at: Host, { domain }: InstanceConfig, offsite: OffsiteConfig): Subject {
  const subject = `off-site ${offsite.name}`;
  return { name, subject, host: at.name, instance: domain, offsite: offsite.name };
}

/** One off-site, as it is seen from the host that fills it and from this machine, which reads it. */
export async function lookAtOffsiteOf(
  look: Look,
  here: Host,
  offsite: OffsiteConfig,
  instance: Instance | null,
): Promise<SeenOffsite> {
  const { host, config } = look;
  const about = (name: string, at: Host): Subject => filed(name, at, config, offsite);
  let newest: Date | null | undefined;
  const fromHost = await looking(about('offsite', host), async () => {
    const filled = await fill(look, about('offsite', host), offsite);
    ({ newest } = filled);
    return filled.checks;
  });
  const [missing] = fromHost.filter(({ name }) => name === 'offsite-missing');
  const [place, read] = await Promise.all([
    isFolder(offsite)
      ? looking(about('offsite-place', host), () =>
          folder(look, about('offsite-place', host), offsite.repository, instance, missing !== undefined),
        )
      : [],
    config.host.kind === 'local' || missing !== undefined ? [] : lookFromHere(here, config, offsite),
  ]);
  return { checks: [...fromHost, ...place, ...read], newest };
}

/** From this machine alone, which reads every copy back; nothing for a folder that only the instance's host sees. */
export async function lookFromHere(
  here: Host,
  config: InstanceConfig,
  offsite: OffsiteConfig,
): Promise<Check[]> {
  if (isFolder(offsite)) return [];
  const about = filed('offsite-reading', here, config, offsite);
  return looking(about, () => readHere(here, about, config, offsite));
}

/** From the instance's host: there, opened by our password, and taking what is written. */
async function fill(look: Look, about: Subject, offsite: OffsiteConfig): Promise<SeenOffsite> {
  const { host, config, last } = look;
  const tools = await Promise.all(toolsFor(offsite).map((name) => findTool(host, name)));
  const at = {
    host,
    tool: async (name: ToolName) => (await findTool(host, name)).path,
    instance: config.host.kind === 'local' ? null : config.domain,
  };
  if (tools.some((tool) => !tool.there))
    return { checks: [await unbrought(look, about, offsite)], newest: undefined };
  try {
    return await lookAtOffsite(at, offsite, config.domain, async (open) => {
      await open.check();
      const writes = await proveWriting(open, host, offsite);
      const opens = `opens with its ${offsite.kind === 'restic' ? 'password' : 'keys'}${host.name === 'local' ? '' : ` from ${host.name}`}`;
      const proof =
        writes === 'proven' ? '; something was written there and removed' : '; writing was not tried';
      // What this machine remembers of its runs spares asking: an off-site with many backups takes a while to list them.
      return {
        checks: [good(about, opens + proof)],
        newest: last === null ? await newestOf(open) : undefined,
      };
    });
  } catch (error) {
    if (error instanceof Failure && error.type === 'NotFound')
      return { checks: [notMade(about, offsite.name)], newest: undefined };
    throw error;
  }
}

/** Not an error of anybody's: the next step. */
function notMade(about: Subject, name: string): Check {
  return warning(
    { ...about, name: 'offsite-missing' },
    'Nothing was set up there yet.',
    `permafrost offsite init ${name}`,
  );
}

/** The tool is not on the host yet: the first run, or `offsite init`, brings it. */
async function unbrought({ host }: Look, about: Subject, offsite: OffsiteConfig): Promise<Check> {
  if (!isFolder(offsite))
    return good(
      about,
      `${offsite.kind} is brought to ${host.name} by the first run; from there nothing was tried yet`,
    );
  const { exitCode } = await host.run(['test', '-e', `${offsite.repository}/config`], { okCodes: [0, 1] });
  if (exitCode !== 0) return notMade(about, offsite.name);
  return good(
    about,
    `there is a repository in ${offsite.repository}; restic, to open it, is brought by the first run`,
  );
}

/**
 * Reading proves the way and the password. Writing is proven by a lock, which every restic writes and removes again; where
 * the folder's own rights say no, it is not tried: restic would try for long.
 */
async function proveWriting(
  open: Offsite,
  host: Host,
  offsite: OffsiteConfig,
): Promise<'proven' | 'not proven'> {
  if (open.proveWriting === undefined) return 'not proven';
  if (isFolder(offsite) && (await closedTo(host, offsite.repository, [], false)) !== null)
    return 'not proven';
  try {
    await open.proveWriting();
    return 'proven';
  } catch (error) {
    if (!(error instanceof Failure) || error.type !== 'CommandTimedOut') throw error;
    throw new Failure(
      'OffsiteUnavailable',
      `off-site ${offsite.name} opens from ${host.name}, but nothing could be written there in time`,
      {
        host: host.name,
        next: 'See whether that user may write there, and whether the place is full or read-only',
      },
    );
  }
}

/** A repository that is a folder on the host. */
function isFolder(offsite: OffsiteConfig): offsite is ResticConfig {
  return offsite.kind === 'restic' && offsite.repository.startsWith('/');
}

async function newestOf(open: Offsite): Promise<Date | null> {
  const [newest] = (await open.list()).sealed;
  return newest === undefined ? null : timeOfBackup(newest.backup);
}

/** A folder on the host: does it lie where the instance lies, may it be written, is there room? */
async function folder(
  { host, facts, last }: Look,
  about: Subject,
  repository: string,
  instance: Instance | null,
  missing: boolean,
): Promise<Check[]> {
  const findings: Check[] = [];
  const users = facts.root || instance === null ? [] : [instance.appUser];
  const closed = await closedTo(host, repository, users, missing);
  if (closed !== null) {
    const detail = missing
      ? `${repository} cannot be made by ${closed} on ${host.name}.`
      : `${repository} cannot be written by ${closed} on ${host.name}.`;
    const fix = missing
      ? `${onHost(host)}as root: install -d -m 700 -o ${closed} ${repository}`
      : `${onHost(host)}as root: chown -R ${closed} ${repository}; or see whether it is mounted read-only`;
    findings.push(bad({ ...about, name: 'offsite-writable' }, detail, fix));
  }
  const sources =
    instance === null ? [] : [instance.root, ...(instance.media === null ? [] : [instance.media.path])];
  const shared = await sharingDisk(host, repository, sources);
  if (shared.length > 0) {
    const detail = `${repository} lies on the same disk as ${shared.join(' and ')}: what takes that disk takes the backups too.`;
    findings.push(
      warning(about, detail, 'Add an off-site on another machine (offsites in the configuration)'),
    );
  }
  const free = await freeBytes(host, repository);
  const parts = Object.values(last?.parts ?? {});
  const next = parts.reduce((sum, part) => sum + part.bytes, 0);
  if (free < next) {
    const detail = `${sizeText(free)} are free in ${repository}, and the last backup has ${sizeText(next)}; only what is new is added, but it is getting tight.`;
    findings.push(
      warning(
        { ...about, name: 'offsite-space' },
        detail,
        'Make room there, or keep fewer backups (retention in the configuration)',
      ),
    );
  }
  return findings;
}

/** The first of the users that fill it who may not write there: the login user, or Mastodon's, who sends the media. */
async function closedTo(
  host: Host,
  repository: string,
  others: readonly string[],
  missing: boolean,
): Promise<string | null> {
  const { user } = await host.facts();
  // A folder that is not there is made in the nearest one that is. A read-only mount fails this test too.
  const script = missing
    ? 'd=$1; until [ -e "$d" ]; do d=$(dirname -- "$d"); done; [ -d "$d" ] && [ -w "$d" ]'
    : 'for d in "$1" "$1/data" "$1/index" "$1/locks" "$1/snapshots"; do [ -w "$d" ] || exit 1; done';
  for (const name of [user, ...(missing ? [] : others)]) {
    const { exitCode } = await host.run(['sh', '-c', script, 'sh', repository], {
      as: name === user ? 'login' : { user: name },
      okCodes: [0, 1],
    });
    if (exitCode !== 0) return name;
  }
  return null;
}

/** From this machine, which reads every copy back. */
async function readHere(
  here: Host,
  about: Subject,
  config: InstanceConfig,
  offsite: OffsiteConfig,
): Promise<Check> {
  const tool = async (name: ToolName) => (await findTool(here, name)).path;
  try {
    await lookAtOffsite({ host: here, tool, instance: null }, offsite, config.domain, (open) => open.check());
    return good(about, 'opens from here, where it is read back');
  } catch (error) {
    if (error instanceof Failure && error.type === 'NotFound') return notMade(about, offsite.name);
    return badly(about, error);
  }
}
