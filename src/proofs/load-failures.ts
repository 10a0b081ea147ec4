import type { Manifest } from '../backups/manifest.js';
import { Failure } from '../errors.js';
import type { LoadTarget, ToLoad } from './load.js';
import { loadExit } from './load-script.js';

/** What pg_restore says when a dump does not load: whose fault it is, in words without what the rows hold. */

/** The server, the disk or the rights: nothing that the dump could help. */
const servers =
  /No space left on device|could not (?:extend|write|open|create|fsync) file|out of (?:shared )?memory|too many connections|remaining connection slots|connection to server|could not connect|server closed the connection|terminating connection|shutting down|starting up|permission denied|must be (?:owner|superuser|member)|another load into this database|No such file or directory|Killed/i;

export function loadFailure({
  target,
  manifest,
  ended,
}: {
  target: LoadTarget;
  manifest: Manifest;
  ended: { exitCode: number; stderrTail: string };
}): Failure {
  const { host } = target;
  const said = wordsOf(ended.stderrTail);
  const about = { host: host.name };
  if (ended.exitCode === loadExit.notAnalyzed) {
    return new Failure('CommandFailed', `ANALYZE of the loaded database failed on ${host.name}: ${said}`, {
      ...about,
      next: 'see the message of PostgreSQL; it is tried again',
    });
  }
  if (ended.exitCode === loadExit.busy || servers.test(ended.stderrTail)) {
    return new Failure('CommandFailed', `the dump could not be loaded on ${host.name}: ${said}`, {
      ...about,
      next: /No space left|extend file/.test(ended.stderrTail)
        ? 'make room where the database lies on that host'
        : 'see the message of PostgreSQL; it is tried again',
    });
  }
  const extensions = (manifest.database?.extensions ?? []).filter(({ name }) => name !== 'plpgsql');
  if (extensions.length > 0 && ofExtension.test(ended.stderrTail)) {
    const names = extensions.map(({ name }) => name).join(', ');
    return new Failure(
      'ToolMissing',
      `the dump of ${manifest.backup} holds something of an extension that the server on ${host.name} lacks: ${said}`,
      { ...about, next: `install there what the source had (${names}), and try again` },
    );
  }
  return notLoadable(host.name, manifest, said, ended.stderrTail);
}

/** An index or a column that only an extension can make: that the server lacks it says nothing of the backup. */
const ofExtension = /(?:access method|operator class|type) ".*" does not exist/;

/** pg_restore could not so much as list the dump. */
export function listFailure(
  { target, dump }: ToLoad,
  manifest: Manifest,
  said: { exitCode: number; stderr: string },
): Failure {
  const { host } = target;
  if (said.exitCode >= 126) {
    return new Failure(
      'ToolMissing',
      `pg_restore is not on ${host.name}: ${said.stderr.trim().slice(-500)}`,
      {
        host: host.name,
        next: 'install the PostgreSQL client there, in the major version of the dump or newer',
      },
    );
  }
  if (/Permission denied|No such file or directory/.test(said.stderr)) {
    return new Failure('CommandFailed', `${dump} on ${host.name} cannot be read: ${wordsOf(said.stderr)}`, {
      host: host.name,
      next: 'it is fetched again by another run',
    });
  }
  return notLoadable(host.name, manifest, wordsOf(said.stderr), said.stderr);
}

function notLoadable(host: string, manifest: Manifest, words: string, said: string): Failure {
  const newer = /unsupported version \([\d.]+\) in file header|unrecognized configuration parameter/.test(
    said,
  );
  const madeBy = manifest.versions.pgDump ?? 'a newer PostgreSQL';
  const what = newer
    ? `the dump of ${manifest.backup} is of a newer PostgreSQL (made by ${madeBy}) than the one on ${host}`
    : `the dump of ${manifest.backup} does not load on ${host}`;
  return new Failure('PartInvalid', `${what}: ${words}`, {
    host,
    next: newer
      ? `install that PostgreSQL on ${host} (on Debian: postgresql-NN from apt.postgresql.org), and try again`
      : nextOf(said),
  });
}

function nextOf(said: string): string {
  if (/is duplicated|could not create unique index/.test(said)) {
    return 'the source has duplicates that a broken index hides: repair it there (tootctl maintenance fix-duplicates, then REINDEX), and make a new backup; older backups may be sound: permafrost drill --help';
  }
  if (/type ".*" does not exist|extension ".*"|operator class|access method/.test(said))
    return 'is an extension of the source missing on this server? Install it, and try again';
  return 'try the same backup from another off-site, or an older one (permafrost list)';
}

/**
 * The errors in what pg_restore said, in one line. Values of rows are left out: they are people's addresses, or tokens.
 */
export function wordsOf(stderr: string): string {
  const lines = stderr.split('\n').map((line) => line.trim());
  const first = lines.findIndex((line) => /error|FATAL/i.test(line));
  const kept = lines
    .slice(Math.max(0, first))
    .filter((line) => line !== '' && !/^(?:Command was:|HINT:|LOCATION:|STATEMENT:)/.test(line))
    .map((line) => withoutValues(line).replace(/^(CONTEXT:\s+COPY [^,]+, line \d+).*$/, '$1'))
    .filter((line, at) => at === 0 || /^(?:pg_restore|psql|DETAIL|CONTEXT|ERROR|FATAL)/.test(line));
  return (
    kept
      .join(' ')
      .replace(/pg_restore: (?:error: )?|psql:<stdin>:\d+: /g, '')
      .slice(0, 700) || 'it said nothing'
  );
}

/** Less the values of rows that PostgreSQL cites: those of a key, and what it could not read or take. */
export function withoutValues(said: string): string {
  return said
    .replace(/=\(.*\)/g, '=(…)')
    .replace(
      /(invalid (?:input )?(?:syntax|value)|malformed \w+ literal|out of range|too long)(.*?): ".*"/g,
      '$1$2: "…"',
    )
    .replace(/".*"( is out of range|: invalid)/g, '"…"$1')
    .replace(/(\bvalue )".*"/g, '$1"…"')
    .replace(/(Failing row contains \().*/, '$1…).')
    .replace(/(Token|Character with value|JSON data, line \d+:).*/, '$1 …');
}

/** Rights that could not be given again: their roles are not on this server. */
export function afterGrants(said: string, host: string): string[] {
  const roles = new Set(
    [...said.matchAll(/role "((?:[^"]|"")+)" does not exist/g)].map(([, role = '']) => role),
  );
  if (roles.size > 0)
    return [
      `rights of the roles ${[...roles].join(', ')}, which are not on the server of ${host}, were left out`,
    ];
  return said.includes('error:')
    ? [`some rights of other roles could not be given again: ${wordsOf(said)}`]
    : [];
}
