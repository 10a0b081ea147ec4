import type { Manifest } from '../../src/backups/manifest.js';
import { formatBytes, formatCount } from '../../src/terminal/format.js';

/** What lies in the folder, by its name there. */
export interface Laid {
  readonly name: string;
  readonly what: string;
  /** Commands that a person may want, as they are typed in the folder. */
  readonly commands: readonly string[];
}

/** @param has the names that were laid out. */
export function laidOut(manifest: Manifest, has: (name: string) => boolean): Laid[] {
  const part = (name: string) => manifest.parts.find((one) => one.name === name);
  const files = part('media')?.files ?? 0;
  const all: Laid[] = [
    {
      name: 'database.dump',
      what: `the database ${manifest.database?.name ?? ''}, in PostgreSQL's custom format`,
      commands: [
        'pg_restore --list database.dump',
        'pg_restore --table=accounts --data-only -f accounts.sql database.dump    # one table, as SQL',
        'createdb look && pg_restore --no-owner --no-acl -d look -j 2 database.dump    # all of it, into a new database',
      ],
    },
    {
      name: 'database.sql',
      what: `the database ${manifest.database?.name ?? ''}, as SQL`,
      commands: ['createdb look && psql -X -v ON_ERROR_STOP=1 -d look -f database.sql'],
    },
    { name: 'roles.sql', what: "the server's roles, maybe with the hashes of their passwords", commands: [] },
    {
      name: 'secrets',
      what: 'the configuration and the keys, below the paths that they had: SECRETS in the clear',
      commands: ['find secrets -type f'],
    },
    {
      name: 'media',
      what: `${formatCount(files, 'file')} that users have uploaded, with their rights and times`,
      commands: ['(cd media && sha256sum --check --quiet ../media.index)'],
    },
    { name: 'media.index', what: 'the hash, size, rights and owner of each of them', commands: [] },
    {
      name: 'dump.rdb',
      what: `Redis ${manifest.versions.redis ?? ''}: queues, feeds, counters`,
      commands: [
        "redis-server --port 0 --unixsocket $PWD/redis.sock --dir $PWD --dbfilename dump.rdb --appendonly no --save ''",
      ],
    },
    {
      name: 'manifest.json',
      what: 'what the backup says of itself: versions, hashes, row counts',
      commands: [],
    },
  ];
  return all.filter(({ name }) => has(name));
}

/** README.txt of the folder. */
export function readmeText(
  manifest: Manifest,
  { from, laid, problems }: { from: string; laid: readonly Laid[]; problems: readonly string[] },
): string {
  const bytes = manifest.parts.reduce((sum, part) => sum + part.bytes, 0);
  const moment = manifest.moment?.at ?? manifest.startedAt;
  const width = Math.max(...laid.map(({ name }) => name.length));
  const commands = laid.flatMap((one) => one.commands);
  return [
    `Backup ${manifest.backup} of ${manifest.instance}, as it was at ${moment},`,
    `taken from the off-site ${from} by Permafrost. Mastodon ${manifest.versions.mastodon ?? '(version unknown)'}, ` +
      `PostgreSQL ${manifest.versions.postgresql ?? '(version unknown)'}; the whole backup has ${formatBytes(bytes)}.`,
    '',
    'Whoever can read this folder can read what users wrote to each other, and become the',
    'instance: remove it when you have what you need.',
    '',
    ...(problems.length === 0
      ? ['Every file was compared with the SHA-256 that it was captured with.', '']
      : [
          'NOT ALL OF IT IS HERE. What is here was compared with the SHA-256 that it was captured',
          'with; missing or damaged on the off-site:',
          '',
          ...problems.map((problem) => `  ${problem}`),
          '',
        ]),
    ...laid.map(({ name, what }) => `  ${name.padEnd(width)}  ${what}`),
    '',
    'Commands, to be typed in this folder:',
    '',
    ...commands.map((command) => `  ${command}`),
    '',
  ].join('\n');
}
