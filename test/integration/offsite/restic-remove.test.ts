import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Manifest } from '../../../src/backups/manifest.js';
import type { Host } from '../../../src/hosts/host.js';
import { localHost } from '../../../src/hosts/local.js';
import { toolPath } from '../../../src/hosts/tools.js';
import type { FollowJob, Offsite, StoredPartRef } from '../../../src/offsite/offsite.js';
import { resticOffsite } from '../../../src/offsite/restic.js';
import { makeKeysQuick } from './quick-keys.js';

/**
 * A removal that is killed, at every step of it: what is listed as sealed afterwards is whole, and a delta has its full
 * dump; the next removal finishes. Two full dumps with deltas, of which the older family goes.
 */

const family = [
  { backup: '20261101T031700Z' },
  { backup: '20261102T031700Z', dependsOn: '20261101T031700Z' },
  { backup: '20261103T031700Z', dependsOn: '20261101T031700Z' },
  { backup: '20261108T031700Z' },
  { backup: '20261109T031700Z', dependsOn: '20261108T031700Z' },
];
const going = ['20261103T031700Z', '20261102T031700Z', '20261101T031700Z'];
const staying = ['20261109T031700Z', '20261108T031700Z'];

let folder: string;
let host: Host;
const refs = new Map<string, StoredPartRef>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'permafrost-restic-remove-'));
  host = localHost({ folder: join(folder, 'host') });
  await mkdir(join(folder, 'keys'));
  await writeFile(join(folder, 'keys/vault.password'), 'long\n');
  const { offsite } = await open(join(folder, 'pristine'));
  await offsite.create();
  makeKeysQuick(join(folder, 'pristine'), 'long');
  for (const one of family) {
    const part = join(folder, one.backup);
    await mkdir(part);
    await writeFile(join(part, 'database.dump'), contentOf(one.backup));
    const captured = { ...one, name: 'database', folder: part, exclude: [], again: false } as const;
    refs.set(one.backup, (await offsite.put(captured, follow)).ref);
    await offsite.seal(manifestOf(one.backup), false);
  }
});
afterAll(async () => {
  await host.close();
  await rm(folder, { recursive: true, force: true });
});

/** At the `call`th call of restic since the off-site was opened: killed before it begins, after so long, or at its end. */
interface Kill {
  call: number;
  when: 'before' | 'after' | number;
}

/** An off-site whose restic is killed once. */
async function open(
  repository: string,
  kill?: Kill,
): Promise<{ offsite: Offsite; called: () => Promise<string> }> {
  await rm(`${repository}.calls`, { force: true });
  await writeFile(join(folder, `keys/${nameOf(repository)}.repository`), `${repository}\n`);
  const restic = toolPath('restic').path;
  const run = `"${restic}" "$@"`;
  const fatal =
    kill === undefined || kill.when === 'before'
      ? 'exit 137'
      : kill.when === 'after'
        ? `${run}; exit 137`
        : `${run} & sleep ${String(kill.when)}; kill -KILL $!; wait $!; exit 137`; // reaped, as by a job's supervisor
  const program = `${repository}.restic`;
  const at = String(kill?.call ?? -1);
  await writeFile(
    program,
    `#!/bin/sh
for word; do case $word in snapshots|unlock|forget|prune|backup|init|dump) echo "$word" >> "${repository}.calls"; break; esac; done
if [ "$(wc -l < "${repository}.calls")" = ${at} ]; then ${fatal}; fi
exec ${run}\n`,
    { mode: 0o755 },
  );
  const name = nameOf(repository);
  await cp(join(folder, 'keys/vault.password'), join(folder, `keys/${name}.password`));
  const place = {
    ...{ host, as: 'login' as const, keys: join(folder, 'keys'), tool: () => Promise.resolve(program) },
    ...{ cache: join(folder, `cache-${name}`), work: join(folder, 'work') },
  };
  const config = {
    kind: 'restic' as const,
    name,
    repository,
    passwordFile: join(folder, 'keys/vault.password'),
  };
  const called = async () => (await host.run(['tail', '-n1', `${repository}.calls`])).stdout.trim();
  return { offsite: resticOffsite(config, place, 'sample.example'), called };
}

