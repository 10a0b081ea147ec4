import type { Manifest } from '../backups/manifest.js';
import { Failure } from '../errors.js';
import type { Host, Identity } from '../hosts/host.js';
import { databaseEnvironment, passwordFileLine } from '../mastodon/connections.js';
import { type DatabaseAccess, psql } from '../mastodon/psql.js';
import { handOverKeys, keysFolder, takeKeysBack } from '../offsite/keys.js';
import type { LoadTarget } from '../proofs/load.js';
import type { AdminAccess } from './admin.js';
import { createDatabase } from './create-database.js';
import { besideName } from './database-names.js';
import { Journal, type JournalRef, stateOf } from './journal.js';
import { lend, lendingPlace, takeBack } from './lending.js';
import { makeRoles, missingRoles, type NeededRoles, readRoles } from './roles.js';
import type { RestoreTarget, TargetDatabase } from './target.js';

export interface BesideWanted {
  readonly target: RestoreTarget;
  readonly restore: string;
  readonly manifest: Manifest;
  /** The backup's roles on the target (pg_dumpall's SQL); none where they were not captured. */
  readonly roles?: string;
  /** The dump on the target, the login user's: lent to who loads it. */
  readonly dump: string;
}

/** The new database, empty, and who loads it. */
export interface Beside {
  readonly name: string;
  readonly load: LoadTarget;
  /** A superuser's where there is one: for the B-trees alone, nothing of the dump may be run by it. */
  readonly access: DatabaseAccess;
  readonly superuser: boolean;
  /** Where who loads it finds the dump. */
  readonly dump: string;
  /** A private folder of `load.as`. */
  readonly work: string;
  /** What is otherwise than in the backup (another locale), a sentence each. */
  readonly warnings: string[];
  /** Makes the database anew, empty. */
  fresh(): Promise<void>;
}

/**
 * Makes the database that the dump is loaded into, beside the one that it is going to replace, or finds it again. What is
 * made is written down before: `dropBeside` removes it.
 *
 * @throws Failure `Refused`, `CommandFailed`.
 */
export async function createBeside(wanted: BesideWanted): Promise<Beside> {
  const { target, restore, manifest, dump } = wanted;
  const { host, domain, database, admin } = target;
  if (database === null || admin === null)
    throw new Failure('Unexpected', 'the target was found without its database');
  const name = besideName(database.name, 'restore', restore);
  const journal = await Journal.of({ host, domain, restore });
  const needed = await neededRoles(wanted, database);
  const missing = await missingRoles(host, admin, needed);
  const former = await journal.beside();
  const loader = await loaderOf(target, database, admin, missing.includes(database.user));
  const lent = await lendingPlace(host, loader.as, dump, `${domain}-${restore}`, journal.folder);
  const facts = await host.facts();
  const user = lent.user ?? facts.user;
  const keys = keysFolder(user, { folder: facts.folder, instance: domain, run: `restore-${restore}` });
  await journal.noteBeside({
    name,
    admin,
    lent: { user: lent.user, folders: [...lent.folders], keys },
    roles: [...new Set([...(former?.roles ?? []), ...missing])],
  });

  const warnings = await makeRoles(host, admin, missing, needed);
  const create = async () =>
    createDatabase(
      host,
      admin.access,
      { name, owner: database.user, living: database.name, major: database.major },
      manifest,
    );
  warnings.push(...(await create()));
  await lend(host, lent, dump);
  const connection = { ...loader.access.database, name };
  const pgpass = passwordFileLine(connection);
  await handOverKeys(host, loader.as, keys, new Map(pgpass === null ? [] : [['pgpass', pgpass]]));
  const proving = { ...admin.access, database: { ...admin.access.database, name } };
  const access = admin.superuser ? proving : { ...loader.access, database: connection };
  return {
    ...{ name, access, superuser: admin.superuser, dump: lent.dump, work: lent.work, warnings },
    load: {
      ...{ host, access: { ...loader.access, database: connection }, as: loader.as },
      ...{ superuser: admin.superuser, role: database.user },
      ...(admin.superuser ? { admin: proving } : {}),
      environment: {
        ...databaseEnvironment(connection),
        ...(pgpass === null ? {} : { PGPASSFILE: `${keys}/pgpass` }),
      },
    },
    async fresh() {
      await dropDatabase(host, admin, name);
      await create();
    },
  };
}

