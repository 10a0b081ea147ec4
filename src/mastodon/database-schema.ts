import type { Host } from '../hosts/host.js';
import { databaseAccess, type Instance } from './instance.js';
import type { Schema } from './media-files.js';
import { type DatabaseAccess, psql } from './psql.js';

/** Tables and their columns: versions of Mastodon differ. @throws what `psql` throws. */
export async function schemaOf(
  host: Host,
  instance: Pick<Instance, 'database' | 'appUser'>,
): Promise<Schema> {
  return schemaAt(host, databaseAccess(instance));
}

/** The same of any database. @throws what `psql` throws. */
export async function schemaAt(host: Host, access: DatabaseAccess): Promise<Schema> {
  const rows = await psql(
    host,
    access,
    "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'",
  );
  const schema = new Map<string, Set<string>>();
  for (const [table = '', column = ''] of rows) {
    const columns = schema.get(table) ?? new Set<string>();
    schema.set(table, columns.add(column));
  }
  return schema;
}
