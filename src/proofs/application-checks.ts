import { posix } from 'node:path';
import { z } from 'zod';
import type { Manifest } from '../backups/manifest.js';
import type { MediaRecord } from '../backups/media-index.js';
import type { Host } from '../hosts/host.js';
import type { ApplicationSample, SampledMedia } from './application-sample.js';
import { pathOf, type Web } from './application-web.js';
import { firstOf, type Look, NotSeen, Wrong } from './check.js';

/**
 * What the running application is asked, and what the database says that it has to answer (reference/mastodon.md §4.4).
 */

export interface Answers {
  readonly host: Host;
  readonly web: Web;
  readonly sample: ApplicationSample;
  readonly manifest: Manifest;
  /** LOCAL_DOMAIN: what people's handles end with. */
  readonly localDomain: string;
  /** WEB_DOMAIN, or else LOCAL_DOMAIN: what addresses begin with. */
  readonly webDomain: string;
  /** Of the backup; null where it has none. */
  readonly vapidPublicKey: string | null;
  /** The restored media, and what the index says of those that are asked for; null when there are none. */
  readonly media: { readonly folder: string; readonly records: ReadonlyMap<string, MediaRecord> } | null;
  /** The application has them where it serves files from, as nginx does. */
  readonly servesMedia: boolean;
}

const webfingerAnswer = z.object({
  subject: z.string(),
  links: z.array(z.object({ rel: z.string(), type: z.string().optional(), href: z.string().optional() })),
});
const accountAnswer = z.object({ id: z.string(), acct: z.string() });
const instanceAnswer = z.object({
  domain: z.string(),
  version: z.string(),
  configuration: z.object({ vapid: z.object({ public_key: z.string().nullable() }).optional() }).optional(),
});
const statusesAnswer = z.array(z.object({ id: z.string() }));
const statusAnswer = z.object({
  media_attachments: z.array(z.object({ id: z.string(), url: z.string().nullable() })),
});

/** The looks at an application that has booted, in the order of what they say of it. */
export function applicationLooks(answers: Answers): Look[] {
  return [
    { name: 'webfinger', look: () => webfinger(answers) },
    { name: 'account-lookup', look: () => accountLookup(answers) },
    { name: 'instance', look: () => instance(answers) },
    { name: 'statuses', look: () => statuses(answers) },
    { name: 'media-served', look: () => mediaServed(answers) },
  ];
}

async function webfinger({ web, sample, localDomain, webDomain }: Answers): Promise<string> {
  requireAccounts(sample);
  const finger = (username: string) =>
    `/.well-known/webfinger?resource=${encodeURIComponent(`acct:${username}@${localDomain}`)}`;
  for (const { id, username, idScheme } of sample.accounts) {
    const { subject, links } = await web.json(finger(username), webfingerAnswer);
    const handle = `acct:${username}@${localDomain}`;
    if (subject !== handle) throw new Wrong(`webfinger of ${handle} is answered for ${subject}`);
    const actor = links.find(({ rel }) => rel === 'self')?.href;
    const expected = `https://${webDomain}/${idScheme === 1 ? `ap/users/${id}` : `users/${username}`}`;
    if (actor !== expected)
      throw new Wrong(`webfinger of ${handle} names the actor ${String(actor)}, not ${expected}`);
  }
  const found = `${String(sample.accounts.length)} accounts are found by their handles (${firstOf(sample.accounts.map(({ username }) => username))})`;
  if (sample.suspended === null) return found;
  const status = await web.status(finger(sample.suspended));
  if (status !== 410) {
    throw new Wrong(
      `the suspended account ${sample.suspended} is answered with ${String(status)}, not 410 (gone)`,
    );
  }
  return `${found}, and the suspended ${sample.suspended} is gone`;
}

async function accountLookup({ web, sample }: Answers): Promise<string> {
  requireAccounts(sample);
  for (const { id, username } of sample.accounts) {
    const found = await web.json(
      `/api/v1/accounts/lookup?acct=${encodeURIComponent(username)}`,
      accountAnswer,
    );
    if (found.id !== id)
      throw new Wrong(`the account ${username} has the id ${found.id}, in the database ${id}`);
  }
  return `${String(sample.accounts.length)} accounts have the ids of the database`;
}

