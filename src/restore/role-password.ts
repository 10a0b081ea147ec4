import { Failure } from '../errors.js';
import { databaseConnection } from '../mastodon/connections.js';
import { psql } from '../mastodon/psql.js';
import { sqlName, sqlText } from '../mastodon/sql-words.js';
import { scramVerifier } from './scram.js';
import { noSteps, type Steps } from './steps.js';
import type { RestoreTarget } from './target.js';

/**
 * The step that gives Mastodon's role the password of the env file that comes with the backup, where the server would not
 * let it in otherwise; the former one comes back with an undo.
 */
export async function passwordStep(
  target: RestoreTarget,
): Promise<Steps & { readonly otherPassword?: string }> {
  const { host, admin, database, appUser } = target;
  if (admin === null || database?.password === undefined) return noSteps;
  const { user, password } = database;
  const maintenance = { ...database, name: admin.access.database.name };
  const said = await psql(host, { database: maintenance, appUser, binDir: database.binDir }, 'SELECT 1').then(
    () => '',
    (error: unknown) => {
      if (error instanceof Failure && error.type !== 'HostUnreachable') return error.message;
      throw error;
    },
  );
  if (said === '') return noSteps;
  if (!/password authentication failed|no password supplied/.test(said)) {
    const warning = `The server does not let ${user} in with the restored env file: ${said.slice(0, 500)}`;
    return { ...noSteps, warnings: [warning] };
  }
  const set = (to: string) => `ALTER ROLE ${sqlName(user)} PASSWORD ${to};\n`;
  const former = await formerPassword(target, user);
  return {
    steps: [{ kind: 'sql', forward: set(sqlText(scramVerifier(password))), back: set(former) }],
    lines: [`password of the database's role ${user}: as in the restored env file`],
    warnings: [],
    ...(admin.superuser ? {} : { otherPassword: password }),
  };
}

/** Of a superuser, what the server itself keeps; else the living env file's password, by which we are in. */
async function formerPassword({ host, admin, livingEnv }: RestoreTarget, user: string): Promise<string> {
  if (admin?.superuser === true) {
    const [[verifier] = []] = await psql(
      host,
      admin.access,
      `SELECT coalesce(rolpassword, '') FROM pg_authid WHERE rolname = :'role'`,
      { variables: { role: user } },
    );
    return verifier === undefined || verifier === '' ? 'NULL' : sqlText(verifier);
  }
  const living = livingEnv === null ? undefined : databaseConnection(livingEnv).password;
  return living === undefined ? 'NULL' : sqlText(scramVerifier(living));
}
