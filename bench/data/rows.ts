import type { Population, Entries } from './population.js';
import { firstConversation } from './derived.js';
import type { Dice } from './dice.js';
import type { Words } from './words.js';

/** Whom the rows of a bench are by and about. */
export interface Cast {
  readonly population: Population;
  /** Ids of the sample's own accounts that can post. */
  readonly locals: readonly bigint[];
  readonly domain: string;
  readonly dice: Dice;
  readonly words: Words;
  readonly accounts: Entries;
}

const servers = Array.from({ length: 3_000 }, (_, index) => `social${index.toString(36)}.example`);
const blocksPerChunk = 2_000;

/** PostgreSQL's COPY of the remote accounts of a stretch, for psql. */
export function* accountRows(cast: Cast, { first, count }: Entries): Generator<string> {
  const { population, dice, words } = cast;
  const columns =
    'id, username, domain, public_key, created_at, updated_at, note, display_name, uri, url, inbox_url, outbox_url, ' +
    'shared_inbox_url, followers_url, protocol, actor_type, discoverable, avatar_remote_url, last_webfingered_at, fields';
  yield* copy('accounts', columns, first, count, (index) => {
    const moment = time(population.accountAt(index));
    const server = serverOf(dice);
    const name = `${words.text(1)}_${index.toString(36)}`;
    const home = `https://${server}/users/${name}`;
    return line(
      ...[population.accountId(index), name, server, publicKey(dice), moment, moment],
      ...[`<p>${words.text(10 + dice.below(40))}</p>`, words.text(2), home, `https://${server}/@${name}`],
      ...[
        `${home}/inbox`,
        `${home}/outbox`,
        `https://${server}/inbox`,
        `${home}/followers`,
        1,
        'Person',
        't',
      ],
      ...[`https://${server}/system/accounts/avatars/${dice.hex(8)}.jpg`, moment],
      ...['[{"name": "Web", "value": "https://web.example/"}]'],
    );
  });
}

/** PostgreSQL's COPY of the statuses of a stretch, local and remote ones, for psql. */
export function* statusRows(cast: Cast, { first, count }: Entries): Generator<string> {
  const { population, dice, words } = cast;
  const columns =
    'id, uri, text, created_at, updated_at, in_reply_to_id, url, sensitive, visibility, spoiler_text, reply, language, ' +
    'conversation_id, local, account_id';
  yield* copy('statuses', columns, first, count, (index) => {
    const moment = time(population.statusAt(index));
    const id = population.statusId(index);
    const isReply = index % 2 === 1;
    // A reply is to the post before it, and in its conversation.
    const conversation = firstConversation + Math.floor(index / 2);
    const about = [
      ...[isReply ? population.statusId(index - 1) : null],
      ...[null, 'f', dice.below(10) === 0 ? 1 : 0, '', isReply ? 't' : 'f', 'en', conversation],
    ] as const;
    if (population.isLocal(index)) {
      const uri = `https://${cast.domain}/users/local/statuses/${String(id)}`;
      return line(id, uri, words.post(), moment, moment, ...about, 't', authorOf(cast, index));
    }
    const home = `https://${serverOf(dice)}/users/${words.text(1)}`;
    const text = `<p>${words.post()}</p>`;
    const account = population.accountId(skewed(dice, cast.accounts.count));
    return line(id, `${home}/statuses/${String(id)}`, text, moment, moment, ...about, 'f', account);
  });
}

/** What an attachment's row has to say of it. */
export interface AttachmentRow {
  readonly index: number;
  readonly name: string;
  readonly originalBytes: number;
}

/** PostgreSQL's COPY of local attachments, for psql: each row has its two files below `public/system`. */
export function* attachmentRows(cast: Cast, rows: readonly AttachmentRow[]): Generator<string> {
  const { population, dice } = cast;
  const columns =
    'id, status_id, file_file_name, file_content_type, file_file_size, file_updated_at, created_at, updated_at, type, ' +
    'file_meta, account_id, blurhash, processing, file_storage_schema_version';
  const meta =
    '{"original":{"width":1280,"height":960,"size":"1280x960"},"small":{"width":640,"height":480}}';
  yield* copy('media_attachments', columns, 0, rows.length, (at) => {
    const row = rows[at];
    if (row === undefined) return '';
    const status = population.statusOfAttachment(row.index);
    const moment = time(population.statusAt(status));
    return line(
      ...[population.attachmentId(row.index), population.statusId(status), row.name, 'image/jpeg'],
      ...[row.originalBytes, moment, moment, moment, 0, meta, authorOf(cast, status)],
      ...[dice.bytes(21).toString('base64'), 2, 1],
    );
  });
}

function authorOf({ locals }: Cast, status: number): bigint {
  const author = locals[(status / 5) % locals.length];
  if (author === undefined) throw new RangeError('nobody of this server can post');
  return author;
}

function serverOf(dice: Dice): string {
  return servers[skewed(dice, servers.length)] ?? '';
}

/** A few are picked very often, most of them seldom. */
function skewed(dice: Dice, count: number): number {
  return Math.floor(count * dice.share() ** 2.5);
}

/** As an RSA key of 2048 bits looks; nothing opens it. */
function publicKey(dice: Dice): string {
  const body =
    dice
      .bytes(270)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return ['-----BEGIN PUBLIC KEY-----', ...body, '-----END PUBLIC KEY-----', ''].join('\\n');
}

function time(ms: number): string {
  return new Date(ms).toISOString().slice(0, 23).replace('T', ' ');
}

/** A line of COPY's text format: none of the values has a tab, a backslash that is none of ours, or a line's end. */
function line(...values: readonly (string | number | bigint | null)[]): string {
  return `${values.map((value) => (value === null ? '\\N' : String(value))).join('\t')}\n`;
}

function* copy(
  table: string,
  columns: string,
  first: number,
  count: number,
  row: (index: number) => string,
): Generator<string> {
  yield `COPY ${table} (${columns}) FROM stdin;\n`;
  let chunk: string[] = [];
  for (let index = first; index < first + count; index++) {
    chunk.push(row(index));
    if (chunk.length < blocksPerChunk) continue;
    yield chunk.join('');
    chunk = [];
  }
  yield `${chunk.join('')}\\.\n`;
}
