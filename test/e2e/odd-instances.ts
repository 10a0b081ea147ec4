import type { TestHost } from '../testbed/testbed.js';

/**
 * Further Mastodons on a test host that has one, each odd in its own way; all use the database of the first, and only
 * sleep. What each is for is said where it is made.
 */
export async function addOddInstances(host: TestHost): Promise<void> {
  await host.ssh('root', ['bash', '-c', script]);
}

const script = `set -e
sample=/home/mastodon/live
runuser -u postgres -- psql -Xqc "ALTER ROLE mastodon PASSWORD 'of/the role'" >/dev/null
env_of() { # domain folder: the sample's env file with another domain
  install -d -o mastodon -g mastodon "$2"
  sed "s/^LOCAL_DOMAIN=.*/LOCAL_DOMAIN=$1/" "$sample/.env.production" > "$2/.env.production"
  chown mastodon: "$2/.env.production"
}
unit() { # name, then lines of its [Service]
  name=$1; shift
  { printf '[Service]\\nUser=mastodon\\n'; printf '%s\\n' "$@"; printf '[Install]\\nWantedBy=multi-user.target\\n'; } \\
    > "/etc/systemd/system/$name.service"
  names="$names $name"
}
names=

# The first: a queue of its own by hand, and a second instance of the streaming template.
unit mastodon-sidekiq-pull "WorkingDirectory=$sample" 'ExecStart=/bin/sleep infinity'

# As YunoHost has it, elsewhere and by other names. What its units set is right, what the env file says is not:
# PostgreSQL by DATABASE_URL behind a pooler, Redis on a socket with a password and without CONFIG; media in S3.
env_of Yuno.Example /var/www/masto_ynh/live
cat >> /var/www/masto_ynh/live/.env.production <<'END'
DB_HOST=db.invalid
PREPARED_STATEMENTS=false
S3_ENABLED=true
S3_BUCKET=files.yuno.example
CACHE_REDIS_URL=redis://localhost:6391/0
END
echo 'REDIS_URL=unix:///run/odd/redis.sock?password=of-the-socket' > /etc/masto_ynh.env
for part in web sidekiq streaming; do
  unit "masto_ynh-$part" WorkingDirectory=/var/www/masto_ynh/live 'ExecStart=/bin/sleep infinity' \\
    'Environment="DATABASE_URL=postgres://mastodon:of%%2Fthe%%20role@127.0.0.1:6432/mastodon_sample"' \\
    EnvironmentFile=/etc/masto_ynh.env
done
cat > /etc/systemd/system/pooler.socket <<'END'
[Socket]
ListenStream=127.0.0.1:6432
END
cat > /etc/systemd/system/pooler.service <<'END'
[Service]
ExecStart=/usr/lib/systemd/systemd-socket-proxyd 127.0.0.1:5432
END
install -d -o redis -g redis /run/odd /var/lib/odd-redis
printf '%s\\n' 'port 0' 'unixsocket /run/odd/redis.sock' 'unixsocketperm 777' 'requirepass of-the-socket' \\
  'rename-command CONFIG ""' 'appendonly yes' 'dir /var/lib/odd-redis' 'dbfilename "odd.rdb"' > /etc/redis/odd.conf
unit odd-redis User=redis 'ExecStart=/usr/bin/redis-server /etc/redis/odd.conf'

# As NixOS has it: the code in a store, everything else in the units' environment; media on a mount of their own.
store=/nix/store/0c1yj-mastodon-4.5.1
install -d "$store/lib/mastodon" && cp "$sample/lib/mastodon/version.rb" "$store/lib/mastodon/"
install -d -o mastodon -g mastodon /var/lib/mastodon /var/lib/mastodon/public-system
mount -t tmpfs tmpfs /var/lib/mastodon/public-system
grep -v -e ^LOCAL_DOMAIN -e ^DB_ -e ^REDIS_ "$sample/.env.production" > /var/lib/mastodon/.secrets_env
chown mastodon: /var/lib/mastodon/.secrets_env; chmod 600 /var/lib/mastodon/.secrets_env
for part in web sidekiq-all; do
  unit "nixos-mastodon-$part" "WorkingDirectory=$store" StateDirectory=mastodon \\
    'Environment=LOCAL_DOMAIN=nix.example DB_HOST=/run/postgresql DB_NAME=mastodon_sample DB_USER=mastodon' \\
    'Environment=REDIS_HOST=127.0.0.1 PAPERCLIP_ROOT_PATH=/var/lib/mastodon/public-system PORT=3055' \\
    EnvironmentFile=/var/lib/mastodon/.secrets_env 'ExecStart=/bin/sleep infinity'
done

# Without a WorkingDirectory, known by its Puma; a Redis whose user may not ask CONFIG.
env_of puma.example /srv/social
install -d -o mastodon /srv/social/public/system
printf '%s\\n' REDIS_HOST=127.0.0.1 REDIS_PORT=6390 REDIS_USER=limited REDIS_PASSWORD=limited SOCKET=/run/puma.sock \\
  >> /srv/social/.env.production
unit social "ExecStart=/bin/bash -c 'cd /srv/social && exec -a \\"puma 6.4.2 (unix:///run/puma.sock) [social]\\" sleep infinity'"
install -d -o redis -g redis /var/lib/limited-redis
printf '%s\\n' 'port 6390' 'dir /var/lib/limited-redis' 'user limited on >limited ~* &* +@all -config' \\
  > /etc/redis/limited.conf
unit limited-redis User=redis 'ExecStart=/usr/bin/redis-server /etc/redis/limited.conf'

# Nobody runs these: a copy, an instance of the past, and something else altogether.
cp -a "$sample/.env.production" /root/kept && install -d /home/mastodon/live.old && mv /root/kept /home/mastodon/live.old/.env.production
env_of stale.example /srv/stale
install -d /srv/app && echo NODE_ENV=production > /srv/app/.env.production

systemctl daemon-reload
systemctl start pooler.socket $names mastodon-streaming@4001
until redis-cli -s /run/odd/redis.sock -a of-the-socket ping >/dev/null 2>&1 && redis-cli -p 6390 ping >/dev/null 2>&1; do sleep 0.1; done
`;
