import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { sudoRefused } from '../hosts/identity.js';

/** What a look at the root and the host's folders tells, in two round trips. */
export interface Survey {
  readonly appUser: string;
  /** The root by all its names: as configured, and without symbolic links. */
  readonly roots: readonly string[];
  /** The env file's text; null when it is absent or may not be read. */
  readonly env: string | null;
  /** The code's `lib/mastodon/version.rb`, `.ruby-version` and `.nvmrc`; absent ones are empty. */
  readonly versionFile: string;
  readonly rubyVersion: string;
  readonly nodeVersion: string;
  /** PostgreSQL's programs on this host, the newest first. */
  readonly clients: readonly PostgresClient[];
  /** nginx's files that serve this root. */
  readonly nginx: readonly string[];
}

export interface PostgresClient {
  readonly binDir: string;
  readonly major: number;
}

/**
 * Prints what it finds as a name and a value, a NUL after each. Debian's /usr/bin/pg_dump is a wrapper that takes its
 * own choice of version: passed over.
 */
const script = `export LC_ALL=C
root=$1 env=$2
real=$(realpath -- "$root")
say() { printf '%s\\0%s\\0' "$1" "$2"; }
content() { if [ -f "$2" ] && [ -r "$2" ]; then printf '%s\\0' "$1"; cat -- "$2"; printf '\\0'; fi; }
say real "$real"
content env "$env"
content version "$root/lib/mastodon/version.rb"
content ruby "$root/.ruby-version"
content node "$root/.nvmrc"
found=$(command -v pg_dump) && found=$(dirname -- "$found")
for bin in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/local/pgsql*/bin $found; do
  [ -x "$bin/pg_dump" ] && [ -x "$bin/psql" ] || continue
  case $(readlink -f -- "$bin/pg_dump") in */pg_wrapper) continue ;; esac
  say client "$("$bin/pg_dump" --version) $bin"
done
for site in /etc/nginx/sites-available/* /etc/nginx/sites-enabled/* /etc/nginx/conf.d/*; do
  [ -f "$site" ] || continue
  # A link is passed over where it leads to another of these.
  if [ -L "$site" ]; then case $(realpath -- "$site") in /etc/nginx/sites-available/*|/etc/nginx/conf.d/*) continue ;; esac; fi
  case $site in
    /etc/nginx/sites-available/mastodon|/etc/nginx/conf.d/mastodon.conf) say nginx "$site" ;;
    *) if grep -qsF -e "$root/public" -e "$real/public" -- "$site"; then say nginx "$site"; fi ;;
  esac
done
exit 0`;

/**
 * Looks at an instance's root on its host; read-only.
 *
 * @throws Failure `Refused` without a root; what `Host.run` throws.
 */
export async function survey(host: Host, root: string, envFile: string): Promise<Survey> {
  const appUser = await appUserOf(host, root);
  const { stdout } = await host.run(['sh', '-c', script, 'sh', root, envFile], {
    as: { user: appUser },
    cwd: '/',
  });
  const found = readPairs(stdout);
  const one = (name: string) => found.find(([key]) => key === name)?.[1];
  const all = (name: string) => found.filter(([key]) => key === name).map(([, value]) => value);
  return {
    appUser,
    roots: [...new Set([root, one('real') ?? root])],
    env: one('env') ?? null,
    versionFile: one('version') ?? '',
    rubyVersion: (one('ruby') ?? '').trim(),
    nodeVersion: (one('node') ?? '').trim(),
    clients: all('client')
      .flatMap(readClient)
      .sort((one, other) => other.major - one.major),
    nginx: all('nginx'),
  };
}

/** Prints the nearest folder on the way to $1 that may be looked at, and "owner type" of it. */
const nearestScript = `export LC_ALL=C
path=$1
until said=$(stat -L -c '%U %F' -- "$path" 2>/dev/null) || [ "$path" = / ]; do path=$(dirname -- "$path"); done
printf '%s\\n' "$path" "$said"`;

/** The nearest folder on the way to `root` that the login user may look at, and whose it is. */
export async function nearestOwner(
  host: Host,
  root: string,
): Promise<{ path: string; owner: string; type: string }> {
  const { stdout } = await host.run(['sh', '-c', nearestScript, 'sh', root]);
  const [path = '', said = ''] = stdout.split('\n');
  const [owner = '', ...type] = said.split(' ');
  return { path, owner, type: type.join(' ') };
}

/**
 * The user that Mastodon runs as: the root's owner. Where the root lies in a home that is closed to the login user, the
 * home's owner is asked; no other right is needed than to be that user.
 */
export async function appUserOf(host: Host, root: string): Promise<string> {
  const { path, owner: keeper, type } = await nearestOwner(host, root);
  const facts = await host.facts();
  const closed = path !== root && facts.sudo && !['root', 'UNKNOWN', facts.user].includes(keeper);
  const looked = closed
    ? await host.run(['stat', '-L', '-c', '%U %F', '--', root], { as: { user: keeper }, okCodes: [0, 1] })
    : { stdout: path === root ? `${keeper} ${type}` : '', stderr: '' };
  if (/^sudo: /m.test(looked.stderr)) {
    throw sudoRefused(facts, host.name, { user: keeper }, looked.stderr.trim());
  }
  const [owner = '', ...kind] = looked.stdout.trim().split(' ');
  if (kind.join(' ') !== 'directory') {
    throw new Failure(
      'Refused',
      `There is no folder ${root} on ${host.name}, or ${facts.user} may not look at it.`,
      {
        host: host.name,
        next: "Correct mastodon.root in the configuration: Mastodon's own folder, which holds .env.production.",
      },
    );
  }
  // A folder of a container's user has an owner without a name on the host.
  return owner === 'UNKNOWN' ? facts.user : owner;
}

function readClient(line: string): PostgresClient[] {
  const [, major, binDir] = /^pg_dump \(PostgreSQL\) (\d+)\S*.* (\/\S+)$/.exec(line) ?? [];
  return major === undefined || binDir === undefined ? [] : [{ major: Number(major), binDir }];
}

/** Names and values, each with a NUL after it. */
export function readPairs(output: string): [string, string][] {
  const fields = output.split('\0').slice(0, -1);
  return Array.from({ length: Math.floor(fields.length / 2) }, (_, index) => [
    fields[2 * index] ?? '',
    fields[2 * index + 1] ?? '',
  ]);
}

/** `4.5.1`, `4.6.0-beta.1` from Mastodon's lib/mastodon/version.rb; null when it says something else. */
export function mastodonVersion(versionFile: string): string | null {
  const part = (name: string) =>
    new RegExp(String.raw`def (?:self\.)?${name}\s+['"]?([\w.+-]*)['"]?\s+end`).exec(versionFile)?.[1];
  const numbers = ['major', 'minor', 'patch'].map(part);
  if (numbers.some((number) => number === undefined || !/^\d+$/.test(number))) return null;
  const suffix = part('default_prerelease') ?? part('flags') ?? '';
  return numbers.join('.') + (suffix === '' ? '' : suffix.startsWith('-') ? suffix : `-${suffix}`);
}
