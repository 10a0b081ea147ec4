import type { Host } from '../hosts/host.js';
import type { Instance } from './instance.js';

/** A unique index that Mastodon's code counts on. */
export interface UniqueIndex {
  readonly table: string;
  /** null: the primary key. */
  readonly name: string | null;
  /** In their order; or one expression. */
  readonly columns: readonly string[];
}

/** What `db/schema.rb` says. */
export interface CodeSchema {
  /** Of the newest migration in it: `20260611150940`. */
  readonly version: string;
  readonly indexes: UniqueIndex[];
}

/** Prints schema.rb, a NUL, and the names of the migrations' files; nothing where there is no code. */
const script = `cd -- "$1" 2> /dev/null && [ -r db/schema.rb ] || exit 0
cat db/schema.rb; printf '\\0'; ls db/migrate db/post_migrate 2> /dev/null; :`;

/**
 * The unique indexes of the code in an instance's root. A backup carries them, since a drill has no code to look at.
 *
 * @param applied the versions in `schema_migrations`: while some of the code's are still to be run (an upgrade without
 *   downtime runs the last ones days later), what the code says is not what the database has to have.
 * @returns undefined where there is no code (containers), or it is not of this schema.
 */
export async function codeIndexes(
  host: Host,
  { root, appUser }: Pick<Instance, 'root' | 'appUser'>,
  applied: ReadonlySet<string>,
): Promise<UniqueIndex[] | undefined> {
  const { stdout } = await host.run(['sh', '-c', script, 'sh', root], { as: { user: appUser }, cwd: '/' });
  const [text = '', migrations = ''] = stdout.split('\0');
  const schema = parseSchemaRb(text);
  if (schema === undefined) return undefined;
  const needed = [schema.version, ...(migrations.match(/^\d{14}(?=_)/gm) ?? [])];
  return needed.every((version) => applied.has(version)) ? schema.indexes : undefined;
}

/**
 * Reads the unique indexes and primary keys out of a `schema.rb` as Rails writes it (rails/rails activerecord
 * lib/active_record/schema_dumper.rb): a statement a line. Pure.
 *
 * @returns undefined for what is no schema.rb.
 */
export function parseSchemaRb(text: string): CodeSchema | undefined {
  const [, version] = /^ActiveRecord::Schema(?:\[[\d.]+\])?\.define\(version: ([\d_]+)\)/m.exec(text) ?? [];
  if (version === undefined) return undefined;
  const indexes: UniqueIndex[] = [];
  let table = '';
  for (const line of text.split('\n')) {
    const [, created, options = ''] = /^\s*create_table "([^"]+)"(.*) do \|t\|$/.exec(line) ?? [];
    if (created !== undefined) {
      table = created;
      if (/, id: false\b/.test(options)) continue;
      const [, key] = /, primary_key: (\[[^\]]*\]|"[^"]*")/.exec(options) ?? [];
      indexes.push({ table, name: null, columns: key === undefined ? ['id'] : wordsOf(key) });
      continue;
    }
    const [, of, columns, more = ''] =
      /^\s*(?:t\.index|t\.unique_constraint|add_index "([^"]+)",) (\[[^\]]*\]|"(?:\\.|[^"\\])*")(.*)$/.exec(
        line,
      ) ?? [];
    const unique = /, unique: true\b/.test(more) || /^\s*t\.unique_constraint/.test(line);
    if (columns === undefined || !unique) continue;
    const [, name = null] = /, name: "([^"]+)"/.exec(more) ?? [];
    indexes.push({ table: of ?? table, name, columns: wordsOf(columns) });
  }
  return { version: version.replaceAll('_', ''), indexes };
}

/** The strings of a Ruby literal: an array of them, or one. */
function wordsOf(literal: string): string[] {
  return [...literal.matchAll(/"((?:\\.|[^"\\])*)"/g)].map(([, word = '']) => word.replace(/\\(.)/g, '$1'));
}

const named = (table: string, name: string, ...columns: string[]): UniqueIndex => ({ table, name, columns });
const on = (table: string, ...columns: string[]): UniqueIndex =>
  named(table, `index_${table}_on_${columns.join('_and_')}`, ...columns);

/**
 * Unique indexes that every version from 4.2 to 4.7 has where it has the table, for backups that do not carry their
 * code's (mastodon/mastodon db/schema.rb).
 */
export const lastingIndexes: readonly UniqueIndex[] = [
  ...['accounts', 'statuses', 'media_attachments', 'users', 'follows', 'favourites', 'notifications'].map(
    (table): UniqueIndex => ({ table, name: null, columns: ['id'] }),
  ),
  named(
    'accounts',
    'index_accounts_on_username_and_domain_lower',
    "lower((username)::text), COALESCE(lower((domain)::text), ''::text)",
  ),
  named('tags', 'index_tags_on_name_lower_btree', 'lower((name)::text) text_pattern_ops'),
  named(
    'account_conversations',
    'index_unique_conversations',
    ...['account_id', 'conversation_id', 'participant_account_ids'],
  ),
  on('account_domain_blocks', 'account_id', 'domain'),
  on('account_pins', 'account_id', 'target_account_id'),
  on('account_stats', 'account_id'),
  on('blocks', 'account_id', 'target_account_id'),
  on('bookmarks', 'account_id', 'status_id'),
  on('conversation_mutes', 'account_id', 'conversation_id'),
  on('conversations', 'uri'),
  on('custom_emojis', 'shortcode', 'domain'),
  on('custom_filter_statuses', 'status_id', 'custom_filter_id'),
  on('domain_allows', 'domain'),
  on('domain_blocks', 'domain'),
  on('email_domain_blocks', 'domain'),
  on('favourites', 'account_id', 'status_id'),
  on('featured_tags', 'account_id', 'tag_id'),
  on('follow_requests', 'account_id', 'target_account_id'),
  on('follows', 'account_id', 'target_account_id'),
  on('invites', 'code'),
  on('ip_blocks', 'ip'),
  on('list_accounts', 'account_id', 'list_id'),
  on('markers', 'user_id', 'timeline'),
  on('media_attachments', 'shortcode'),
  on('mentions', 'account_id', 'status_id'),
  on('mutes', 'account_id', 'target_account_id'),
  on('oauth_access_tokens', 'token'),
  on('oauth_applications', 'uid'),
  on('preview_cards', 'url'),
  on('session_activations', 'session_id'),
  on('site_uploads', 'var'),
  on('status_pins', 'account_id', 'status_id'),
  on('status_stats', 'status_id'),
  on('statuses', 'uri'),
  on('tag_follows', 'account_id', 'tag_id'),
  on('unavailable_domains', 'domain'),
  on('users', 'confirmation_token'),
  on('users', 'email'),
  on('web_settings', 'user_id'),
  on('webauthn_credentials', 'external_id'),
];
