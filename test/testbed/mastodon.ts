import { appendFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import type { SampleData, SampleSize } from '../../sample/data.js';
import { envFileText } from '../../sample/envFile.js';
import { redisProtocol } from '../../sample/keyspace.js';
import { projectFolder } from '../../sample/paths.js';
import { makeSample, sampleSql, writeCode, writeRoot } from '../../sample/seed.js';
import { unitFiles, units } from './units.js';

export interface MastodonOptions {
  readonly domain?: string;
  readonly seed?: string;
  readonly size?: Partial<SampleSize>;
}

/** The instance of a Mastodon host, as seen on that host. */
export interface MastodonInstall {
  readonly domain: string;
  readonly root: string;
  readonly envFile: string;
  /** Peer authentication: only the user of that name gets in, through the socket. */
  readonly database: { readonly host: string; readonly name: string; readonly user: string };
  readonly redisDump: string;
  readonly units: readonly string[];
  /** The web service, reachable from outside too. */
  readonly url: string;
  /** On the host itself. */
  readonly healthUrl: string;
  readonly data: SampleData;
}

const live = '/home/mastodon/live';
const database = { host: '/var/run/postgresql', port: 5432, name: 'mastodon_sample', user: 'mastodon' };

/** What a Mastodon host needs of the outside: Node, the sample's services and the packages they import. */
export const mastodonBinds = [
  `${process.execPath}:/usr/local/bin/node`,
  `${join(projectFolder, 'sample')}:/opt/permafrost-sample/sample`,
  `${join(projectFolder, 'node_modules')}:/opt/permafrost-sample/node_modules`,
];

/** Makes the root file system of a host, which is not on yet, one with a seeded Mastodon. */
export async function installMastodon(
  systemRoot: string,
  address: string,
  options: MastodonOptions,
): Promise<MastodonInstall> {
  const data = makeSample(options);
  const envFile = envFileText(data, { database, redis: { host: 'localhost', port: 6379 } });
  await writeRoot(data, join(systemRoot, live), envFile);
  const files: Record<string, string> = { ...nginx };
  for (const [name, text] of Object.entries(unitFiles)) files[`/etc/systemd/system/${name}`] = text;
  files['/root/seed.redis'] = redisProtocol(data.redis);
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(systemRoot, path)), { recursive: true });
    await writeFile(join(systemRoot, path), text);
  }
  const sql = join(systemRoot, 'root/seed.sql');
  await rm(sql, { force: true });
  for await (const part of sampleSql(data)) await appendFile(sql, part);
  await inside(systemRoot, install);
  return {
    domain: data.domain,
    root: live,
    envFile: `${live}/.env.production`,
    database: { host: database.host, name: database.name, user: database.user },
    redisDump: '/var/lib/redis/dump.rdb',
    units,
    url: `http://${address}:3000`,
    healthUrl: 'http://127.0.0.1:3000/health',
    data,
  };
}

/**
 * Makes the root file system of a host, which is not on yet, one where Mastodon's code was installed and nothing else:
 * its user (of another number than elsewhere), its folder, PostgreSQL and Redis as the distribution has them.
 */
export async function installCode(systemRoot: string): Promise<void> {
  await writeCode(join(systemRoot, live));
  await inside(
    systemRoot,
    `set -e
/usr/local/bin/node --version >/dev/null
useradd --system --create-home --shell /usr/sbin/nologin somebody
groupadd --gid 4711 mastodon
useradd --uid 4711 --gid mastodon --create-home --shell /bin/bash mastodon
chmod 0711 /home/mastodon
chown -R mastodon:mastodon /home/mastodon
`,
  );
}

const install = `
set -e
/usr/local/bin/node --version >/dev/null
useradd --create-home --shell /bin/bash mastodon
chmod 0711 /home/mastodon
chown -R mastodon:mastodon /home/mastodon
cluster=$(pg_lsclusters -h | cut -d' ' -f1)
install -d -o postgres -g postgres -m 2775 /var/run/postgresql
pg_ctlcluster "$cluster" main start
cd /
setpriv --reuid=postgres --regid=postgres --init-groups createuser --createdb ${database.user}
setpriv --reuid=postgres --regid=postgres --init-groups createdb -T template0 -E UTF8 --locale=C.UTF-8 -O ${database.user} ${database.name}
setpriv --reuid=mastodon --regid=mastodon --init-groups psql -Xq --set ON_ERROR_STOP=1 -d ${database.name} >/dev/null </root/seed.sql
pg_ctlcluster "$cluster" main stop -m fast
setpriv --reuid=redis --regid=redis --init-groups redis-server --dir /var/lib/redis --unixsocket /tmp/seed.sock --port 0 --save '' --daemonize no >/dev/null &
until redis-cli -s /tmp/seed.sock ping >/dev/null 2>&1; do sleep 0.05; done
redis-cli -s /tmp/seed.sock --pipe >/dev/null </root/seed.redis
redis-cli -s /tmp/seed.sock shutdown save
wait
rm /root/seed.sql /root/seed.redis
systemctl enable ${units.join(' ')} 2>/dev/null
`;

/** Runs a script in a root file system that is not booted, without any network but its own loopback. */
async function inside(systemRoot: string, script: string): Promise<void> {
  const binds = mastodonBinds.map((bind) => `--bind-ro=${bind}`);
  const flags = [
    '-q',
    '--register=no',
    '--keep-unit',
    '--private-network',
    '--pipe',
    `--directory=${systemRoot}`,
  ];
  await execa('systemd-nspawn', [...flags, ...binds, 'bash', '-c', script], { stdin: 'ignore' });
}

const nginx = {
  '/etc/nginx/sites-available/mastodon': `upstream backend { server 127.0.0.1:3000 fail_timeout=0; }
upstream streaming { server 127.0.0.1:4000 fail_timeout=0; }
server { listen 443 ssl; client_max_body_size 99m; root /home/mastodon/live/public; }
`,
};
