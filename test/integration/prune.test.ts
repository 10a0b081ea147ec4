import { randomUUID } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ApplicationFailure } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { leavePermit } from '../../src/records/permits.js';
import { withReading } from '../../src/records/readers.js';
import { guardWorkflowId, pruneWorkflowId, TASK_QUEUE, WORKFLOWS } from '../../src/workflows/names.js';
import { type Installation, setUpInstallation } from './installation.js';

/** Three nights on two off-sites, and what keeps them there, removes them, and notices that they are gone. */

let here: Installation;
let nights: string[];
beforeAll(async () => {
  here = await setUpInstallation({ name: 'prune', offsites: ['vault', 'cellar'] });
  for (let night = 0; night < 3; night += 1) await here.backup('--only', 'secrets');
  nights = await here.backups();
});
afterAll(() => here?.remove());

const strict = { last: 1, daily: 0, weekly: 0, monthly: 0, yearly: 0 };
const strictly = <T>(work: () => Promise<T>) =>
  here.with((settings) => {
    settings.instance['retention'] = strict;
  }, work);

interface Row {
  offsite: string;
  backup: string;
  keep: boolean;
  reasons: string[];
}
const plan = async (...words: string[]) =>
  (await here.permafrost('prune', '--dry-run', '--json', ...words)).json as unknown as Row[];

async function refusal(permit: string, offsites = ['vault'], workflowId = pruneWorkflowId(here.domain)) {
  const input = { instance: here.domain, offsites, permit };
  const ended = here.client.workflow.execute(WORKFLOWS.prune, {
    taskQueue: TASK_QUEUE,
    workflowId,
    args: [input],
  });
  for (let at: unknown = await ended.catch((error: unknown) => error); at instanceof Error; at = at.cause)
    if (at instanceof ApplicationFailure) return at.type;
  return 'not refused';
}

describe('prune --dry-run', () => {
  test('says of each off-site and backup why it stays, or that it goes; and removes nothing', async () => {
    const [newest = '', middle = '', oldest = ''] = nights;
    await strictly(async () => {
      expect(await plan()).toMatchObject(
        ['vault', 'cellar'].flatMap((offsite) => [
          { offsite, backup: newest, keep: true, reasons: ['newest', 'last'], bytes: expect.any(Number) },
          { offsite, backup: middle, keep: false, reasons: [] },
          { offsite, backup: oldest, keep: false, reasons: [] },
        ]),
      );
      const { stdout } = await here.permafrost('prune', '--dry-run', '--offsite', 'cellar');
      expect(stdout).toContain('cellar: of 3 backups 2 go');
      expect(stdout).not.toContain('vault');
      for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
    });
    expect(await here.backups()).toEqual(nights);
  });
});

