import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { psql } from '../mastodon/psql.js';
import { sqlName, sqlText } from '../mastodon/sql-words.js';
import type { AdminAccess } from './admin.js';
import { scramVerifier } from './scram.js';

/** A role of the backup, as pg_dumpall has written it. */
export interface DumpedRole {
  readonly name: string;
  /** `NOSUPERUSER INHERIT … LOGIN … PASSWORD '…'` */
  readonly attributes: string;
  /** Statements about it: settings, memberships. */
  readonly statements: readonly string[];
}

const word = String.raw`("(?:[^"]|"")*"|[^\s";]+)`;
const created = new RegExp(`^CREATE ROLE ${word};$`);
const altered = new RegExp(`^ALTER ROLE ${word} WITH (.*);$`);
const setting = new RegExp(`^ALTER ROLE ${word} SET .*;$`);
const granted = new RegExp(`^GRANT ${word} TO ${word}.*;$`);

/** Reads what `pg_dumpall --globals-only` prints: each statement is one line. Pure. */
export function readRoles(sql: string): DumpedRole[] {
  const roles = new Map<string, { attributes: string; statements: string[] }>();
  const role = (written: string | undefined) =>
    written === undefined ? undefined : roles.get(nameOf(written));
  for (const line of sql.split('\n')) {
    const [, name] = created.exec(line) ?? [];
    if (name !== undefined) roles.set(nameOf(name), { attributes: '', statements: [] });
    const [, who, attributes] = altered.exec(line) ?? [];
    const known = role(who);
    if (known !== undefined && attributes !== undefined) known.attributes = attributes;
    role(setting.exec(line)?.[1])?.statements.push(line);
    // Without the grantor, who may not be there.
    const [, group, member] = granted.exec(line) ?? [];
    role(member)?.statements.push(`GRANT ${group ?? ''} TO ${member ?? ''};`);
  }
  return [...roles].map(([name, found]) => ({ name, ...found }));
}

function nameOf(written: string): string {
  return written.startsWith('"') ? written.slice(1, -1).replaceAll('""', '"') : written;
}

/** What a restore needs of roles. */
export interface NeededRoles {
  /** Mastodon's, and its password in the env file. */
  readonly app: string;
  readonly password?: string;
  /** Of the backup; empty: Mastodon's alone. */
  readonly dumped: readonly DumpedRole[];
}

/** Those of the roles that the server lacks. @throws what `psql` throws. */
export async function missingRoles(
  host: Host,
  admin: AdminAccess,
  { app, dumped }: NeededRoles,
): Promise<string[]> {
  const rows = await psql(host, admin.access, 'SELECT rolname FROM pg_roles');
  const there = new Set(rows.map(([name = '']) => name));
  const wanted = [app, ...dumped.map(({ name }) => name)].filter((name) => !name.startsWith('pg_'));
  return [...new Set(wanted)].filter((name) => !there.has(name));
}

/**
 * Makes the roles that are missing. None becomes a superuser: on another server that is for its administrator to say.
 *
 * @returns a sentence for each that is less than it was, or could not be made.
 * @throws Failure `Refused` when Mastodon's own role cannot be made.
 */
export async function makeRoles(
  host: Host,
  admin: AdminAccess,
  missing: readonly string[],
  { app, password, dumped }: NeededRoles,
): Promise<string[]> {
  const warnings: string[] = [];
  const run = async (statement: string): Promise<Failure | undefined> => {
    try {
      await psql(host, admin.access, statement);
      return undefined;
    } catch (error) {
      if (!(error instanceof Failure) || error.type === 'HostUnreachable') throw error;
      return error;
    }
  };
  for (const name of missing) {
    const role = dumped.find((one) => one.name === name);
    const was = role?.attributes ?? '';
    const attributes = was.replace(/\bSUPERUSER\b/, 'NOSUPERUSER');
    const own = `LOGIN CREATEDB${password === undefined ? '' : ` PASSWORD ${sqlText(scramVerifier(password))}`}`;
    const failure = await run(`CREATE ROLE ${sqlName(name)} ${name === app ? own : attributes}`);
    if (failure !== undefined && !/already exists/.test(failure.message)) {
      if (name === app) {
        throw new Failure('Refused', `Mastodon's role ${app} cannot be made: ${failure.message}`, {
          host: host.name,
          next: `make it as an administrator of that server: CREATE ROLE ${sqlName(app)} LOGIN CREATEDB PASSWORD …`,
        });
      }
      warnings.push(`The role ${name} of the backup was not made: ${failure.message.slice(0, 300)}`);
    } else if (attributes !== was) {
      warnings.push(`The role ${name} was a superuser in the backup, and is none here.`);
    }
  }
  for (const role of dumped.filter(({ name }) => missing.includes(name))) {
    for (const statement of role.statements) {
      const failure = await run(statement);
      if (failure !== undefined) warnings.push(`Of the role ${role.name}, this was left out: ${statement}`);
    }
  }
  return warnings;
}
