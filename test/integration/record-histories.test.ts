import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { record, stories } from '../histories/record.js';
import { type Installation, setUpInstallation } from './installation.js';

vi.setConfig({ testTimeout: 300_000 });

/** Not a test: records histories, when it is asked to (test/histories/README.md). */
describe.runIf(process.env['PERMAFROST_RECORD'] === '1')('histories', () => {
  let here: Installation;
  beforeAll(async () => {
    const size = { accounts: 20, statuses: 40, media: 6, mediaBytes: 2_000 };
    here = await setUpInstallation({ name: 'recorded', offsites: ['vault', 'cellar'], size });
  });
  afterAll(() => here?.remove());

  test.each(Object.keys(stories))('%s', async (story) => {
    const tell = stories[story];
    if (tell) await record(tell, here);
    expect(await here.services.allUp()).toBe(true);
  });
});
