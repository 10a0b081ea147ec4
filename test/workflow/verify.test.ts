import { expect, test } from 'vitest';
import type { VerifiedCopy } from '../../src/backups/verify-report.js';
import { activity, complete, fail, History, upsert } from './history.js';
import { instance, unreachable } from './night.js';
import { replay } from './replay.js';

const backup = '20261122T031700Z';
const finding = { part: 'media' as const, path: 'a/b.png', problem: 'came back changed' };

function copy(from: string, more: Partial<VerifiedCopy> = {}): VerifiedCopy {
  return {
    ...{ backup, from, passed: true, checked: { files: 9, bytes: 90 } },
    ...{ findings: [], moreFindings: 0, signature: 'valid', ...more },
  };
}

/** A verify of the latest backup that two off-sites have, and a third could not be asked for. */
function reading(unread: { name: string; error: typeof unreachable }[] = [], notOn: string[] = []): History {
  return new History('verify', `verify/${instance}`, { instance, backup: 'latest', depth: 'sample' })
    .decides(upsert, activity('findStored'))
    .completed('findStored', { backup, offsites: ['vault', 'cellar'], notOn, unread })
    .decides(upsert, activity('verifyStored to vault'), activity('verifyStored to cellar'));
}

test('copies that are as they should be: each is read from its off-site, the same share of each', async () => {
  const heard = await replay(
    reading([], ['box'])
      .completed('verifyStored to vault', copy('vault'))
      .completed('verifyStored to cellar', copy('cellar'))
      .decides(upsert, complete),
  );
  expect(heard.report).toMatchObject({
    ...{ instance, backup, status: 'passed', notOn: ['box'] },
    copies: [copy('cellar'), copy('vault')],
  });
  const inputs = heard.all('verifyStored').map(({ input }) => input);
  expect(inputs).toMatchObject([
    { instance, backup, offsite: 'vault', depth: 'sample', turn: 20_779 },
    { instance, backup, offsite: 'cellar', turn: 20_779 },
  ]);
});

test('one that is not fails the run, and the other says where to restore from', async () => {
  const heard = await replay(
    reading()
      .completed('verifyStored to vault', copy('vault', { passed: false, findings: [finding] }))
      .failed('verifyStored to cellar', 'OffsiteUnavailable')
      .decides(upsert, fail),
  );
  expect(heard.failure).toMatchObject({ type: 'VerifyFailed' });
  expect(heard.failure.message).toContain('vault');
  expect(heard.report).toMatchObject({
    status: 'findings',
    copies: [
      { from: 'cellar', passed: false, error: { type: 'OffsiteUnavailable' } },
      { from: 'vault', passed: false, findings: [finding] },
    ],
  });
});

test('an off-site that could not be asked is no finding, and no success either', async () => {
  const heard = await replay(
    reading([{ name: 'attic', error: unreachable }])
      .completed('verifyStored to vault', copy('vault'))
      .completed('verifyStored to cellar', copy('cellar'))
      .decides(upsert, fail),
  );
  expect(heard.failure).toMatchObject({ type: 'OffsiteUnavailable', message: unreachable.message });
  expect(heard.report).toMatchObject({
    status: 'failed',
    copies: [{ from: 'attic', error: unreachable }, { passed: true }, { passed: true }],
  });
});

test('a run of another name than its instance has looks at nothing', async () => {
  const foreign = new History('verify', 'verify/other.example', { instance, backup: 'latest', depth: 'all' });
  expect((await replay(foreign.decides(fail))).failure.type).toBe('InvalidInput');
});
