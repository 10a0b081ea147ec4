import type { Proof } from '../backups/check.js';
import type { Manifest } from '../backups/manifest.js';
import type { MediaRecord } from '../backups/media-index.js';
import type { Host } from '../hosts/host.js';
import { schemaAt } from '../mastodon/database-schema.js';
import type { DatabaseAccess } from '../mastodon/psql.js';
import { Asked, Unanswerable } from './asked.js';
import { proveAll, Wrong } from './check.js';
import { btreeIntegrity, indexesValid, uniqueIndexes } from './database-indexes.js';
import { actorKeys } from './database-keys.js';
import { mediaComplete } from './database-media.js';
import { foreignKeys, functions, sequences } from './database-objects.js';
import { identity, newestStatus, rowCounts } from './database-rows.js';
import { secretsOpen } from './database-secrets.js';

/** A database that was loaded from a backup. */
export interface RestoredDatabase {
  readonly host: Host;
  /** Goes through the B-trees, and nothing else where there is a `reader`. */
  readonly access: DatabaseAccess;
  /** The user of `access` is one: only then every B-tree can be gone through. */
  readonly superuser: boolean;
  /**
   * Who looks at everything else: one who may read all of it and is no superuser, since a look may run code that came with
   * the dump (views, casts). Default: `access`.
   */
  readonly reader?: DatabaseAccess;
  /** What `reader` becomes (`SET ROLE`), where nobody but an administrator could be had. */
  readonly role?: string;
  readonly manifest: Manifest;
  /** Of the backup's secrets; null when they are not in the backup. */
  readonly env: ReadonlyMap<string, string> | null;
  /** The backup's media, sorted by the bytes of their paths; null when they are not in the backup. Read once. */
  readonly index: AsyncIterable<MediaRecord> | null;
  /** Throws when nobody wants it any more. */
  readonly tell?: (progress: { subject: string }) => void;
}

/** Checks that are taken at a time: each is a session of the database, and one of them reads every table. */
const atATime = 2;

/**
 * Proves that a loaded database is the instance's, as it was at the backup's moment. It is left as it was, but for a
 * number or two of a sequence.
 *
 * @throws Failure when the database or its host cannot be reached; what `tell` throws.
 */
export async function proveDatabase(given: RestoredDatabase): Promise<Proof> {
  const asked = new Asked(given);
  try {
    const schema = await schemaAt(given.host, given.reader ?? given.access);
    const look = { ...given, asked, schema };
    const named = (name: string, take: (at: typeof look) => Promise<string>) => ({
      name,
      look: () => asked.about(name, () => take(look)),
    });
    // Every Mastodon answers these.
    const must = (name: string, take: (at: typeof look) => Promise<string>) =>
      named(name, (at) => take(at).catch(asFinding));
    return await proveAll(
      [
        must('identity', identity),
        must('row-counts', rowCounts),
        named('btree-integrity', btreeIntegrity),
        named('media-complete', mediaComplete),
        must('sequences', sequences),
        named('indexes-valid', indexesValid),
        named('unique-indexes', uniqueIndexes),
        named('functions', functions),
        named('foreign-keys', foreignKeys),
        named('secrets-open', secretsOpen),
        named('actor-keys', actorKeys),
        must('newest-status', newestStatus),
      ],
      atATime,
    );
  } finally {
    asked.close();
  }
}

function asFinding(error: unknown): never {
  throw error instanceof Unanswerable ? new Wrong(error.message) : error;
}
