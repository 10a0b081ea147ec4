import { createPrivateKey, createPublicKey } from 'node:crypto';
import { deriveKeys, type DerivedKeys, openEnvelope, parseEnvelope } from '../mastodon/ciphertext.js';
import { copyToStdout, type Schema } from '../mastodon/media-files.js';
import type { AtDatabase } from './asked.js';
import { firstOf, NotSeen, Wrong } from './check.js';
import { copyFields } from './copy-text.js';

/** Key pairs that are compared, taken at random: all of them but on the largest instances. Each takes a third of a ms. */
const mostPairs = 5_000;

/** The account that speaks for the server (mastodon/mastodon app/models/account.rb, `INSTANCE_ACTOR_ID`). */
const instanceActor = '-99';

/**
 * Every local account that people use has its signing key, and it belongs to the public key that other servers know:
 * asked of the database itself, since Mastodon gives an account without keys new ones as soon as it meets it.
 */
export async function actorKeys({ asked, schema, env }: AtDatabase): Promise<string> {
  const has = columnsOf(schema);
  if (!has('accounts', 'id', 'username', 'domain')) throw new NotSeen('there are no accounts');
  const inAccounts = has('accounts', 'private_key', 'public_key');
  const inKeypairs = has('keypairs', 'account_id', 'private_key', 'public_key');
  const without = await asked.rows(withoutKeySql(has, inAccounts, inKeypairs));
  const [first] = without;
  if (first !== undefined)
    throw new Wrong(
      `accounts without a signing key, which other servers will not know any more: ${firstOf(
        without.map(([username = '']) => username),
        Number(first[1]),
      )}`,
    );
  const keys = derived(env);
  const tally = { pairs: 0, closed: 0, apart: [] as string[] };
  const select = [
    ...(inAccounts
      ? [
          "SELECT username, 'plain', private_key, public_key FROM public.accounts WHERE domain IS NULL AND private_key <> ''",
        ]
      : []),
    ...(inKeypairs
      ? [
          `SELECT a.username, 'sealed', k.private_key, k.public_key FROM public.keypairs k JOIN public.accounts a ON a.id = k.account_id
WHERE a.domain IS NULL AND k.private_key <> ''${has('keypairs', 'type') ? ' AND k.type = 0' : ''}`,
        ]
      : []),
  ].join('\nUNION ALL\n');
  if (select === '') throw new NotSeen('this version keeps signing keys where we do not know them');
  const sampled = `SELECT * FROM (${select}) AS pairs ORDER BY random() LIMIT ${String(mostPairs)}`;
  for await (const line of asked.lines(copyToStdout(sampled))) {
    const [username = '', kind = '', secret = '', open = ''] = copyFields(line).map((field) => field ?? '');
    const pem = kind === 'plain' ? secret : opened(secret, keys);
    if (pem === null) tally.closed += 1;
    else if (belongTogether(pem, open)) tally.pairs += 1;
    else tally.apart.push(username);
  }
  if (tally.apart.length > 0)
    throw new Wrong(
      `private and public keys do not belong together, so that other servers will reject what these accounts sign: ${firstOf(tally.apart)}`,
    );
  // When none opens, the check of the secrets says so.
  const closed = tally.closed === 0 ? '' : `; ${String(tally.closed)} in keypairs could not be opened`;
  if (tally.pairs === 0) throw new NotSeen(`no signing key could be compared${closed}`);
  return `${String(tally.pairs)} signing keys of local accounts belong to their public keys${closed}`;
}

function columnsOf(schema: Schema): (table: string, ...columns: string[]) => boolean {
  return (table, ...columns) => columns.every((column) => schema.get(table)?.has(column));
}

/**
 * The first local accounts that should have a key and have none, and how many they are: those of users who are not suspended, and the
 * server's own. Others, of deleted users, may be without.
 */
function withoutKeySql(has: ReturnType<typeof columnsOf>, inAccounts: boolean, inKeypairs: boolean): string {
  const active = [
    has('accounts', 'suspended_at') ? 'a.suspended_at IS NULL' : 'true',
    ...(has('users', 'account_id')
      ? [
          `(a.id = ${instanceActor} OR EXISTS (SELECT 1 FROM public.users u WHERE u.account_id = a.id${has('users', 'confirmed_at') ? ' AND u.confirmed_at IS NOT NULL' : ''}))`,
        ]
      : []),
  ];
  const lacks = [
    ...(inAccounts ? ["coalesce(a.private_key, '') = ''"] : []),
    ...(inKeypairs
      ? [
          "NOT EXISTS (SELECT 1 FROM public.keypairs k WHERE k.account_id = a.id AND coalesce(k.private_key, '') <> '')",
        ]
      : []),
  ];
  return `SELECT a.username, count(*) OVER () FROM public.accounts a WHERE a.domain IS NULL AND ${[...active, ...(lacks.length === 0 ? ['false'] : lacks)].join(' AND ')} ORDER BY a.id LIMIT 10`;
}

function derived(env: AtDatabase['env']): DerivedKeys {
  const primary = env?.get('ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY') ?? '';
  const salt = env?.get('ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT') ?? '';
  return primary === '' || salt === '' ? [] : deriveKeys(primary, salt);
}

function opened(secret: string, keys: DerivedKeys): string | null {
  const envelope = parseEnvelope(secret);
  return envelope === null ? null : (openEnvelope(envelope, keys)?.toString('utf8') ?? null);
}

/** The numbers of the pair are compared; nothing is signed. */
function belongTogether(privatePem: string, publicPem: string): boolean {
  try {
    const form = { type: 'spki', format: 'der' } as const;
    const made = createPublicKey(createPrivateKey(privatePem)).export(form);
    return made.equals(createPublicKey(publicPem).export(form));
  } catch {
    return false;
  }
}
