import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SampleData } from '../../../sample/data.js';
import { envFileText } from '../../../sample/envFile.js';
import { makeSample, sampleSql, writeCode } from '../../../sample/seed.js';
import { createForDrill } from '../../../src/activities/drill-load.js';
import type { Proof } from '../../../src/backups/check.js';
import type { Manifest } from '../../../src/backups/manifest.js';
import type { MediaRecord } from '../../../src/backups/media-index.js';
import { Failure } from '../../../src/errors.js';
import type { Host } from '../../../src/hosts/host.js';
import { localHost } from '../../../src/hosts/local.js';
import { codeIndexes } from '../../../src/mastodon/code-schema.js';
import { databaseEnvironment } from '../../../src/mastodon/connections.js';
import { countRowsSql, newestStatusSql } from '../../../src/mastodon/dumped-tables.js';
import { parseEnvFile } from '../../../src/mastodon/env-file.js';
import { schemaAt } from '../../../src/mastodon/database-schema.js';
import { mediaFilesSql } from '../../../src/mastodon/media-files.js';
import { psql } from '../../../src/mastodon/psql.js';
import type { FollowJob } from '../../../src/offsite/offsite.js';
import { proveDatabase, type RestoredDatabase } from '../../../src/proofs/database.js';
import { type Loaded, loadDump, type ToLoad } from '../../../src/proofs/load.js';
import { type Cluster, startCluster } from '../../../src/scratch/cluster.js';
import { openScratch, type Scratch } from '../../../src/scratch/scratch.js';
import { aManifest } from '../../unit/backups/a-manifest.js';

export const domain = 'proofs.example';

/** A sample's database on a cluster of a scratch, with the manifest that a backup of it would have. */
export class ProofsGround {
  readonly data: SampleData = makeSample({ domain, seed: 'proofs', size: { statuses: 200 } });
  readonly env = parseEnvFile(
    envFileText(this.data, {
      database: { host: '/run/postgresql', port: 5432, name: 'mastodon_production', user: 'mastodon' },
      redis: { host: 'localhost', port: 6379 },
    }),
  );
  manifest: Manifest = aManifest;
  #loads = 0;

  private constructor(
    readonly folder: string,
    readonly host: Host,
    readonly scratch: Scratch,
    readonly cluster: Cluster,
  ) {}

