import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Draft, type SampleData, type SampleSize, smallSize } from './data.js';
import { writeFiles } from './files.js';
import { makeEncryptor, makeSecrets } from './keys.js';
import { addKeyspace } from './keyspace.js';
import { addPeople } from './people.js';
import { addPosts } from './posts.js';
import { sampleFolder } from './paths.js';
import { Random } from './random.js';
import { Rows } from './rows.js';
import { addSite } from './site.js';

export interface SeedOptions {
  /** The instance's LOCAL_DOMAIN; default `sample.example`. */
  readonly domain?: string;
  /** The same seed makes the same sample, down to the keys; default `permafrost`. */
  readonly seed?: string;
  readonly size?: Partial<SampleSize>;
}

/** Makes up a whole instance. Nothing is written yet. */
export function makeSample(options: SeedOptions = {}): SampleData {
  const seed = options.seed ?? 'permafrost';
  const random = new Random(seed);
  const secrets = makeSecrets(random);
  const draft: Draft = {
    domain: options.domain ?? 'sample.example',
    seed,
    size: { ...smallSize, ...options.size },
    secrets,
    random,
    encrypt: makeEncryptor(secrets, random),
    rows: new Rows(),
    files: [],
    redis: [],
    accounts: [],
    remoteAccountIds: [],
    otpSecrets: new Map(),
    oddities: {
      missing: [],
      processing: [],
      empty: [],
      private: [],
      named: [],
      remoteOutsideCache: [],
      orphans: [],
    },
  };
  addPeople(draft);
  addPosts(draft);
  addSite(draft);
  addKeyspace(draft);
  return draft;
}

/** The schema and all rows, for `psql --set ON_ERROR_STOP=1 --single-transaction` in an empty database. */
export async function* sampleSql(data: SampleData): AsyncGenerator<string> {
  yield await readFile(join(sampleFolder, 'schema.sql'), 'utf8');
  yield* data.rows.sql();
  for (const view of ['account_summaries', 'global_follow_recommendations', 'instances']) {
    yield `REFRESH MATERIALIZED VIEW ${view};\n`;
  }
  yield 'ANALYZE;\n';
}

/** Writes Mastodon's root: the env file (0600), the media, and the code as far as a backup looks at it. */
export async function writeRoot(data: SampleData, root: string, envFile: string): Promise<void> {
  const system = join(root, 'public', 'system');
  await mkdir(system, { recursive: true });
  await writeFiles(data.seed, data.files, system);
  await writeFile(join(root, '.env.production'), envFile, { mode: 0o600 });
  await writeCode(root);
}

/** What a server has on which Mastodon's code was installed and nothing else: what tells its version and its schema. */
export async function writeCode(root: string): Promise<void> {
  const version = join(root, 'lib', 'mastodon', 'version.rb');
  await mkdir(dirname(version), { recursive: true });
  await writeFile(version, versionFile);
  await mkdir(join(root, 'db'), { recursive: true });
  await copyFile(join(sampleFolder, 'schema.rb'), join(root, 'db', 'schema.rb'));
  await mkdir(join(root, 'log'), { recursive: true });
  await mkdir(join(root, 'tmp', 'pids'), { recursive: true });
}

const versionFile = `# frozen_string_literal: true

module Mastodon
  module Version
    module_function

    def major
      4
    end

    def minor
      6
    end

    def patch
      5
    end
  end
end
`;
