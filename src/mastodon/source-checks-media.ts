import { databaseAccess } from './instance.js';
import { isUnmounted, mediaPlace } from './media-place.js';
import { psql } from './psql.js';
import type { Look, Source, SourceCheck } from './source-check.js';

/** Whether the media are there, and where they were. */
export const mediaChecks = [
  { name: 'media-folder', parts: ['media'], look: mediaFolder },
  { name: 'media-files', parts: ['media'], allowance: 'empty-media', look: mediaFiles },
  { name: 'media-mount', parts: ['media'], allowance: 'unmounted-media', look: mediaMount },
] as const satisfies readonly SourceCheck[];

const none = [true, 'there are no media on this host'] as const;

async function mediaFolder({ host, instance: { media, appUser } }: Source): Promise<Look> {
  if (media === null) return none;
  const { root } = await host.facts();
  const { exitCode } = await host.run(
    ['sh', '-c', 'test -d "$1/." && test -r "$1/." && test -x "$1/."', 'sh', media.path],
    { as: root ? 'login' : { user: appUser }, okCodes: [0, 1] },
  );
  if (exitCode === 0) return [true, `the media in ${media.path} can be read`];
  return [
    false,
    `the media in ${media.path} on ${host.name} are not there or cannot be read`,
    'say where they are with mastodon.media (or none) in the configuration',
  ];
}

/** An empty folder where the database names files is a mount that is not mounted, most often. */
async function mediaFiles({ host, instance, schema }: Source): Promise<Look> {
  const { media, appUser } = instance;
  if (media === null) return none;
  const { path } = media;
  const { stdout } = await host.run(
    ['find', path, '-path', `${path}/cache`, '-prune', '-o', '-type', 'f', '-print', '-quit'],
    { as: { user: appUser }, okCodes: [0, 1] },
  );
  if (stdout !== '') return [true, `${path} holds files`];
  const columns = (await schema()).get('media_attachments');
  if (!columns?.has('remote_url') || !columns.has('file_file_name'))
    return [true, `${path} is empty, and so is what the database says of it`];
  const [row] = await psql(
    host,
    databaseAccess(instance),
    "SELECT EXISTS (SELECT 1 FROM public.media_attachments WHERE remote_url = '' AND file_file_name <> '')",
  );
  if (row?.[0] !== 't') return [true, `${path} is empty, and the database names no file`];
  return [
    false,
    `${path} on ${host.name} is empty, and the database names files in it`,
    'mount what belongs there, or say where the media are with mastodon.media in the configuration',
  ];
}

async function mediaMount({ host, instance, last }: Source): Promise<Look> {
  const now = await mediaPlace(host, instance);
  if (now === null) return none;
  const before = last?.mediaPlace;
  if (last === null || before === undefined || !isUnmounted(before, now))
    return [true, `the media are on ${now.mountPoint} (${now.fstype})`];
  const files = last.parts.media?.files;
  const held = files === undefined ? '' : `, with ${String(files)} files`;
  return [
    false,
    `${before.mountPoint} on ${host.name} is not mounted: the media in ${now.path} were on it (${before.fstype}) in the backup ${last.backup}${held}`,
    `mount it (mount ${before.mountPoint})`,
  ];
}
