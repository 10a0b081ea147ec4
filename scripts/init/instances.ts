import { Failure } from '../../src/errors.js';
import type { Host } from '../../src/hosts/host.js';
import { type Candidate, discover, type Discovery, placesLookedAt } from '../../src/mastodon/discover.js';
import { lookAt, type LookedAt } from '../../src/mastodon/look.js';
import { formatCount } from '../../src/terminal/format.js';
import { suggestion } from '../cli/suggest.js';
import type { Asker } from './ask.js';
import type { InitOptions } from './options.js';

/** What was found on a host, and what looked like an instance and is not written. */
export interface FoundInstances {
  readonly instances: readonly LookedAt[];
  /** A sentence each. */
  readonly leftOut: readonly string[];
}

/**
 * Finds the instances of a host: those of `--root` and `--instance`, else all that run.
 *
 * @throws Failure `NotFound` when there is none, saying where it was looked; `ConfigInvalid` for one that is not there.
 */
export async function findInstances(
  host: Host,
  asker: Asker | undefined,
  options: InitOptions,
): Promise<FoundInstances> {
  const discovery = await discover(host, options.root);
  const { found, leftOut } = await lookAtAll(host, discovery);
  const chosen = await choose(asker, options, found);
  if (chosen.length === 0) throw noneFound(host, options, discovery, leftOut);
  return { instances: chosen, leftOut };
}

async function lookAtAll(
  host: Host,
  { candidates }: Discovery,
): Promise<{ found: LookedAt[]; leftOut: string[] }> {
  const looked = await Promise.all(candidates.map((candidate) => tryToLook(host, candidate)));
  const found: LookedAt[] = [];
  const leftOut: string[] = [];
  for (const one of looked) {
    if ('why' in one) {
      if (one.why !== null) leftOut.push(one.why);
      continue;
    }
    const named = one.foundBy === 'you';
    const first = found.find(({ domain }) => domain === one.domain);
    // A copy that somebody has kept has an env file, too.
    const idle =
      !named && one.units instanceof Failure && found.some(({ units }) => !(units instanceof Failure));
    if (first !== undefined) {
      leftOut.push(`${one.root} is ${one.domain} as well; ${first.root} is the one that was taken.`);
    } else if (idle) {
      leftOut.push(`${one.root} (${one.domain}): nothing runs it. Take it with --root ${one.root}.`);
    } else {
      found.push(one);
    }
  }
  return { found, leftOut };
}

/** @returns `why: null` for what is not Mastodon's at all. */
async function tryToLook(host: Host, candidate: Candidate): Promise<LookedAt | { why: string | null }> {
  try {
    return await lookAt(host, candidate);
  } catch (error) {
    if (!(error instanceof Failure) || error.type === 'HostUnreachable') throw error;
    if (error.type === 'NotFound' && candidate.foundBy !== 'you') return { why: null };
    return { why: [`${candidate.root}: ${error.message}`, error.next].filter(Boolean).join(' ') };
  }
}

async function choose(
  asker: Asker | undefined,
  { instance: wanted }: InitOptions,
  found: readonly LookedAt[],
): Promise<LookedAt[]> {
  const domains = found.map(({ domain }) => domain);
  const unknown = wanted.find((domain) => !domains.includes(domain));
  if (unknown !== undefined && found.length > 0) {
    throw new Failure('ConfigInvalid', `There is no instance ${unknown} on that host.`, {
      next: suggestion(unknown, domains),
    });
  }
  const named = wanted.length > 0 ? wanted : domains;
  const several = wanted.length === 0 && domains.length > 1 && asker !== undefined;
  const chosen = several ? await asker.some('Which of these instances?', domains) : named;
  return found
    .filter(({ domain }) => chosen.includes(domain))
    .sort((one, other) => (one.domain < other.domain ? -1 : 1));
}

function noneFound(
  host: Host,
  { root }: InitOptions,
  { closed, contained }: Discovery,
  leftOut: readonly string[],
): Failure {
  const where = host.name === 'local' ? 'this machine' : host.name;
  if (root.length > 0) {
    return new Failure('NotFound', leftOut.join(' '), {
      next: 'Name the folder that holds .env.production with --root.',
    });
  }
  const more = [
    ...leftOut,
    ...(closed.length > 0 ? [`Closed to us: ${closed.join(', ')}.`] : []),
    ...(contained.length > 0
      ? [
          `${formatCount(contained.length, 'container runs', 'containers run')} Mastodon here (in ${contained.join(', ')} inside); containers are not looked into yet.`,
        ]
      : []),
  ];
  const message = `No Mastodon was found on ${where}. Looked at: ${placesLookedAt.join('; ')}.`;
  return new Failure('NotFound', [message, ...more].join(' '), {
    next:
      'Name the folder that holds .env.production with --root FOLDER' +
      (host.name === 'local' ? ', or another machine with --ssh USER@HOST.' : '.'),
  });
}
