import { expect, test } from 'vitest';
import type { z } from 'zod';
import { type Answers, applicationLooks } from '../../../src/proofs/application-checks.js';
import type { Web } from '../../../src/proofs/application-web.js';
import { proveAll } from '../../../src/proofs/check.js';
import { aManifest } from '../backups/a-manifest.js';

/** Wrong answers, which a real application does not give when asked to. What is right is tried on a real one. */

const finger = '/.well-known/webfinger?resource=';
const right: Record<string, unknown> = {
  [`${finger}acct%3Aalice%40example.social`]: {
    subject: 'acct:alice@example.social',
    links: [{ rel: 'self', type: 'application/activity+json', href: 'https://web.example/users/alice' }],
  },
  [`${finger}acct%3Azoe%40example.social`]: {
    subject: 'acct:zoe@example.social',
    links: [{ rel: 'self', href: 'https://web.example/ap/users/116543210987654321' }],
  },
  [`${finger}acct%3Amallory%40example.social`]: 410,
  '/api/v1/accounts/lookup?acct=alice': { id: '7', acct: 'alice' },
  '/api/v1/accounts/lookup?acct=zoe': { id: '116543210987654321', acct: 'zoe' },
  '/api/v2/instance': {
    domain: 'example.social',
    version: '4.5.2+glitch',
    configuration: { vapid: { public_key: 'BPublic' } },
  },
  '/api/v1/accounts/7/statuses?exclude_reblogs=true&limit=40': [{ id: '12' }, { id: '11' }],
  '/api/v1/accounts/116543210987654321/statuses?exclude_reblogs=true&limit=40': [{ id: '13' }],
  '/api/v1/statuses/12': {
    media_attachments: [
      {
        id: '5',
        url: 'https://web.example/system/media_attachments/files/000/000/005/original/a%20b.jpg?12',
      },
    ],
  },
};
const sha256 = 'a'.repeat(64);
const path = 'media_attachments/files/000/000/005/original/a b.jpg';

function webThat(answers: Record<string, unknown>): Web {
  return {
    status: (asked) => Promise.resolve(Number(answers[asked] ?? 404)),
    json: <Shape extends z.ZodType>(asked: string, shape: Shape) =>
      Promise.resolve().then(() => shape.parse(answers[asked])),
    sha256: (asked) => Promise.resolve({ status: asked.startsWith('/system/') ? 200 : 404, sha256 }),
  };
}

const record = {
  path,
  pathBytes: Buffer.from(path),
  sha256,
  size: 1,
  mtime: '0.0',
  mode: 0o644,
  uid: 0,
  gid: 0,
};

async function findings(changes: Record<string, unknown>, more: Partial<Answers> = {}) {
  const proof = await proveAll(
    applicationLooks({
      host: undefined as unknown as Answers['host'], // asked only where the application serves no files
      web: webThat({ ...right, ...changes }),
      sample: {
        accounts: [
          { id: '7', username: 'alice', idScheme: 0, statuses: ['12', '11'] },
          { id: '116543210987654321', username: 'zoe', idScheme: 1, statuses: ['13'] },
        ],
        media: [{ attachment: '5', status: '12', path }],
        suspended: 'mallory',
      },
      manifest: { ...aManifest, versions: { ...aManifest.versions, mastodon: '4.5.2' } },
      ...{ localDomain: 'example.social', webDomain: 'web.example', vapidPublicKey: 'BPublic' },
      media: { folder: '/media', records: new Map([[path, record]]) },
      servesMedia: true,
      ...more,
    }),
  );
  expect(proof.checks.length + proof.notProven.length).toBe(5);
  const wrong = proof.checks.filter(({ passed }) => !passed);
  return [...wrong.map(({ name, detail }) => `${name}: ${detail}`), ...proof.notProven];
}

test('right answers prove everything', async () => {
  expect(await findings({})).toEqual([]);
});

test.each([
  [
    'a handle of another domain',
    { [`${finger}acct%3Aalice%40example.social`]: { subject: 'acct:alice@web.example', links: [] } },
    /^webfinger: .+ answered for acct:alice@web\.example$/,
  ],
  [
    'an actor by another address than other servers know',
    {
      [`${finger}acct%3Azoe%40example.social`]: {
        subject: 'acct:zoe@example.social',
        links: [{ rel: 'self', href: 'https://web.example/users/zoe' }],
      },
    },
    /^webfinger: .+ names the actor https:\/\/web\.example\/users\/zoe, not .+\/ap\/users\/116543210987654321$/,
  ],
  [
    'a suspended account that is back',
    { [`${finger}acct%3Amallory%40example.social`]: 200 },
    /^webfinger: the suspended account mallory is answered with 200/,
  ],
  [
    'an account with another id',
    { '/api/v1/accounts/lookup?acct=alice': { id: '8', acct: 'alice' } },
    /^account-lookup: the account alice has the id 8, in the database 7$/,
  ],
  [
    'another domain',
    { '/api/v2/instance': { domain: 'other.example', version: '4.5.2' } },
    /^instance: .+ says that it is other\.example, and the backup is of example\.social$/,
  ],
  [
    'a post that is lost, and one that is none of the database’s',
    { '/api/v1/accounts/7/statuses?exclude_reblogs=true&limit=40': [{ id: '12' }, { id: '10' }] },
    /^statuses: .+ alice, 1 are not shown \(11\) and 1 are not in the database \(10\)$/,
  ],
  [
    'an attachment at another address',
    {
      '/api/v1/statuses/12': {
        media_attachments: [{ id: '5', url: 'https://files.example/bucket/5/a.jpg' }],
      },
    },
    /^media-served: the post 12 shows \/bucket\/5\/a\.jpg, and the database means media_attachments/,
  ],
  [
    'a post without its attachment',
    { '/api/v1/statuses/12': { media_attachments: [] } },
    /^media-served: the post 12 does not show its attachment 5$/,
  ],
])('%s is found', async (_, changes, finding) => {
  expect(await findings(changes)).toEqual([expect.stringMatching(finding)]);
});

test('what cannot be seen is not proven', async () => {
  const sample = { accounts: [], media: [], suspended: null };
  expect(await findings({}, { sample })).toEqual([
    expect.stringMatching(/^webfinger: no local account/),
    expect.stringMatching(/^account-lookup: no local account/),
    expect.stringMatching(/^statuses: no local account/),
    expect.stringMatching(/^media-served: no restored file belongs to a post/),
  ]);
});
