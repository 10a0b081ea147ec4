#!/bin/sh
# Installs distribution packages as programs only. Run as root: sh setup/install-packages.sh PACKAGE...
#
# Debian starts and enables the services of what it installs, and makes a database cluster. Permafrost wants the
# programs alone, so two files stand in the way for the length of the install (see invoke-rc.d(8) and
# pg_createcluster(1)), and units that came with it are not enabled. What was there before is not touched.
set -eu

policy=/usr/sbin/policy-rc.d
noCluster=/etc/postgresql-common/createcluster.d/permafrost-setup.conf
units='postgresql.service redis-server.service rsync.service ssh.service ssh.socket'

cleanUp() {
  if grep -qs permafrost-setup "$policy"; then rm -f "$policy"; fi
  rm -f "$noCluster"
}

unitFile() {
  [ -e "/lib/systemd/system/$1" ] || [ -e "/usr/lib/systemd/system/$1" ] || [ -e "/etc/systemd/system/$1" ]
}

new=''
for unit in $units; do
  unitFile "$unit" || new="$new $unit"
done

trap cleanUp EXIT
trap 'exit 130' HUP INT TERM
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\n# permafrost-setup: no service starts while it installs packages\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
case " $* " in
*' postgresql '*)
  mkdir -p "${noCluster%/*}"
  echo 'create_main_cluster = false' >"$noCluster"
  ;;
esac

export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
apt-get -q update || echo 'apt-get update failed; going on with the package lists that are here'
apt-get -q install --yes --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null

# Where there is no systemctl, there is no systemd that would start them.
if command -v systemctl >/dev/null; then
  for unit in $new; do
    if unitFile "$unit"; then systemctl --quiet disable "$unit" || echo "$unit could not be disabled"; fi
  done
fi