  static async open(): Promise<ProofsGround> {
    const folder = mkdtempSync(join(tmpdir(), 'permafrost-proofs-'));
    chmodSync(folder, 0o711);
    const host = localHost({ folder: join(folder, 'host') });
    try {
      const ref = { instance: domain, id: '20261121T031700Z' };
      const scratch = await openScratch(host, ref, { folder: join(folder, 'drills') });
      try {
        const ground = new ProofsGround(folder, host, scratch, await startCluster(scratch));
        await ground.#seed();
        return ground;
      } catch (error) {
        await scratch.close();
        throw error;
      }
    } catch (error) {
      await host.close();
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  async #seed(): Promise<void> {
    await this.sql('postgres', 'CREATE ROLE mastodon CREATEDB LOGIN; CREATE ROLE other LOGIN;');
    await this.sql('postgres', 'CREATE DATABASE source TEMPLATE template0 OWNER mastodon');
    let text = '';
    for await (const piece of sampleSql(this.data)) text += piece;
    await this.sql('source', text);
    this.manifest = await this.manifestOf('source');
  }

  async close(): Promise<void> {
    try {
      await this.scratch.close();
    } finally {
      await this.host.close();
      rmSync(this.folder, { recursive: true, force: true });
    }
  }

  sql(database: string, text: string, user?: string): Promise<string[][]> {
    return psql(this.host, this.cluster.database(database, user), text);
  }

  /** What a backup of this database would have noted. */
  async manifestOf(database: string): Promise<Manifest> {
    const rows = await this.sql(database, countRowsSql);
    const root = join(this.folder, 'root');
    mkdirSync(root, { recursive: true });
    await writeCode(root);
    const applied = await this.sql(database, 'SELECT version FROM schema_migrations ORDER BY 1 DESC');
    const indexes = await codeIndexes(
      this.host,
      { root, appUser: (await this.host.facts()).user },
      new Set(applied.map(([version = '']) => version)),
    );
    const [newest] = await this.sql(database, newestStatusSql);
    const records = this.index();
    const there = new Set(records.map(({ path }) => path));
    const named = mediaFilesSql(await schemaAt(this.host, this.cluster.database(database))) ?? '';
    const missing = (await this.sql(database, named)).filter(([path = '']) => !there.has(path));
    return {
      ...aManifest,
      ...{ instance: domain, parts: parts(records) },
      versions: { ...aManifest.versions, schema: applied[0]?.[0] ?? null, postgresql: '15.18' },
      database: {
        ...{ name: 'mastodon_production', format: 'custom', sizeBytes: 1, encoding: 'UTF8', collate: 'C' },
        ...{ ctype: 'C', extensions: [{ name: 'plpgsql', version: '1.0' }], roles: 'not captured' },
        rowCounts: Object.fromEntries(rows.map(([table = '', count = '']) => [table, Number(count)])),
        newestStatusAt: newest?.[1] ?? null,
        ...(indexes === undefined
          ? {}
          : { uniqueIndexes: indexes.map((one) => ({ ...one, columns: [...one.columns] })) }),
      },
      media: {
        ...{ root: '/srv/media', cache: 'exclude', expected: records.length, deletedDuringRun: [] },
        alreadyMissing: missing.map(([path = '']) => ({ path })),
        ...{ alreadyMissingCount: missing.length, deletedDuringRunCount: 0 },
        ...{ hashedFiles: records.length, carriedFiles: 0, sizeDiffers: 0 },
      },
    };
  }

  /** The index of the sample's media; nobody reads the files here. */
  index(change: (records: MediaRecord[]) => MediaRecord[] = (records) => records): MediaRecord[] {
    const records = this.data.files
      .filter(({ path }) => !path.startsWith('cache/'))
      .map(({ path, sizeBytes, mode }) => ({
        ...{ path, pathBytes: Buffer.from(path), sha256: '0'.repeat(64), size: sizeBytes },
        ...{ mtime: '1795309000.000000000', mode, uid: 991, gid: 991 },
      }))
      .sort((one, other) => Buffer.compare(one.pathBytes, other.pathBytes));
    return change(records);
  }

  /** A copy of a database, changed; as superuser, past triggers and foreign keys. */
  async copy(of: string, name: string, change = ''): Promise<string> {
    await this.sql('postgres', `CREATE DATABASE ${name} TEMPLATE ${of} OWNER mastodon`);
    if (change !== '') await this.sql(name, `SET session_replication_role = replica;\n${change}`);
    return name;
  }

  async drop(name: string): Promise<void> {
    await this.sql('postgres', `DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
  }

  /** As a drill does, unless it is said otherwise. */
  async prove(database: string, more: Partial<RestoredDatabase> = {}): Promise<Proof> {
    return proveDatabase({
      ...{ host: this.host, access: this.cluster.database(database), superuser: true },
      ...(more.access === undefined ? { reader: await this.cluster.databaseForApplication(database) } : {}),
      ...{ manifest: this.manifest, env: this.env, index: stream(this.index()), ...more },
    });
  }

  /** `pg_dump --format=custom`, uncompressed, as a backup takes it. */
  async dump(database: string, ...options: string[]): Promise<string> {
    const file = join(await this.scratch.place('dumps', 0o755), `${database}.dump`);
    const { host, port } = this.cluster.access.database;
    await this.host.run([
      `${this.cluster.binDir}/pg_dump`,
      ...['-h', host, '-p', String(port), '-U', 'postgres', '-Fc', '-Z0', ...options, '-f', file, database],
    ]);
    return file;
  }

  /** Loads a dump as Mastodon's own role, into a database that it owns. */
  async load(dump: string, database: string, more: Partial<ToLoad> = {}, user = 'mastodon'): Promise<Loaded> {
    const ctype = more.manifest?.database?.ctype;
    await createForDrill(this.host, this.cluster.access, database, 'UTF8', ctype);
    await this.sql('postgres', `ALTER DATABASE "${database}" OWNER TO mastodon`);
    return this.loadInto(dump, database, more, user);
  }

  async loadInto(dump: string, database: string, more: Partial<ToLoad> = {}, user = 'mastodon') {
    const access = this.cluster.database(database, user);
    const work = await this.scratch.place(`load-${String((this.#loads += 1))}`);
    return loadDump({
      target: {
        ...{ host: this.host, access, as: 'login', superuser: user === 'postgres' },
        environment: databaseEnvironment(access.database),
      },
      ...{ dump, jobs: 2, manifest: this.manifest, work, follow: this.follow(), ...more },
    });
  }

  /** Jobs as activities follow them. */
  follow(): FollowJob {
    return async (step, argv, { okCodes = [0], ...options }, progress) => {
      const id = this.scratch.jobId(`${step}-${randomBytes(4).toString('hex')}`);
      const job = await this.host.startJob(id, argv, options);
      for (;;) {
        const status = await job.status();
        if (status.state === 'absent' || status.state === 'lost') throw new Error(`${step} is gone`);
        await progress(status);
        if (status.state === 'exited' && okCodes.includes(status.exitCode)) return status;
        if (status.state === 'exited') throw new Failure('CommandFailed', status.stderrTail);
        await sleep(20);
      }
    };
  }
}

function parts(records: readonly MediaRecord[]): Manifest['parts'] {
  const bytes = records.reduce((sum, { size }) => sum + size, 0);
  const small = (['database', 'secrets'] as const).map((name) => ({ name, bytes: 1, files: 1, entries: [] }));
  return [...small, { name: 'media', bytes, files: records.length, entries: [] }];
}

export async function* stream<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
  await Promise.resolve();
}

/** What was found, by the names of the checks. */
export function findings({ checks }: Proof): Record<string, string> {
  return Object.fromEntries(checks.filter(({ passed }) => !passed).map(({ name, detail }) => [name, detail]));
}
