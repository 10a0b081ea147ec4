import type { Manifest } from '../backups/manifest.js';
import type { PartName } from '../backups/parts.js';
import type { Afterwards } from '../backups/restore-report.js';
import { Failure } from '../errors.js';
import { anyExitCode } from '../hosts/host.js';
import { shellLine } from '../hosts/quote.js';
import type { FollowJob } from '../offsite/offsite.js';
import type { RestoreTarget } from './target.js';

/** Something of Mastodon's own that is to be run after a restore. */
export interface AfterwardsStep {
  readonly name: Afterwards;
  /** What for, a sentence. */
  readonly why: string;
  /** What is run in Mastodon's root, as its user. */
  readonly argvs: readonly (readonly string[])[];
  /** The same, for a person to type. */
  readonly lines: readonly string[];
}

type Where = Pick<RestoreTarget, 'root' | 'appUser' | 'env' | 'inPlace' | 'media'>;

const tootctl = {
  cache: [['cache', 'clear']],
  feeds: [['feeds', 'build']],
  // Rows of a cache that is not in the backup say that its files are there; only these make Mastodon fetch them again.
  media: [
    ['media', 'remove', '--days', '0'],
    ['accounts', 'refresh', '--all'],
    ['preview_cards', 'remove', '--days', '0'],
    ['emoji', 'purge', '--remote-only'],
  ],
  search: [['search', 'deploy']],
} as const satisfies Record<Afterwards, readonly (readonly string[])[]>;

const why: Readonly<Record<Afterwards, string>> = {
  cache: 'What Mastodon remembers of the former database is forgotten.',
  feeds: 'Home feeds live in Redis: they are built anew from the database.',
  media:
    "Copies of other servers' media are not in the backup: Mastodon fetches them again when they are looked at.",
  search: 'The search index is built anew from the database.',
};

/** Which apply after a restore of these parts (mastodon/documentation content/en/admin/migrating.md, tootctl.md). Pure. */
export function afterwardsOf(
  target: Where,
  manifest: Manifest,
  parts: readonly PartName[],
): AfterwardsStep[] {
  const database = parts.includes('database');
  const applies: Record<Afterwards, boolean> = {
    cache: database || parts.includes('redis'),
    feeds: database && !parts.includes('redis'),
    media: database && !target.inPlace && target.media !== null && manifest.media?.cache === 'exclude',
    search: database && target.env.get('ES_ENABLED') === 'true',
  };
  return (Object.keys(applies) as Afterwards[])
    .filter((name) => applies[name])
    .map((name) => {
      const argvs = tootctl[name].map((words) => ['bin/tootctl', ...words]);
      return { name, why: why[name], argvs, lines: argvs.map((argv) => lineOf(target, argv)) };
    });
}

function lineOf({ root, appUser }: Where, argv: readonly string[]): string {
  const inside = `cd ${shellLine([root])} && RAILS_ENV=production ${shellLine(argv)}`;
  return shellLine(['sudo', '-iu', appUser, 'sh', '-c', inside]);
}

/** With the PATH on which Mastodon's handbook puts Ruby (rbenv), before what the host has. */
const runScript = `export RAILS_ENV=production NODE_ENV=production PATH="$HOME/.rbenv/shims:$HOME/.rbenv/bin:/usr/local/bin:$PATH"
cd -- "$1" && shift && exec "$@"`;

/** Runs one as Mastodon's user, each command a job of its own. What fails is told, never thrown, but for a lost host. */
export async function runAfterwards(
  target: Pick<RestoreTarget, 'root' | 'appUser'>,
  step: AfterwardsStep,
  follow: FollowJob,
): Promise<{ name: Afterwards; ok: boolean; detail: string }> {
  const { name } = step;

  for (const [at, argv] of step.argvs.entries()) {
    const words = argv.join(' ');
    try {
      const { exitCode, stdoutTail, stderrTail } = await follow(
        `afterwards-${name}-${String(at)}`,
        ['bash', '-c', runScript, 'bash', target.root, ...argv],
        { as: { user: target.appUser }, cwd: '/', okCodes: anyExitCode },
        () => ({ subject: words }),
      );
      if (exitCode === 0) continue;
      const said = `${stderrTail.trim()}\n${stdoutTail.trim()}`.trim().slice(-500);
      return { name, ok: false, detail: `${words} ended with ${String(exitCode)}: ${said}` };
    } catch (error) {
      if (!(error instanceof Failure) || error.type === 'HostUnreachable') throw error;
      return { name, ok: false, detail: `${words}: ${error.message}` };
    }
  }
  return { name, ok: true, detail: step.why };
}