describe('prune', () => {
  test('asks first, and where nobody can answer it wants --yes', async () => {
    expect(await here.permafrost('prune', '--json')).toMatchObject({ exitCode: 2 });
  });

  test('is refused to whoever has no permit, a used one, one for something else, or an old one', async () => {
    expect(await refusal('0'.repeat(48))).toBe('Refused');
    const wanted = { what: 'prune', instance: here.domain, choices: ['vault'] };
    await strictly(async () => {
      const other = await leavePermit(here.state, { ...wanted, choices: ['cellar'] });
      expect(await refusal(other)).toBe('Refused');
      const restore = await leavePermit(here.state, { ...wanted, what: 'restore' });
      expect(await refusal(restore)).toBe('Refused');
      const old = await leavePermit(here.state, wanted, new Date(Date.now() - 11 * 60_000));
      expect(await refusal(old)).toBe('Refused');
      const foreign = await leavePermit(here.state, wanted);
      expect(await refusal(foreign, ['vault'], 'prune/other.example')).toBe('InvalidInput');
    });
    const good = await leavePermit(here.state, wanted);
    expect(await refusal(good)).toBe('not refused'); // by the policy as it is, nothing goes
    expect(await refusal(good)).toBe('Refused');
    expect(await here.backups()).toEqual(nights);
    const { json } = await here.permafrost('status', '--json');
    expect(json['problems']).toEqual([
      expect.stringMatching(/^somebody wanted to prune .* without a permit and was refused, 5 times/),
    ]);
    await rm(join(here.state, 'refusals'), { recursive: true });
  });

  test('waits for nobody: another run holds the instance', async () => {
    const held = { instance: here.domain, token: randomUUID(), workflowId: 'backup/somebody' };
    const guard = await here.client.workflow.start('guard', {
      ...{ taskQueue: TASK_QUEUE, workflowId: guardWorkflowId(here.domain), args: [held] },
      startDelay: '1 hour',
    });
    try {
      expect(await here.permafrost('prune', '--yes', '--json')).toMatchObject({ exitCode: 4 });
    } finally {
      await guard.terminate();
    }
  });

  test('removes what retention lets go, but nothing that is kept or being read', async () => {
    const [newest = '', middle = '', oldest = ''] = nights;
    const kept = await here.permafrost('keep', oldest, here.domain, '--until', '2999-12-31', '--json');
    expect(kept).toMatchObject({ exitCode: 0, json: { backup: oldest, kept: '2999-12-31' } });
    expect(kept.json['offsites']).toEqual([{ name: 'vault' }, { name: 'cellar' }]);
    await strictly(async () => {
      const pruned = await withReading(here.state, 'vault', middle, () =>
        here.permafrost('prune', '--yes', '--json'),
      );
      expect(pruned).toMatchObject({
        exitCode: 0,
        json: {
          status: 'done',
          offsites: [
            { name: 'vault', removed: [], kept: 3 },
            { name: 'cellar', removed: [middle], kept: 2 },
          ],
        },
      });
      const listed = (await here.permafrost('list', '--json')).json as unknown as Record<string, unknown>[];
      expect(listed.find(({ backup }) => backup === oldest)).toMatchObject({
        keep: ['kept until 2999-12-31'],
      });

      await here.permafrost('keep', oldest, '--release', '--offsite', 'vault');
      const { stdout, exitCode } = await here.permafrost('prune', '--yes');
      expect(exitCode).toBe(0);
      expect(stdout).toContain('vault: 2 backups removed');
      const ids = async (offsite: string) => (await plan('--offsite', offsite)).map(({ backup }) => backup);
      expect(await ids('vault')).toEqual([newest]);
      expect(await ids('cellar')).toEqual([newest, oldest]);
    });
    expect(await here.remains()).toEqual([]);
  });

  test('keep says where a backup is not', async () => {
    const [, middle = '', oldest = ''] = nights;
    const said = await here.permafrost('keep', oldest, '--offsite', 'vault,cellar', '--json');
    expect(said).toMatchObject({ exitCode: 5, json: { kept: 'forever' } });
    expect(said.json['offsites']).toEqual([{ name: 'cellar' }, { name: 'vault', error: expect.any(String) }]);
    expect(await here.permafrost('keep', middle)).toMatchObject({ exitCode: 2 });
    expect(await here.permafrost('keep', oldest, '--until', '2020-01-01')).toMatchObject({ exitCode: 2 });
  });
});

describe('silence', () => {
  const check = (...words: string[]) => here.permafrost('check-freshness', ...words);
  const problems = async () => (await here.permafrost('status', '--json')).json['problems'];

  test('status has the age of each off-site, and what our own prune removed is no alarm', async () => {
    const [newest] = nights;
    const { json } = await here.permafrost('status', '--json');
    expect(json['offsites']).toMatchObject(
      ['vault', 'cellar'].map((name) => ({ name, newest, late: false, ageMs: expect.any(Number) })),
    );
    expect(json['problems']).toEqual([]);
  });

  test('check-freshness is one line and the exit code of a Nagios plugin', async () => {
    expect(await check()).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(
        /^OK - vault .* old, cellar .* old \| vault_age=\d+s;108000;172800 cellar_age=\d+s;108000;172800\n$/,
      ),
    });
    const tight = ['--interval', '1s', '--offsite', 'vault'];
    expect(await check(...tight, '--critical', '1000000')).toMatchObject({
      exitCode: 1,
      stdout: expect.stringMatching(/^WARNING - vault .* old: late \| /),
    });
    expect(await check(...tight)).toMatchObject({
      exitCode: 2,
      stdout: expect.stringMatching(/^CRITICAL - /),
    });
    expect(await check('--intervall', '1d')).toMatchObject({ exitCode: 3 });
    expect(await check('--interval', 'soon')).toMatchObject({
      exitCode: 3,
      stdout: expect.stringMatching(/^UNKNOWN - .*\n$/),
    });
  });

  test('an off-site that cannot be read is not known to be late', async () => {
    await here.with(
      (settings) => {
        Object.assign(settings.offsites['vault'] ?? {}, { repository: 'rest:http://127.0.0.1:1/' });
      },
      async () => {
        expect(await check('--timeout', '3s')).toMatchObject({
          exitCode: 3,
          stdout: expect.stringMatching(/^UNKNOWN - vault: .*, cellar .* old \| cellar_age=/),
        });
      },
    );
  });

  test('what somebody took away is missed', async () => {
    const [newest = ''] = nights;
    const snapshots = join(here.folder, 'cellar/snapshots');
    for (const name of await readdir(snapshots)) await rm(join(snapshots, name));
    expect(await problems()).toEqual([expect.stringContaining(`off-site cellar lacks ${newest}`)]);
    expect(await check()).toMatchObject({
      exitCode: 2,
      stdout: expect.stringMatching(/^CRITICAL - cellar: no backup/),
    });
  });
});
