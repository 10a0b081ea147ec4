import { expect, test } from 'vitest';
import { environmentOf, envSources } from '../../../src/mastodon/environment.js';

const web = {
  files: ['/etc/systemd/system/mastodon-web.service'],
  environment: new Map([
    ['PORT', '3001'],
    ['KEY', 'of the unit'],
  ]),
};
const sources = envSources('/live/.env.production', web, ['/opt/one.env', '/opt/two.env']);

test('what the unit sets wins over the env file, and its files over that, the last one first', () => {
  const texts = new Map([
    ['/opt/two.env', 'MAIL=of two\n'],
    ['/opt/one.env', 'MAIL=of one\nPORT=3002\n'],
    ['/live/.env.production', 'KEY=of the env file\nMAIL=of the env file\nOTHER=kept\nPORT=3000\n'],
  ]);
  expect(Object.fromEntries(environmentOf(sources, texts))).toEqual({
    ...{ KEY: 'of the unit', MAIL: 'of two', OTHER: 'kept', PORT: '3002' },
  });
});

test('a source whose file is not there sets nothing', () => {
  expect(environmentOf(sources, new Map())).toEqual(web.environment);
  expect(environmentOf(envSources('/live/.env.production', undefined, []), new Map()).size).toBe(0);
});
