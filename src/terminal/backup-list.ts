import type { BackupId } from '../backups/id.js';
import type { Manifest } from '../backups/manifest.js';
import type { PartName } from '../backups/parts.js';
import {
  formatBytes,
  formatCount,
  formatDistance,
  formatDuration,
  formatFields,
  formatNumber,
  formatTable,
  formatTime,
} from './format.js';
import type { Paint } from './paint.js';
import { plainText } from './plain-text.js';

/** A sealed backup as the off-sites hold it. */
export interface BackupRow {
  backup: BackupId;
  instance: string;
  parts: readonly PartName[];
  bytes: number;
  offsites: readonly string[];
  verifiedAt: string;
  keep: readonly string[];
}

/** The backups of some instances, as tables; newest first, as they come. */
export function listText(
  backups: readonly BackupRow[],
  instances: readonly string[],
  now: Date,
  width = 80,
): string[] {
  return instances.flatMap((instance, index) => {
    const own = backups.filter((backup) => backup.instance === instance);
    const heading = instances.length > 1 ? [...(index === 0 ? [] : ['']), `${instance}:`] : [];
    if (own.length === 0)
      return [...heading, `No backup of ${instance} yet. Make one: permafrost backup ${instance}`];
    const columns = [
      { title: 'backup' },
      { title: 'parts' },
      { title: 'size', align: 'right' as const },
      { title: 'off-sites' },
      { title: 'read back' },
      { title: 'kept as' },
    ];
    const rows = own.map((backup) => [
      backup.backup,
      partsText(backup.parts),
      formatBytes(backup.bytes),
      backup.offsites.join(', '),
      formatDistance(backup.verifiedAt, now),
      keptText(backup.keep),
    ]);
    return [...heading, ...formatTable(columns, rows, width)];
  });
}

/** The first reason alone: the others would not fit. */
function keptText(reasons: readonly string[]): string {
  const [first, ...others] = reasons;
  if (first === undefined) return 'goes next';
  return others.length === 0 ? first : `${first} +${others.length}`;
}

function partsText(parts: readonly PartName[]): string {
  return parts.length === 4 ? 'all four' : parts.join(', ');
}

/** What is in one backup, and where it lies. */
export function manifestText(
  manifest: Manifest,
  offsites: readonly { name: string; verifiedAt: string }[],
  paint: Paint,
  width = 80,
): string[] {
  const parts = formatTable(
    [{ title: 'part' }, { title: 'size', align: 'right' }, { title: 'files', align: 'right' }],
    manifest.parts.map((part) => [part.name, formatBytes(part.bytes), formatNumber(part.files)]),
  );
  return [
    paint.bold(`Backup ${manifest.backup} of ${manifest.instance}`),
    '',
    ...parts.map((line) => `  ${line}`),
    '',
    ...formatFields(
      [
        ...offsites.map(
          ({ name, verifiedAt }) => [name, `sealed; read back ${formatTime(verifiedAt)}`] as const,
        ),
        ...detailFields(manifest),
      ],
      width,
    ),
  ];
}

function detailFields(manifest: Manifest): [string, string][] {
  const { moment, quiesce, versions, database, secrets, media, redis } = manifest;
  const fields: [string, string][] = [];
  if (moment !== undefined) {
    const still = moment.quiesced ? 'the services stood still' : 'while the services ran';
    const kind = moment.kind === 'pinned' ? 'pinned' : "the dump's own";
    fields.push(['moment', `${formatTime(moment.at)}, ${kind}; ${still}`]);
  }
  fields.push([
    'downtime',
    quiesce.mode === 'none' ? 'none' : `${formatDuration(quiesce.downtimeMs)} (${quiesce.mode})`,
  ]);
  const known = [
    ['Mastodon', versions.mastodon],
    ['PostgreSQL', versions.postgresql],
    ['Redis', versions.redis],
  ].filter(([, version]) => version !== null);
  fields.push(['versions', known.map((pair) => pair.join(' ')).join(', ')]);
  if (database !== undefined) {
    const rows = Object.values(database.rowCounts).reduce((sum, count) => sum + count, 0);
    const tables = formatCount(Object.keys(database.rowCounts).length, 'table');
    fields.push([
      'database',
      `${database.name}: ${formatCount(rows, 'row')} in ${tables}; roles ${database.roles}`,
    ]);
    const { delta } = database;
    if (delta !== undefined) {
      fields.push([
        'delta',
        `of a dump of ${formatBytes(delta.dumpBytes)}, against the one of ${delta.full}`,
      ]);
    }
  }
  if (secrets !== undefined) {
    const proof = secrets.proof.proven
      ? `proven: ${formatCount(secrets.proof.tested, 'ciphertext')} of this database opened`
      : `not proven: ${secrets.proof.notes.join('; ') || 'the database holds no ciphertext'}`;
    fields.push(['secrets', `${formatCount(secrets.files.length, 'file')}; ${proof}`]);
  }
  if (media !== undefined) {
    const gone = media.alreadyMissingCount + media.deletedDuringRunCount;
    fields.push([
      'media',
      `${formatCount(media.expected, 'file')} named by the database` +
        (gone === 0 ? '' : `, ${gone} of them missing at the source`),
    ]);
  }
  if (redis !== undefined) fields.push(['redis', formatCount(redis.keys, 'key')]);
  for (const { what, why } of manifest.omitted) fields.push(['left out', plainText(`${what}: ${why}`)]);
  for (const warning of manifest.warnings) fields.push(['warning', plainText(warning)]);
  return fields;
}