async function instance({ web, manifest, localDomain, vapidPublicKey }: Answers): Promise<string> {
  const found = await web.json('/api/v2/instance', instanceAnswer);
  if (found.domain !== localDomain) {
    throw new Wrong(`the instance says that it is ${found.domain}, and the backup is of ${localDomain}`);
  }
  const backedUp = manifest.versions.mastodon;
  if (backedUp !== null && plainVersion(found.version) !== plainVersion(backedUp)) {
    throw new Wrong(
      `the code that was booted is Mastodon ${found.version}, and the backup was made of ${backedUp}: have drill.application start that version`,
    );
  }
  const key = found.configuration?.vapid?.public_key ?? null;
  if (vapidPublicKey !== null && key !== null && key !== vapidPublicKey) {
    throw new Wrong(
      'the instance has another VAPID key than the backup: all push subscriptions would be dead',
    );
  }
  return [
    `${found.domain}, Mastodon ${found.version}`,
    ...(backedUp === null ? ['the version that was backed up is not known'] : []),
    key === null || vapidPublicKey === null ? 'no VAPID key to compare' : "the backup's VAPID key",
  ].join('; ');
}

/** `4.6.5+glitch` is 4.6.5: what forks and builds add is theirs. */
function plainVersion(version: string): string {
  return version.replace(/^v/, '').replace(/\+.*$/, '');
}

async function statuses({ web, sample }: Answers): Promise<string> {
  requireAccounts(sample);
  let compared = 0;
  for (const { id, username, statuses: expected } of sample.accounts) {
    const path = `/api/v1/accounts/${id}/statuses?exclude_reblogs=true&limit=40`;
    const found = (await web.json(path, statusesAnswer)).map((status) => status.id);
    const missing = expected.filter((status) => !found.includes(status));
    const more = found.filter((status) => !expected.includes(status));
    if (missing.length > 0 || more.length > 0) {
      throw new Wrong(
        `of the newest posts of ${username}, ${String(missing.length)} are not shown (${firstOf(missing)}) and ${String(more.length)} are not in the database (${firstOf(more)})`,
      );
    }
    compared += found.length;
  }
  return `the newest posts of ${String(sample.accounts.length)} accounts are those of the database, ${String(compared)} in all`;
}

async function mediaServed(answers: Answers): Promise<string> {
  const { web, sample, media, servesMedia, host } = answers;
  if (media === null) throw new NotSeen('no media of this backup were restored');
  const known = sample.media.filter(({ path }) => media.records.has(path));
  if (known.length === 0) throw new NotSeen('no restored file belongs to a post that everybody is shown');
  for (const one of known) {
    const url = await urlOf(web, one);
    const path = pathOf(url);
    const named = decoded(path.replace(/\?.*$/, ''));
    if (named !== `/system/${one.path}`) {
      throw new Wrong(`the post ${one.status} shows ${named}, and the database means ${one.path}`);
    }
    const expected = media.records.get(one.path)?.sha256;
    const served = servesMedia
      ? await web.sha256(path)
      : { status: 200, sha256: await sha256Of(host, posix.join(media.folder, one.path)) };
    if (served.status !== 200) throw new Wrong(`${one.path} is answered with ${String(served.status)}`);
    if (served.sha256 !== expected)
      throw new Wrong(`${one.path} is served with another content than was backed up`);
  }
  const way = servesMedia ? 'served by the application' : 'read from the folder that nginx would serve';
  return `${String(known.length)} attachments of posts have the addresses and the bytes of the backup (${way})`;
}

async function urlOf(web: Web, { attachment, status }: SampledMedia): Promise<string> {
  const { media_attachments: shown } = await web.json(`/api/v1/statuses/${status}`, statusAnswer);
  const url = shown.find(({ id }) => id === attachment)?.url ?? null;
  if (url === null) throw new Wrong(`the post ${status} does not show its attachment ${attachment}`);
  return url;
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

async function sha256Of(host: Host, path: string): Promise<string> {
  const { stdout } = await host.run(['sha256sum', '-z', '--', path], { as: 'privileged' });
  return stdout.slice(0, 64);
}

function requireAccounts({ accounts }: ApplicationSample): void {
  if (accounts.length === 0) throw new NotSeen('no local account has a post that everybody is shown');
}
