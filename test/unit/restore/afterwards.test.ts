import { expect, test } from 'vitest';
import type { Manifest } from '../../../src/backups/manifest.js';
import { afterwardsOf } from '../../../src/restore/afterwards.js';
import { aManifest } from '../backups/a-manifest.js';

const manifest: Manifest = {
  ...aManifest,
  media: {
    ...{ root: '/x', cache: 'exclude', expected: 0, alreadyMissing: [], alreadyMissingCount: 0 },
    ...{ deletedDuringRun: [], deletedDuringRunCount: 0, hashedFiles: 0, carriedFiles: 0 },
  },
};
const target = {
  ...{
    root: '/home/mastodon/live',
    appUser: 'mastodon',
    inPlace: true,
    media: '/home/mastodon/live/public/system',
  },
  env: new Map([['ES_ENABLED', 'true']]),
};
const names = (...given: Parameters<typeof afterwardsOf>) => afterwardsOf(...given).map(({ name }) => name);

test('what has to be run depends on what was restored, and where', () => {
  expect(names(target, manifest, ['secrets', 'media'])).toEqual([]);
  expect(names(target, manifest, ['database'])).toEqual(['cache', 'feeds', 'search']);
  expect(names(target, manifest, ['database', 'redis'])).toEqual(['cache', 'search']);
  // Only where nothing was, the copies of other servers' media are gone.
  expect(names({ ...target, inPlace: false, env: new Map() }, manifest, ['database'])).toEqual([
    'cache',
    'feeds',
    'media',
  ]);
  expect(names({ ...target, inPlace: false, media: null, env: new Map() }, manifest, ['database'])).toEqual([
    'cache',
    'feeds',
  ]);
});

test('a line to type is one that a shell takes, whatever the folder is called', () => {
  const [cache] = afterwardsOf({ ...target, root: "/srv/ann's live" }, manifest, ['database']);
  expect(cache?.lines).toEqual([
    `sudo -iu mastodon sh -c 'cd '\\''/srv/ann'\\''\\'\\'''\\''s live'\\'' && RAILS_ENV=production bin/tootctl cache clear'`,
  ]);
});
