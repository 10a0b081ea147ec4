import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
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
  const waits = { writing: '0s', removing: '0s' };
  return { offsite: resticOffsite(config, place, 'sample.example', waits), called };
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

/** list, forget the deltas' seals, forget the full dump's seal, forget the parts, prune. */
const kills: [string, Kill][] = [
  ['forget', { call: 2, when: 0.04 }],
  ['forget', { call: 2, when: 'after' }],
  ['forget', { call: 3, when: 'after' }],
  ['forget', { call: 4, when: 0.05 }],
  ['forget', { call: 4, when: 'after' }],
  ['prune', { call: 5, when: 0.06 }],
  ['prune', { call: 5, when: 0.12 }],
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

/** A repository of its own, and a restic that has locked it for itself and is asleep with that. */
async function lockedOne(name: string) {
  const repository = join(folder, name);
  await cp(join(folder, 'pristine'), repository, { recursive: true });
  const { offsite } = await open(repository);
  const words = [
    '-r',
    repository,
    '--password-file',
    join(folder, 'keys/vault.password'),
    '--no-cache',
    'prune',
  ];
  const restic = spawn(toolPath('restic').path, words, { stdio: 'ignore' });
  const ended = once(restic, 'exit');
  // The lock has its name before restic looks whether it is alone, which takes it 0.2 s.
  while (!readdirSync(join(repository, 'locks')).some((file) => file.length === 64)) await sleep(2);
  restic.kill('SIGSTOP');
  const kill = async () => {
    restic.kill('SIGKILL');
    await ended;
  };
  return { repository, offsite, kill };
}

const part = () => ({
  ...({ backup: '20261110T031700Z', name: 'database', folder: join(folder, '20261101T031700Z') } as const),
  exclude: [],
});

test('the lock of a restic that was killed is in nobody’s way; that of a living one is never removed', async () => {
  const { repository, offsite, kill } = await lockedOne('locked');
  try {
    await expect(offsite.proveWriting?.()).rejects.toMatchObject({ type: 'OffsiteUnavailable' });
    await expect(offsite.put({ ...part(), again: false }, follow)).rejects.toMatchObject({
      type: 'OffsiteUnavailable',
    });
    // Another attempt tonight would only wait once more.
    await expect(offsite.remove(going, follow)).rejects.toMatchObject({ type: 'Refused' });
    expect(await readdir(join(repository, 'locks'))).toHaveLength(1);
  } finally {
    await kill();
  }
  await cp(repository, `${repository}-2`, { recursive: true });
  await offsite.proveWriting?.();
  expect(await readdir(join(repository, 'locks'))).toEqual([]);
  const night = (await open(`${repository}-2`)).offsite;
  await night.put({ ...part(), again: false }, follow);
  await night.seal(manifestOf(part().backup), false);
  expect(await readdir(join(`${repository}-2`, 'locks'))).toEqual([]);
  expect(await night.remove(going, follow)).toBe('removed');
});

test('beside the upload of another host, attempts repeated are stored and sealed, and nothing is removed', async () => {
  const { repository, offsite, kill } = await lockedOne('beside');
  await kill();
  await rm(join(repository, 'locks'), { recursive: true });
  await mkdir(join(repository, 'locks'));
  const uploading = spawn(
    toolPath('restic').path,
    [
      ...['-r', repository, '--password-file', join(folder, 'keys/vault.password'), '--no-cache'],
      ...['backup', '--stdin', '--stdin-filename', 'slow', '--host', 'other.example'],
    ],
    { stdio: ['pipe', 'ignore', 'ignore'] },
  );
  const ended = once(uploading, 'exit');
  try {
    while ((await readdir(join(repository, 'locks'))).length === 0) await sleep(20);
    await offsite.put({ ...part(), again: false }, follow);
    const { ref } = await offsite.put({ ...part(), again: true }, follow);
    await offsite.seal(manifestOf(part().backup), false);
    await offsite.seal(manifestOf(part().backup), true);
    const entry = await offsite.readEntry(ref, 'database.dump');
    expect(Buffer.concat((await entry.stdout.toArray()) as Buffer[]).toString()).toBe(
      contentOf('20261101T031700Z'),
    );
    await expect(offsite.remove(going, follow)).rejects.toMatchObject({ type: 'Refused' });
    expect((await offsite.list()).sealed).toHaveLength(family.length + 1);
  } finally {
    uploading.stdin.end('at last');
    await ended;
  }
});

test('what has a reason to stay by now stops a removal before it begins', async () => {
  const { offsite } = await open(join(folder, 'pristine'));
  let listed: string[] = [];
  const removal = offsite.remove(going, follow, ({ sealed }) => {
    listed = sealed.map(({ backup }) => backup);
    return Promise.reject(new Error('somebody reads it'));
  });
  await expect(removal).rejects.toThrow('somebody reads it');
  expect(listed).toEqual(family.map(({ backup }) => backup).reverse());
  expect(await wholeOnes(join(folder, 'pristine'))).toEqual(listed);
});

/** Only root may, and not on every file system. */
function setFast(how: '+i' | '-i', files: readonly string[]): boolean {
  try {
    execFileSync('chattr', [how, '--', ...files], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

test('a place that lets nothing be removed is left alone; one that refuses half-way is an error', async ({
  skip,
}) => {
  const repository = join(folder, 'fast');
  await cp(join(folder, 'pristine'), repository, { recursive: true });
  const { offsite } = await open(repository);
  const at = join(repository, 'snapshots');
  const all = (await readdir(at)).map((file) => join(at, file));
  const seals = (await offsite.list()).sealed.filter(({ backup }) => going.includes(backup));
  if (!setFast('+i', all)) skip('chattr does not work here');
  try {
    expect(await offsite.remove(going, follow)).toBe('append-only');
    expect((await offsite.list()).sealed).toHaveLength(family.length);
    // Of the deltas, whose seals go first, one lets its seal go.
    setFast('-i', [join(at, seals[0]?.key ?? '')]);
    await expect(offsite.remove(going, follow)).rejects.toMatchObject({
      type: 'OffsiteUnavailable',
      message: expect.stringContaining('20261102T031700Z') as string,
    });
    await wholeOnes(repository);
  } finally {
    setFast(
      '-i',
      all.filter((file) => readdirSync(at).some((name) => file.endsWith(name))),
    );
  }
  expect(await offsite.remove(going, follow)).toBe('removed');
});
