import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { type DatabaseAccess, psql } from '../mastodon/psql.js';
import { besideName } from './database-names.js';
import type { Steps } from './steps.js';
import type { RestoreTarget } from './target.js';

/** The step that gives the new database the name of the old one. @throws Failure `NotFound`, `Refused`. */
export async function databaseSteps(target: RestoreTarget, beside: string, restore: string): Promise<Steps> {
  const { admin, database, host } = target;
  if (admin === null || database === null)
    throw new Failure('Unexpected', 'the target was found without its database');
  const { name } = database;
  const aside = besideName(name, 'before', restore);
  const oids = await oidsOf(host, admin.access, [name, beside, aside]);
  const newOid = oids.get(beside);
  if (newOid === undefined) {
    throw new Failure('NotFound', `the new database ${beside} is not there`, {
      host: host.name,
      next: 'start the restore again',
    });
  }
  if (oids.has(aside)) {
    throw new Failure('Refused', `there is a database ${aside} already`, {
      host: host.name,
      next: 'rename it',
    });
  }
  const oldOid = oids.get(name) ?? '0';
  return {
    steps: [{ kind: 'database', name, beside, aside, newOid, oldOid }],
    lines: [
      oldOid === '0'
        ? `database ${name}: put in place`
        : `database ${name}: replaced; the former one is kept as ${aside}`,
    ],
    warnings: [],
  };
}

/** Databases by name: what they are however they are called. */
export async function oidsOf(
  host: Host,
  admin: DatabaseAccess,
  names: readonly string[],
): Promise<Map<string, string>> {
  const rows = await psql(host, admin, `SELECT datname, oid FROM pg_database`);
  return new Map(
    rows.flatMap(([name = '', oid = '']) => (names.includes(name) ? [[name, oid] as const] : [])),
  );
}
