import type { InstanceConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { openHost } from '../hosts/open.js';
import type { DatabaseConnection } from '../mastodon/connections.js';
import { type DatabaseAccess, psql } from '../mastodon/psql.js';
import type { Verdict } from './verdict.js';

/** Whose a database is that has the name which a restore wants. */
export interface Occupant {
  readonly exists: boolean;
  /** It holds accounts of people. */
  readonly accounts: boolean;
  /** The domain in the addresses of its own posts; null when it does not say it. */
  readonly domain: string | null;
  /** Who asks may rename it. */
  readonly owned: boolean;
  readonly owner: string;
}

const tables = `SELECT to_regclass('public.accounts') IS NOT NULL, to_regclass('public.statuses') IS NOT NULL`;
const people = 'SELECT EXISTS (SELECT 1 FROM public.accounts WHERE id > 0)';
const address = `SET statement_timeout = '20s';
SELECT substring(uri from '^https?://([^/]+)/') FROM public.statuses
WHERE local AND uri LIKE 'http%' AND deleted_at IS NULL ORDER BY id DESC LIMIT 1`;

/**
 * Looks at the database of this name. One that cannot be read, because it is broken, says nothing of whose it is.
 *
 * @param admin to another database of the same server.
 */
export async function occupantOf(host: Host, admin: DatabaseAccess, name: string): Promise<Occupant> {
  const [row] = await psql(
    host,
    admin,
    `SELECT pg_get_userbyid(datdba), pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = :'name'`,
    { variables: { name } },
  );
  if (row === undefined) return { exists: false, accounts: false, domain: null, owned: true, owner: '' };
  const [owner = '', owned] = row;
  return {
    exists: true,
    owner,
    owned: owned === 't',
    ...(await contentOf(host, { ...admin, database: { ...admin.database, name } })),
  };
}

async function contentOf(host: Host, access: DatabaseAccess): Promise<Pick<Occupant, 'accounts' | 'domain'>> {
  try {
    const [[accounts, statuses] = []] = await psql(host, access, tables);
    if (accounts !== 't') return { accounts: false, domain: null };
    const [[some] = []] = await psql(host, access, people);
    const [[domain] = []] = statuses === 't' ? await psql(host, access, address) : [];
    return { accounts: some === 't', domain: domain?.toLowerCase() || null };
  } catch (error) {
    if (!(error instanceof Failure) || error.type === 'HostUnreachable') throw error;
    return { accounts: true, domain: null };
  }
}

/** @throws Failure `Refused` for the env file of another domain. @param which the file, in words. */
export function requireDomain(
  verdict: Verdict,
  domain: string,
  which: string,
  env: ReadonlyMap<string, string> | null,
): void {
  const found = env?.get('LOCAL_DOMAIN')?.toLowerCase();
  if (env === null || found === domain) return;
  const says = found === undefined || found === '' ? 'names no LOCAL_DOMAIN' : `is that of ${found}`;
  verdict.refuse(
    'another-instance',
    `${which} ${says}, and this is a backup of ${domain}`,
    'choose the right host, or the right backup',
  );
}

/**
 * Whether the database that is there is this instance's own.
 *
 * @throws Failure `Refused` when it is another's, or is not known to be ours on a host that has nothing else of ours.
 */
export function judgeOccupant(
  verdict: Verdict,
  {
    config,
    host,
    database,
    occupant,
    hasEnv,
    env,
  }: {
    readonly config: InstanceConfig;
    readonly host: Host;
    readonly database: DatabaseConnection & { readonly local: boolean };
    readonly occupant: Occupant;
    /** An env file of the instance is on the host. */
    readonly hasEnv: boolean;
    readonly env: ReadonlyMap<string, string>;
  },
): boolean {
  if (!occupant.accounts) return false;
  const { domain } = config;
  const names = [domain, env.get('WEB_DOMAIN') ?? '', ...(env.get('ALTERNATE_DOMAINS') ?? '').split(',')];
  const ours = names.map((name) => name.trim().toLowerCase());
  const where = `the database ${database.name} at ${database.host}:${String(database.port)}`;
  if (occupant.domain !== null && !ours.includes(occupant.domain)) {
    verdict.refuse(
      'another-instance',
      `${where} is that of ${occupant.domain}`,
      'correct DB_NAME or DB_HOST, or choose the right host',
    );
    return false;
  }
  const atHome = openHost(config.host, { look: true }).name === host.name;
  if (hasEnv || atHome) return true;
  if (occupant.domain === null || !database.local) {
    verdict.refuse(
      'another-instance',
      `${where} holds accounts${occupant.domain === null ? '' : ` of ${domain}`} already, and ${host.name} is not the host where the configuration says that ${domain} lives`,
      'choose an empty host, or another database in the env file',
    );
  }
  return true;
}
