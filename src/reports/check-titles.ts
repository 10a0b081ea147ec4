import type { Check, DrillDepth } from '../backups/check.js';

/** What each check says in words, by the depth that it belongs to. Names are those of `Check.name`. */
const titles: Readonly<Record<DrillDepth, Readonly<Record<string, string>>>> = {
  files: {
    'manifest-signature': 'The manifest is signed by a key that is trusted',
    'part-hashes': 'Every part came back with its hash',
    'media-index': 'The list of the media is complete',
    'media-sample': 'Media that were read back are what the list says',
    'secrets-archive': 'The archive of the secrets is readable to its end',
    'redis-dump': 'The Redis dump loads, with its keys and jobs',
  },
  database: {
    'pg-restore': 'The database restores without an error',
    'row-counts': 'Every table has the rows that were counted',
    sequences: 'No sequence is behind its table',
    'indexes-valid': 'Every index is valid',
    'btree-integrity': 'Every B-tree index agrees with its table',
    'unique-indexes': "The unique indexes of Mastodon's schema are all there",
    functions: 'The functions that ids depend on exist',
    'foreign-keys': 'Rows refer to rows that exist',
    'secrets-open': "The backup's secrets open what is encrypted in its database",
    'actor-keys': "Accounts' private and public keys belong together",
    'media-complete': 'Every local file that the database names is in the backup',
    'newest-status': 'The newest post is as old as the backup',
  },
  application: {
    boots: 'Mastodon boots on what was restored',
    webfinger: 'It answers webfinger',
    'account-lookup': 'It finds an account',
    instance: 'It describes the instance',
    statuses: "It shows an account's posts as the database has them",
    'media-served': 'It serves media, byte for byte',
    'no-way-out': 'Nothing of it could reach the network',
  },
};

export type Stage = DrillDepth | 'other';

export const stageTitles: Readonly<Record<Stage, string>> = {
  files: 'The files',
  database: 'The database',
  application: 'The application',
  other: 'Besides',
};

const depths: readonly DrillDepth[] = ['files', 'database', 'application'];

export function stageOf({ name }: Pick<Check, 'name'>): Stage {
  return depths.find((depth) => Object.hasOwn(titles[depth], name)) ?? 'other';
}

/** In words; the name itself when it is a new one. */
export function checkTitle(name: string): string {
  const stage = stageOf({ name });
  return stage === 'other' ? name : (titles[stage][name] ?? name);
}
