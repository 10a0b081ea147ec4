import type { DrillReport } from '../../../src/backups/drill-report.js';
import type { RestoreReport, UndoReport } from '../../../src/backups/restore-report.js';

const runId = '0192f0a1-7b3c-7d1e-9a55-0c6f3a1b2c3d';

/** A drill of depth `application` that has proven everything. */
export const passedDrill: DrillReport = {
  ...{ drill: '20261201T050000Z', instance: 'example.social', backup: '20261201T031700Z', from: 'vault' },
  ...{ host: 'local', depth: 'application', status: 'passed', passed: true },
  checks: [
    check('manifest-signature', 'signed by 3f0c9a1be2d44c77, a key of this machine', 12),
    check('part-hashes', '4 parts, 1.3 GB: each with the hash that the manifest says', 41_200),
    check('media-index', '128 411 files, 96.2 GB, listed to the end', 900),
    check('media-sample', '500 of 128 411 files read back, 381 MB; all as listed', 22_800),
    check('secrets-archive', '9 files, with modes and owners', 40),
    check('redis-dump', '48 211 keys, 3 queues, as the manifest says', 2_300),
    check('pg-restore', '147 tables, without an error', 248_000),
    check('row-counts', '147 tables, 9 812 345 rows: as many as were counted', 31_000),
    check('sequences', '88 sequences, none behind its table', 300),
    check('indexes-valid', '402 indexes', 20),
    check('btree-integrity', '371 B-trees, with every row of their tables (`amcheck`)', 96_000),
    check('unique-indexes', '119 of the schema 2025_10_20_000000, all there', 60),
    check('functions', '`timestamp_id` is there and gives ids', 12),
    check('foreign-keys', '231 keys, no row without the one that it refers to', 18_400),
    check('secrets-open', '12 ciphertexts opened with the keys of the same backup', 180),
    check('actor-keys', '50 accounts: private and public key belong together', 400),
    check('media-complete', '61 204 files that the database names, none missing', 4_100),
    check('newest-status', '2026-12-01 03:16:41 UTC, 19 s before the moment of the backup', 10),
    check('boots', 'Mastodon 4.5.2 answered after 31 s', 31_000),
    check('webfinger', 'acct:admin@example.social', 200),
    check('account-lookup', '@admin, with 12 followers as the database has them', 150),
    check('instance', 'example.social, 4.5.2, 312 users', 130),
    check('statuses', '20 posts of @admin', 240),
    check('media-served', '10 files, byte for byte', 310),
    check('no-way-out', 'loopback alone, no route, no socket of the host', 90),
  ],
  notProven: ['Search in Elasticsearch: it is built anew from the database (`tootctl search deploy`).'],
  warnings: [],
  times: {
    ...{ fetchMs: 162_000, fetchedBytes: 1_312_000_000, mediaMs: 22_800, mediaBytes: 381_000_000 },
    ...{ mediaFiles: 500, loadMs: 248_000, bootMs: 31_000 },
  },
  recoveryTimeMs: 441_000,
  forecast: {
    totalMs: 6_190_000,
    detail: 'all but media 7 min 21 s, media 1 h 36 min (by 500 that were read)',
  },
  durationMs: 702_000,
  ...{ workflowId: 'drill/example.social-2026-12-01T05:00:00Z', runId },
  ...{ startedAt: '2026-12-01T05:00:04.120Z', finishedAt: '2026-12-01T05:11:46.000Z' },
};

/** One that has found something. */
export const badDrill: DrillReport = {
  ...passedDrill,
  ...{ status: 'findings', passed: false, depth: 'database', from: 'box' },
  checks: passedDrill.checks.slice(0, 18).map((one) => {
    if (one.name === 'row-counts')
      return found('row-counts', '`statuses` has 1 204 331 rows, and 1 204 332 were counted', 31_000);
    if (one.name === 'unique-indexes')
      return found(
        'unique-indexes',
        '`index_accounts_on_username_and_domain_lower` of `accounts` is not there: accounts could be doubled',
        60,
      );
    return one;
  }),
  notProven: ['The application: the database is not what it should be.'],
  warnings: ['`pgroonga` is not installed on local: its 1 index was left out'],
  error: {
    ...{ code: 6, type: 'NotRestorable', message: '20261201T031700Z on box would not restore as it is' },
    next: 'vault has the same backup and passed on 2026-11-01: restore from there (`--from vault`); look after box, and make a new backup: `permafrost backup example.social`',
  },
};

