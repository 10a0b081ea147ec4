/** The files that the script reads in its work folder: lists for pg_restore. */
export const loadLists = {
  /** All but what follows. */
  main: 'list',
  /** Foreign keys. */
  keys: 'keys',
  /** The content of materialized views. */
  views: 'views',
  /** Rights of other roles; empty when they are not wanted. */
  grants: 'grants',
} as const;

/** What the script says by its exit code. */
export const loadExit = { loaded: 0, notLoaded: 1, notAnalyzed: 3, busy: 4 } as const;

/**
 * Loads a dump by pg_restore, with the end of it in another order. By itself pg_restore checks the foreign keys of a large
 * table one after the other, since each locks the tables of both its ends, and then fills the materialized views: half of
 * the time, with one processor at work. A key that is added NOT VALID and validated after that takes a lock that the others
 * do not mind (PostgreSQL's manual, ALTER TABLE, "Notes"), so all of them, and the views, go side by side. Keys that were
 * NOT VALID at the source stay so. ANALYZE comes before: the checks are queries, and are planned better.
 *
 * Rights are given one by one, so that a role that is not there costs no other its own.
 *
 * $1 work folder, $2 pg_restore, $3 vacuumdb, $4 psql, $5 the database as a connection string, $6 the dump, $7 jobs,
 * $8 `SET ROLE …` or ''; then options of pg_restore. The lock is held for as long as anything of it runs; `loaded` is
 * written at the end.
 */
export const loadScript = `umask 077; set -o pipefail
work=$1 restore=$2 vacuumdb=$3 psql=$4 database=$5 dump=$6 jobs=$7 role=$8; shift 8
exec 9> "$work/lock" && flock -n 9 || { echo 'another load into this database goes on' >&2; exit ${String(loadExit.busy)}; }
now() { date +%s%3N; }
sql() { "$psql" -Xqw -v ON_ERROR_STOP=1 -d "$database" -c "$role" "$@"; }
of() { "$restore" --no-owner --no-acl -L "$work/$1" -f - "\${@:2}" -- "$dump"; }
began=$(now)
"$restore" --exit-on-error --no-owner --no-acl --no-security-labels -w -j "$jobs" -L "$work/${loadLists.main}" -d "$database" "$@" -- "$dump" || exit
tables=$(now)
"$vacuumdb" --analyze-only --quiet -w -j "$jobs" -d "$database" || exit ${String(loadExit.notAnalyzed)}
analyzed=$(now)
keys=$(of ${loadLists.keys} "$@") && views=$(of ${loadLists.views} "$@") || exit ${String(loadExit.notLoaded)}
kept=$(printf '%s\\n' "$keys" | sed -nE 's/^    ADD CONSTRAINT (.*) FOREIGN KEY .* NOT VALID;$/\\1/p')
printf '%s\\n' "$keys" | sed -E '/^ALTER TABLE ONLY /{N; / NOT VALID;$/!s/(\\n    ADD CONSTRAINT .* FOREIGN KEY .*);$/\\1 NOT VALID;/}' | sql -o /dev/null -f - || exit ${String(loadExit.notLoaded)}
sql -At0 -v kept="$kept" -f - > "$work/last" << 'END' || exit ${String(loadExit.notLoaded)}
SELECT format('ALTER TABLE %s %s', conrelid::regclass, string_agg(format('VALIDATE CONSTRAINT %I', conname), ', ' ORDER BY conname))
FROM pg_constraint
WHERE contype = 'f' AND NOT convalidated AND quote_ident(conname) <> ALL (string_to_array(:'kept', E'\\n'))
GROUP BY conrelid ORDER BY pg_relation_size(conrelid) DESC;
END
{ printf '%s\\0' "$(printf '%s\\n' "$views" | grep '^REFRESH MATERIALIZED VIEW ')"; cat "$work/last"; } |
  xargs -0 -r -n 1 -P "$jobs" "$psql" -Xqw -v ON_ERROR_STOP=1 -d "$database" -c "$role" -c || exit ${String(loadExit.notLoaded)}
if [ -s "$work/${loadLists.grants}" ]; then
  "$restore" --no-owner -L "$work/${loadLists.grants}" -f - "$@" -- "$dump" | "$psql" -Xqw -o /dev/null -d "$database" -f - 2> "$work/grants.said"
fi
restored=$(now)
sql -f - << 'END' || exit ${String(loadExit.notAnalyzed)}
SELECT format('ANALYZE %s', oid::regclass) FROM pg_class WHERE relkind = 'm' \\gexec
END
analyze=$((analyzed - tables + $(now) - restored))
printf '{"restoreMs":%s,"analyzeMs":%s}\\n' "$(($(now) - began - analyze))" "$analyze" > "$work/loaded.new" && mv -- "$work/loaded.new" "$work/loaded"`;

/** Prints `done`, `running` or `none`. $1 work folder */
export const stateScript = `cd -- "$1" || exit
if [ -e loaded ]; then echo done; elif [ -e lock ] && ! flock -n lock true; then echo running; else echo none; fi`;