const nameOf = (repository: string) => repository.slice(repository.lastIndexOf('/') + 1);
const contentOf = (backup: string) => `the database of ${backup}`;

/** Runs the command at once: the durable jobs have tests of their own. */
const follow: FollowJob = async (_step, argv, options) => {
  const { as, env, okCodes } = { as: 'login' as const, env: {}, okCodes: [0], ...options };
  const { exitCode, stdout, stderr } = await host.run(argv, { as, env, okCodes });
  return { exitCode, stdoutTail: stdout.slice(-4096), stderrTail: stderr.slice(-4096) };
};

function manifestOf(backup: string): Manifest {
  const at = '2026-11-22T03:17:00Z';
  return {
    ...{ version: 1, permafrost: '0.3.0', backup, instance: 'sample.example', startedAt: at, sealedAt: at },
    quiesce: { mode: 'none', services: [], downtimeMs: 0 },
    versions: { mastodon: null, schema: null, postgresql: null, pgDump: null, redis: null },
    parts: [{ name: 'database', bytes: 1, files: 1, entries: [] }],
    omitted: [],
    copy: {
      offsite: 'vault',
      kind: 'restic',
      verifiedAt: at,
      checked: { files: 1, bytes: 1 },
      bytesAdded: 0,
    },
    ...{ timings: [], warnings: [] },
  };
}

/** Everything that is listed is whole. @returns what is listed, newest first. */
async function wholeOnes(repository: string): Promise<string[]> {
  const { offsite } = await open(repository);
  const { sealed } = await offsite.list();
  const listed = sealed.map(({ backup }) => backup);
  for (const one of sealed) {
    if (one.dependsOn !== undefined) expect(listed).toContain(one.dependsOn);
    expect(one.parts).toEqual(['database']);
    const entry = await offsite.readEntry(refs.get(one.backup) as StoredPartRef, 'database.dump');
    const chunks = (await entry.stdout.toArray()) as Buffer[];
    expect(Buffer.concat(chunks).toString()).toBe(contentOf(one.backup));
    expect(await entry.completed).toMatchObject({ exitCode: 0 });
  }
  return listed;
}

/** list, unlock, forget the deltas' seals, forget the full dump's seal, forget the parts, prune. */
const kills: [string, Kill][] = [
  ['forget', { call: 3, when: 0.04 }],
  ['forget', { call: 3, when: 'after' }],
  ['forget', { call: 4, when: 'after' }],
  ['forget', { call: 5, when: 0.05 }],
  ['forget', { call: 5, when: 'after' }],
  ['prune', { call: 6, when: 0.06 }],
  ['prune', { call: 6, when: 0.12 }],
];

test(
  'killed anywhere, it leaves no backup broken, and the next one finishes',
  { timeout: 120_000 },
  async () => {
    const left = [...kills.entries()];
    const work = async () => {
      for (let next = left.pop(); next !== undefined; next = left.pop()) {
        const [at, [step, kill]] = next;
        const repository = join(folder, `killed-${String(at)}`);
        await cp(join(folder, 'pristine'), repository, { recursive: true });
        const { offsite, called } = await open(repository, kill);
        await expect(offsite.remove(going, follow)).rejects.toBeInstanceOf(Error);
        expect(await called()).toBe(step);
        const after = await wholeOnes(repository);
        expect(after.slice(0, 2)).toEqual(staying);
        // As the next prune sees it: what is not listed any more is what a dead run has left.
        const again = (await open(repository)).offsite;
        expect(await again.remove(going, follow)).toBe('removed');
        expect(await again.list()).toMatchObject({
          sealed: staying.map((backup) => ({ backup })),
          unsealed: [],
        });
        await wholeOnes(repository);
      }
    };
    await Promise.all([work(), work()]);
  },
);