export const doneRestore: RestoreReport = {
  ...{ restore: '20261202T091500Z', instance: 'example.social', backup: '20261201T031700Z' },
  ...{ from: 'vault', to: 'local', parts: ['database', 'secrets', 'media'], status: 'restored' },
  ...{ workflowId: 'restore/example.social', runId },
  ...{ startedAt: '2026-12-02T09:15:00.000Z', finishedAt: '2026-12-02T09:27:31.000Z' },
  ...{ downtimeMs: 4_830, services: 'up' },
  plan: {
    ...{ to: 'local', inPlace: true, services: ['mastodon-web', 'mastodon-sidekiq', 'mastodon-streaming'] },
    parts: [
      { name: 'database', bytes: 1_204_000_000, files: 1, what: 'into a new database, then swapped' },
      { name: 'secrets', bytes: 41_000, files: 9, what: '2 files change' },
      { name: 'media', bytes: 96_200_000_000, files: 128_411, what: '31 files are missing and are added' },
    ],
    warnings: ['PostgreSQL here is 16, the backup was made with 15'],
    lost: {
      ...{ newestStatusAt: '2026-12-01T03:16:41Z', ageMs: 107_900_000 },
      detail: 'Everything that was posted after the backup: 1 204 posts, 18 accounts.',
    },
    ...{ expectedMs: 640_000, leaseMs: 900_000, budgetMs: 600_000, needBytes: 5e9, freeBytes: 80e9 },
    changedSecrets: ['SMTP_PASSWORD'],
    changedFiles: ['/etc/nginx/sites-available/mastodon'],
    redis: 'its feeds and waiting jobs are those of now; ask for it with `--parts redis`',
  },
  checks: passedDrill.checks.slice(6, 18),
  notProven: [],
  media: { added: 31, present: 128_380, bytes: 24_100_000 },
  changedSecrets: ['SMTP_PASSWORD'],
  undoUntil: '2026-12-09T09:27:00.000Z',
  ran: [{ name: 'cache', ok: true, detail: '`tootctl cache clear`' }],
  next: [
    'sudo -u mastodon RAILS_ENV=production bin/tootctl feeds build',
    'sudo -u mastodon RAILS_ENV=production bin/tootctl search deploy',
  ],
  phases: [
    phase('plan', '2026-12-02T09:15:00.000Z', '2026-12-02T09:15:06.000Z'),
    phase('fetch', '2026-12-02T09:15:06.000Z', '2026-12-02T09:17:48.000Z', '1.3 GB from vault'),
    phase('load', '2026-12-02T09:17:48.000Z', '2026-12-02T09:22:01.000Z'),
    phase('prove', '2026-12-02T09:22:01.000Z', '2026-12-02T09:24:30.000Z'),
    phase('swap', '2026-12-02T09:24:30.000Z', '2026-12-02T09:24:37.000Z', 'services down for 4.8 s'),
    phase('afterwards', '2026-12-02T09:24:37.000Z', '2026-12-02T09:27:31.000Z'),
  ],
  warnings: [],
};

export const failedRestore: RestoreReport = {
  ...doneRestore,
  ...{ status: 'failed', undoUntil: null, downtimeMs: 0, services: 'untouched', next: [], ran: [] },
  checks: badDrill.checks.slice(6),
  error: {
    ...{ code: 6, type: 'NotRestorable', message: 'what was restored is not the instance: row-counts' },
    next: 'nothing was changed; take another backup or another off-site: `permafrost restore --from vault`',
  },
};

export const doneUndo: UndoReport = {
  ...{ restore: '20261202T091500Z', instance: 'example.social', to: 'local', status: 'undone' },
  ...{ workflowId: 'undo/example.social', runId },
  ...{ startedAt: '2026-12-03T08:00:00.000Z', finishedAt: '2026-12-03T08:00:21.000Z' },
  ...{ downtimeMs: 4_210, services: 'up', next: [], warnings: [] },
  undone: ['the database of before is in place again', '2 files of the secrets', '31 media files stay'],
};

function check(name: string, detail: string, durationMs: number) {
  return { name, passed: true, detail, durationMs };
}

function found(name: string, detail: string, durationMs: number) {
  return { ...check(name, detail, durationMs), passed: false };
}

function phase(
  name: RestoreReport['phases'][number]['name'],
  startedAt: string,
  finishedAt: string,
  detail?: string,
) {
  return { name, state: 'done' as const, startedAt, finishedAt, ...(detail === undefined ? {} : { detail }) };
}
