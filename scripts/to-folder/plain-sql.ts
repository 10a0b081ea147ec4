import { Failure } from '../../src/errors.js';
import type { Host } from '../../src/hosts/host.js';

/** pg_restore of this machine, the newest. Debian's own in /usr/bin is a wrapper with its own choice of version. */
const findScript = `found=$(command -v pg_restore) && found=$(dirname -- "$found")
for bin in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/local/pgsql*/bin $found; do
  [ -x "$bin/pg_restore" ] || continue
  case $(readlink -f -- "$bin/pg_restore") in */pg_wrapper) continue ;; esac
  printf '%s %s\\n' "$("$bin/pg_restore" --version | sed 's/^[^0-9]*\\([0-9]*\\).*/\\1/')" "$bin/pg_restore"
done | sort -rn | head -n 1`;

/**
 * The pg_restore that can read a dump.
 *
 * @param major of the pg_dump that made it; null when that is not known.
 * @throws Failure `ToolMissing`
 */
export async function pgRestore(host: Host, major: number | null): Promise<string> {
  const { stdout } = await host.run(['sh', '-c', findScript]);
  const [, found, path] = /^(\d+) (.+)$/m.exec(stdout) ?? [];
  if (path !== undefined && Number(found) >= (major ?? 0)) return path;
  const needed = major === null ? '' : ` ${String(major)} or newer`;
  const there =
    path === undefined ? 'there is no pg_restore' : `pg_restore is of PostgreSQL ${String(found)}`;
  throw new Failure(
    'ToolMissing',
    `${there} on this machine; the plain format needs that of PostgreSQL${needed}`,
    {
      next: `install postgresql-client${major === null ? '' : `-${String(major)}`} here, or take --format custom; nothing was fetched`,
    },
  );
}

/** Writes a dump as SQL, whole or not at all. @throws Failure `CommandFailed` in pg_restore's words. */
export async function writeSql(host: Host, program: string, dump: string, file: string): Promise<void> {
  const script =
    'umask 077; "$1" -f "$3.new" -- "$2" && mv -f -- "$3.new" "$3" || { rm -f -- "$3.new"; exit 1; }';
  await host.run(['sh', '-c', script, 'sh', program, dump, file], { timeoutMs: 24 * 3_600_000 });
}
