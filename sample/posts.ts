import { type Draft, momentOf, snowflake, stamps } from './data.js';
import { attachmentFolder, styleName } from './files.js';
import { localAuthor } from './people.js';

const words =
  'frost mammoth tundra moss lichen glacier timeline boost ferry harbour kettle library night train'.split(
    ' ',
  );

interface Status {
  readonly id: bigint;
  readonly accountId: bigint;
  readonly moment: Date;
}

/** Statuses, and what hangs on them: statistics, favourites, mentions, tags, local and remote media. */
export function addPosts(draft: Draft): void {
  addTags(draft);
  const local: Status[] = [];
  const remote: Status[] = [];
  for (let index = 0; index < draft.size.statuses; index++) {
    if (index % 5 === 0) local.push(addLocalStatus(draft, index));
    else remote.push(addRemoteStatus(draft, index));
  }
  addReactions(draft, [...local, ...remote]);
  addLocalMedia(draft, local);
  addRemoteMedia(draft, remote);
}

function addTags({ rows }: Draft): void {
  words.forEach((name, index) => {
    rows.add('tags', { id: BigInt(index + 1), name, ...stamps(momentOf(0, 60_000)) });
  });
}

function text(draft: Draft): string {
  return Array.from({ length: 8 + draft.random.below(30) }, () => draft.random.pick(words)).join(' ');
}

function addLocalStatus(draft: Draft, index: number): Status {
  const author = localAuthor(draft, index / 5);
  const moment = momentOf(index, draft.size.statuses);
  const id = snowflake(moment, index);
  const conversationId = BigInt(index + 1);
  draft.rows.add('conversations', { id: conversationId, uri: null, ...stamps(moment) });
  const path = `https://${draft.domain}/users/${author.username}/statuses/${String(id)}`;
  draft.rows.add('statuses', {
    id,
    uri: path,
    url: null,
    text: index % 35 === 0 ? `tab\there, "quotes", a \\ and\na new line \u{1f9a3}` : text(draft),
    visibility: index % 15 === 0 ? 3 : 0,
    language: 'en',
    conversation_id: conversationId,
    local: true,
    account_id: author.id,
    deleted_at: index % 50 === 45 ? moment : null,
    ...stamps(moment),
  });
  return { id, accountId: author.id, moment };
}

function addRemoteStatus(draft: Draft, index: number): Status {
  const moment = momentOf(index, draft.size.statuses);
  const id = snowflake(moment, index);
  const accountId = draft.random.pick(draft.remoteAccountIds);
  const uri = `https://remote${String(index % 7)}.example/statuses/${String(id)}`;
  draft.rows.add('statuses', {
    id,
    uri,
    url: uri,
    text: `<p>${text(draft)}</p>`,
    visibility: 0,
    language: draft.random.pick(['en', 'de', 'ja']),
    conversation_id: null,
    local: false,
    account_id: accountId,
    deleted_at: null,
    ...stamps(moment),
  });
  return { id, accountId, moment };
}

function addReactions(draft: Draft, statuses: readonly Status[]): void {
  const { rows } = draft;
  statuses.forEach(({ id, accountId, moment }, index) => {
    if (index % 2 === 0) {
      rows.add('status_stats', {
        id: rows.nextId('status_stats'),
        status_id: id,
        favourites_count: 1,
        ...stamps(moment),
      });
      const author = localAuthor(draft, index);
      rows.add('favourites', {
        id: rows.nextId('favourites'),
        account_id: author.id,
        status_id: id,
        ...stamps(moment),
      });
    }
    if (index % 6 === 0) {
      rows.add('statuses_tags', { status_id: id, tag_id: BigInt((index % words.length) + 1) });
      const mentioned = localAuthor(draft, index + 1);
      const mention = rows.nextId('mentions');
      rows.add('mentions', { id: mention, status_id: id, account_id: mentioned.id, ...stamps(moment) });
      rows.add('notifications', {
        id: rows.nextId('notifications'),
        activity_id: mention,
        activity_type: 'Mention',
        account_id: mentioned.id,
        from_account_id: accountId,
        type: 'mention',
        ...stamps(moment),
      });
    }
  });
}

const oldNames = ['summer  in Ünïcödé №1.jpg', `it's "quoted" & $spaced.jpg`, 'mammoth \u{1f9a3} 氷.jpg'];

type Kind = 'image' | 'video' | 'gifv' | 'audio';
const kinds: Record<
  Kind,
  { type: number; extension: string; contentType: string; small: string | undefined }
> = {
  image: { type: 0, extension: 'jpg', contentType: 'image/jpeg', small: 'jpg' },
  gifv: { type: 1, extension: 'mp4', contentType: 'video/mp4', small: 'png' },
  video: { type: 2, extension: 'mp4', contentType: 'video/mp4', small: 'png' },
  audio: { type: 4, extension: 'mp3', contentType: 'audio/mpeg', small: undefined },
};