/** Into a server of its own come all roles of the backup; beside a living instance, Mastodon's alone. */
async function neededRoles({ target, roles }: BesideWanted, database: TargetDatabase): Promise<NeededRoles> {
  const { host, inPlace } = target;
  const own = {
    app: database.user,
    ...(database.password === undefined ? {} : { password: database.password }),
  };
  if (inPlace || roles === undefined) return { ...own, dumped: [] };
  const { stdout } = await host.run(['cat', '--', roles], { maxOutputBytes: 64 << 20 });
  return { ...own, dumped: readRoles(stdout) };
}

interface Loader {
  readonly access: DatabaseAccess;
  /** Who runs pg_restore. */
  readonly as: Identity;
}

/**
 * Mastodon's role, so that everything is its own, where the server lets it in: by its password as the login user, who has
 * the dump; by peer authentication as Mastodon's user. Else the administrator.
 *
 * @param isNew the role is not there yet: what its password opens is known when it is.
 */
async function loaderOf(
  { host, appUser }: RestoreTarget,
  database: TargetDatabase,
  admin: AdminAccess,
  isNew: boolean,
): Promise<Loader> {
  const { user } = await host.facts();
  const app = {
    database: { ...database, name: admin.access.database.name },
    appUser,
    binDir: database.binDir,
  };
  const tries: Loader[] = [
    ...(database.password === undefined ? [] : [{ access: { ...app, appUser: user }, as: 'login' as const }]),
    { access: app, as: { user: appUser } },
  ];
  for (const loader of isNew ? [] : tries) {
    try {
      await psql(host, loader.access, 'SELECT 1');
      return loader;
    } catch (error) {
      if (!(error instanceof Failure) || error.type === 'HostUnreachable') throw error;
    }
  }
  return { access: admin.access, as: { user: admin.access.appUser } };
}

async function dropDatabase(host: Host, admin: AdminAccess, name: string): Promise<void> {
  const [[version = '0'] = []] = await psql(
    host,
    admin.access,
    `SELECT current_setting('server_version_num')`,
  );
  const force = Number(version) >= 130_000 ? ' WITH (FORCE)' : '';
  await psql(host, admin.access, `DROP DATABASE IF EXISTS :"name"${force}`, {
    variables: { name },
    timeoutMs: 600_000,
  });
}

/**
 * Removes what a load beside the old database has made: the new one unless it was swapped in, roles, what was lent. When
 * nothing was swapped, or it was taken back, the journal goes too. Safe to run again, and when nothing was ever made.
 *
 * @throws Failure `Busy` while a swap is half done.
 */
export async function dropBeside(ref: JournalRef): Promise<void> {
  const { host } = ref;
  const journal = await Journal.of(ref);
  const state = stateOf((await journal.plan()) !== null, await journal.lines());
  if (state === 'half') {
    throw new Failure('Busy', `the swap of ${ref.restore} is half done on ${host.name}`, {
      host: host.name,
      next: 'take it back first',
    });
  }
  const note = await journal.beside();
  if (note !== null) {
    await takeBackLent(ref);
    if (state !== 'whole') {
      await dropDatabase(host, note.admin, note.name);
      for (const role of note.roles) {
        // One that has got something else meanwhile stays.
        await psql(host, note.admin.access, 'DROP ROLE IF EXISTS :"role"', { variables: { role } }).catch(
          (error: unknown) => {
            if (!(error instanceof Failure) || error.type === 'HostUnreachable') throw error;
          },
        );
      }
    }
    await journal.remove('beside.json');
  }
  if (state !== 'whole') await journal.removeAll();
}

/** Removes what was lent for the load alone (the dump, its work folder, the password): once it is loaded and proven. */
export async function takeBackLent(ref: JournalRef): Promise<void> {
  const { host } = ref;
  const note = await (await Journal.of(ref)).beside();
  if (note === null) return;
  const { user, folders, keys } = note.lent;
  await takeBack(host, { user, folders });
  if (keys !== null) await takeKeysBack(host, user === null ? 'login' : { user }, keys);
}
