/** Steps of `swap.sh` that talk to PostgreSQL. */
export const databasePart = `
# The password that the server takes now: a step may have changed it.
key=
unlock() {
  local said=
  for key in "$dir/password" "$dir/password.other"; do
    [ -f "$key" ] || continue
    said=$({ cat -- "$key"; printf '\\nSELECT 1;\\n'; } | "\${admin[@]}" 2>&1 > /dev/null) && return
  done
  printf '%s\\n' "$said" >&2
  return 1
}
# $1 file with SQL; then name=value…, for psql's variables
run_sql() {
  local file=$1 variables=(); shift
  for variable do variables+=(-v "$variable"); done
  { cat -- "$key"; printf '\\n'; cat -- "$file"; } | "\${admin[@]}" "\${variables[@]}" > /dev/null
}

do_sql() { unlock && run_sql "$dir/sql/$1.forward"; }
undo_sql() { unlock && run_sql "$dir/sql/$1.back"; }

# Names two databases, by their oids, in one transaction: the first gets out of the way, then the second takes its place.
# Who has its name already keeps it. Others may be in them: they are sent away, and kept out by the lock of the renaming.
rename_sql=$(cat << 'SQL'
SET synchronous_commit = on; SET lock_timeout = '20s'; SET statement_timeout = '60s';
SELECT coalesce((SELECT datname FROM pg_database WHERE oid = :'first'::oid), '') AS first_is,
  coalesce((SELECT datname FROM pg_database WHERE oid = :'second'::oid), '') AS second_is \\gset
SELECT :'first' <> '0' AND :'first_is' = '' AND :'needed' = 'both' OR :'second' <> '0' AND :'second_is' = '' AS lost,
  :'first_is' NOT IN ('', :'first_name') AS move_first,
  :'second_is' NOT IN ('', :'second_name') AS move_second \\gset
\\if :lost
DO 'BEGIN RAISE EXCEPTION ''a database of this restore is not there any more''; END';
\\endif
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datid IN (:'first'::oid, :'second'::oid) AND pid <> pg_backend_pid()
  AND (pg_has_role(usesysid, 'USAGE') OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user));
BEGIN;
\\if :move_first
ALTER DATABASE :"first_is" RENAME TO :"first_name";
\\endif
\\if :move_second
ALTER DATABASE :"second_is" RENAME TO :"second_name";
\\endif
COMMIT;
SQL
)
rename() { # first first_name second second_name both|second
  local try
  unlock || return
  for try in 1 2 3; do
    run_sql <(printf '%s\\n' "$rename_sql") "first=$1" "first_name=$2" "second=$3" "second_name=$4" "needed=$5" && return
    sleep 0.3
  done
  return 1
}
# number name beside aside new-oid old-oid
do_database() { rename "$6" "$4" "$5" "$2" both && point "$1 renamed"; }
undo_database() { rename "$5" "$3" "$6" "$2" second; }
`;