function addLocalMedia(draft: Draft, statuses: readonly Status[]): void {
  const { random, oddities } = draft;
  const count = Math.max(12, draft.size.media);
  for (let index = 0; index < count; index++) {
    const kind: Kind =
      index < 8 ? 'image' : random.pick(['image', 'image', 'image', 'gifv', 'video', 'audio']);
    const status = statuses[index % statuses.length];
    const author = draft.accounts.find(({ id }) => id === status?.accountId) ?? localAuthor(draft, 0);
    const moment = status?.moment ?? momentOf(index, count);
    // The oldest attachments are from before snowflake ids and random names.
    const oldName = oldNames[index];
    const id = oldName === undefined ? snowflake(moment, index) : BigInt(index + 11);
    const what = kinds[kind];
    const name = oldName ?? `${random.hex(8)}.${what.extension}`;
    const oddity = (['empty', 'missing', 'processing', 'unattached'] as const)[index - oldNames.length];
    const sizeBytes =
      oddity === 'empty' ? 0 : Math.ceil(draft.size.mediaBytes / 2) + random.below(draft.size.mediaBytes);
    const mode = author.suspended ? 0o600 : 0o644;
    const folder = attachmentFolder('media_attachments/files', id, false);
    const original = `${folder}/original/${name}`;
    const files = [{ path: original, sizeBytes, mode, modifiedAt: moment }];
    if (what.small !== undefined && oddity !== 'empty') {
      const path = `${folder}/small/${what.small === what.extension ? name : styleName(name, what.small)}`;
      files.push({ path, sizeBytes: Math.ceil(sizeBytes / 4), mode, modifiedAt: moment });
    }
    const thumbnail = kind === 'audio' || kind === 'video' ? `${random.hex(8)}.png` : null;
    if (thumbnail !== null) {
      const path = `${attachmentFolder('media_attachments/thumbnails', id, false)}/original/${thumbnail}`;
      files.push({ path, sizeBytes: 700, mode, modifiedAt: moment });
    }
    if (oddity === 'missing') oddities.missing.push(original);
    else if (oddity === 'processing') {
      oddities.processing.push(original);
      draft.files.push({
        path: `${folder}/original/${styleName(name, 'heic')}`,
        sizeBytes,
        mode,
        modifiedAt: moment,
      });
    } else draft.files.push(...files);
    if (oddity === 'empty') oddities.empty.push(original);
    if (oldName !== undefined) oddities.named.push(...files.map(({ path }) => path));
    if (author.suspended) oddities.private.push(...files.map(({ path }) => path));
    draft.rows.add('media_attachments', {
      id,
      status_id: oddity === 'unattached' ? null : (status?.id ?? null),
      account_id: author.id,
      file_file_name: name,
      file_content_type: what.contentType,
      file_file_size: sizeBytes,
      file_updated_at: moment,
      type: what.type,
      file_meta: { original: { width: 640, height: 480 } },
      description: index % 2 === 0 ? 'A mammoth' : null,
      shortcode: null,
      blurhash: 'UBL_:rOpGG-oBUNG,qRj2so|=eE1w^n4S5NH',
      processing: oddity === 'processing' ? 1 : oldName === undefined ? 2 : null,
      file_storage_schema_version: oldName === undefined ? 1 : null,
      thumbnail_file_name: thumbnail,
      thumbnail_content_type: thumbnail === null ? null : 'image/png',
      thumbnail_file_size: thumbnail === null ? null : 700,
      thumbnail_storage_schema_version: thumbnail === null ? null : 1,
      ...stamps(moment),
    });
  }
}

/** Half of them are in `cache/`, the other half were never fetched or are vacuumed away. */
function addRemoteMedia(draft: Draft, statuses: readonly Status[]): void {
  const count = Math.min(Math.ceil(draft.size.media / 4), statuses.length);
  statuses.slice(0, count).forEach(({ id: statusId, accountId, moment }, index) => {
    const id = snowflake(moment, 40_000 + index);
    const cached = index % 2 === 0;
    const name = `${draft.random.hex(8)}.jpeg`;
    const sizeBytes = Math.ceil(draft.size.mediaBytes / 2);
    draft.rows.add('media_attachments', {
      id,
      status_id: statusId,
      account_id: accountId,
      remote_url: `https://files.remote.example/${name}`,
      file_file_name: cached ? name : null,
      file_content_type: cached ? 'image/jpeg' : null,
      file_file_size: cached ? sizeBytes : null,
      file_updated_at: cached ? moment : null,
      type: 0,
      processing: 2,
      file_storage_schema_version: 1,
      ...stamps(moment),
    });
    if (!cached) return;
    for (const style of ['original', 'small']) {
      const path = `${attachmentFolder('media_attachments/files', id, true)}/${style}/${name}`;
      draft.files.push({
        path,
        sizeBytes: style === 'small' ? Math.ceil(sizeBytes / 4) : sizeBytes,
        mode: 0o644,
        modifiedAt: moment,
      });
    }
  });
}
