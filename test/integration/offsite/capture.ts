import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import type { BackupId } from '../../../src/backups/id.js';
import type { Manifest, ManifestEntry } from '../../../src/backups/manifest.js';
import { type MediaRecord, readMediaIndex } from '../../../src/backups/media-index.js';
import type { PartName } from '../../../src/backups/parts.js';
import { mediaIndexArgv, mediaIndexFiles, mediaIndexScript } from '../../../src/mastodon/media-index.js';
import type { CapturedPart } from '../../../src/offsite/offsite.js';

/** Three nights of a small instance, as they lie captured on its host: what every kind of off-site has to keep. */
export interface Capture {
  readonly folder: string;
  readonly first: Night;
  /** Some media came, one was replaced, one was deleted; database and Redis changed; sizes of Redis are the same. */
  readonly second: Night;
  /** The database as a delta against the second night's dump, and nothing else. */
  readonly third: Night;
  /** The same once more, with another content of the same size: what a run does that begins anew. */
  readonly thirdAgain: Night;
}

export interface Night {
  readonly backup: BackupId;
  readonly parts: readonly NightPart[];
  readonly delta?: NonNullable<NonNullable<Manifest['database']>['delta']>;
}

export interface NightPart {
  readonly name: PartName;
  readonly folder: string;
  readonly indexFolder?: string;
  /** As the manifest names them. */
  readonly entries: readonly ManifestEntry[];
  /** Of media: what their index lists. */
  readonly files: readonly MediaRecord[];
}

/** Names as bad as names of files can be. */
const badNames: readonly (string | Buffer)[] = [
  ...[
    'a $HOME.png',
    'two\nlines.png',
    'cr\rlf\r\n.png',
    'tab\tname.png',
    'back\\slash.png',
    '\\n.png',
    '-rf',
  ],
  ...[
    '[brackets]*?.png',
    'quote\'s "both".png',
    'trailing blank ',
    ' leading blank',
    '#hash.png',
    '; semicolon',
  ],
  ...[
    'ünïcödé 🐘.png',
    'u\u0308 decomposed.png',
    '{a,b}.png',
    'colon:name.png',
    '--help',
    '.hidden',
    '100%.png',
  ],
  Buffer.from([0x6c, 0x61, 0x74, 0x69, 0x6e, 0xe9, 0x2e, 0x70, 0x6e, 0x67]), // "latiné.png" in Latin-1
  Buffer.from([0xff, 0xfe]),
];

/** The files that the suite does something to. */
export const special = {
  large: 'media_attachments/files/116/543/000/000/000/001/original/large.mp4',
  empty: 'media_attachments/files/116/543/000/000/000/002/original/empty.png',
  /** Two with the same content. */
  twin: 'accounts/avatars/000/000/001/original/twin.png',
  otherTwin: 'accounts/headers/000/000/001/original/twin.png',
  /** Two of the same size, and of a size that no other has. */
  one: 'media_attachments/files/116/543/000/000/000/003/original/one.png',
  other: 'media_attachments/files/116/543/000/000/000/003/original/other.png',
  /** New content in the second night, in the same size. */
  replaced: 'accounts/avatars/000/000/002/original/replaced.png',
  /** Not there any more in the second night. */
  deleted: 'accounts/avatars/000/000/003/original/deleted.png',
  /** Only there in the second night. */
  fresh: 'media_attachments/files/116/544/000/000/000/001/original/fresh.png',
} as const;

const longAgo = new Date('2024-05-06T07:08:09.500Z');

export async function makeCapture(): Promise<Capture> {
  const folder = await mkdtemp(join(tmpdir(), 'permafrost-capture-'));
  try {
    await writeFile(join(folder, 'media-index.pl'), mediaIndexScript);
    const dump = rows(24_000);
    const laterDump = [...dump.map((row, at) => (at % 100 === 0 ? newRow(at) : row)), ...rows(200)];
    const first = join(folder, 'first');
    await makeMedia(join(first, 'system'));
    const second = join(folder, 'second');
    await mkdir(second);
    await execa('cp', ['-a', join(first, 'system'), join(second, 'system')]);
    await put(join(second, 'system'), special.replaced, randomBytes(9_000));
    await put(join(second, 'system'), special.fresh, randomBytes(31_000));
    await rm(join(second, 'system', special.deleted));
    return {
      folder,
      first: { backup: '20261120T031700Z', parts: await wholeNight(folder, 'first', dump) },
      second: { backup: '20261121T031700Z', parts: await wholeNight(folder, 'second', laterDump) },
      ...(await deltaNights(folder, laterDump)),
    };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/** A part as it is handed to an off-site. */
export function captured(
  night: Night,
  part: NightPart,
  more: Partial<Pick<CapturedPart, 'again' | 'dependsOn'>> = {},
): CapturedPart {
  const { name, folder, indexFolder, files, entries } = part;
  return {
    ...{ name, folder, backup: night.backup, exclude: [], again: false },
    bytes: [...files.map(({ size }) => size), ...entries.map(({ bytes }) => bytes)].reduce(
      (sum, one) => sum + one,
      0,
    ),
    ...(indexFolder === undefined ? {} : { indexFolder }),
    ...(night.delta === undefined || name !== 'database' ? {} : { dependsOn: night.delta.full }),
    ...more,
  };
}

/** The contents of media, each once. */
export function contentsOf(part: NightPart): Map<string, number> {
  return new Map(part.files.map(({ sha256, size }) => [sha256, size]));
}

async function makeMedia(root: string): Promise<void> {
  const same = randomBytes(5_000);
  await put(root, special.large, randomBytes(1_400_000));
  await put(root, special.empty, '');
  await put(root, special.twin, same);
  await put(root, special.otherTwin, same);
  await put(root, special.one, randomBytes(22_222));
  await put(root, special.other, randomBytes(22_222));
  await put(root, special.replaced, randomBytes(9_000));
  await put(root, special.deleted, randomBytes(7_777));
  for (const [at, name] of badNames.entries())
    await put(root, Buffer.concat([Buffer.from('bad/'), Buffer.from(name)]), randomBytes(400 + at));
  for (let at = 0; at < 14; at++) {
    const path = `media_attachments/files/116/543/000/000/001/${String(at).padStart(3, '0')}/original/file.png`;
    await put(root, path, randomBytes(30_000 + at));
  }
}

async function put(root: string, path: string | Buffer, content: string | Buffer): Promise<void> {
  const full = Buffer.concat([Buffer.from(`${root}/`), Buffer.from(path)]);
  await mkdir(full.subarray(0, full.lastIndexOf('/')), { recursive: true });
  await writeFile(full, content);
  await utimes(full, longAgo, longAgo);
}

/** A dump is text that compresses to about a half. */
function rows(count: number): string[] {
  return Array.from({ length: count }, (_, at) => newRow(at));
}

function newRow(at: number): string {
  return `${String(at)}\t${randomBytes(24).toString('hex')}\tstatus of sample.example\t2026-11-20 03:17:00\t\\N\n`;
}

async function wholeNight(folder: string, night: string, dump: readonly string[]): Promise<NightPart[]> {
  const at = join(folder, night);
  return [
    await smallPart(at, 'database', {
      'database.dump': dump.join(''),
      'roles.sql': 'CREATE ROLE mastodon;\n',
    }),
    await smallPart(at, 'secrets', { 'secrets.tar': `SECRET_KEY_BASE=${randomBytes(64).toString('hex')}\n` }),
    await mediaPart(folder, at),
    // Not compressible: what is stored of it has the same size every night.
    await smallPart(at, 'redis', { 'dump.rdb': randomBytes(60_000) }),
  ];
}

async function deltaNights(
  folder: string,
  full: readonly string[],
): Promise<Pick<Capture, 'third' | 'thirdAgain'>> {
  const dump = full.map((row, at) => (at % 500 === 7 ? newRow(at) : row)).join('');
  const work = join(folder, 'delta');
  await mkdir(work);
  await writeFile(join(work, 'new'), dump);
  const base = join(folder, 'second/database/database.dump');
  await execa('rdiff', ['signature', '-b', '512', '-S', '8', base, join(work, 'signature')]);
  await execa('rdiff', ['delta', join(work, 'signature'), join(work, 'new'), join(work, 'delta')]);
  await execa('zstd', ['-q', join(work, 'delta')]);
  const delta = await readFile(join(work, 'delta.zst'));
  const night = async (name: string, role: string): Promise<Night> => ({
    backup: '20261122T031700Z',
    parts: [
      await smallPart(join(folder, name), 'database', {
        'database.delta.zst': delta,
        'roles.sql': `CREATE ROLE ${role};\n`,
      }),
    ],
    delta: {
      ...{
        full: '20261121T031700Z',
        fullBytes: byteLength(full.join('')),
        fullSha256: sha256(full.join('')),
      },
      ...{ dumpBytes: byteLength(dump), dumpSha256: sha256(dump) },
    },
  });
  return { third: await night('third', 'mastodon'), thirdAgain: await night('third-again', 'elephant') };
}

async function smallPart(
  night: string,
  name: PartName,
  contents: Record<string, string | Buffer>,
): Promise<NightPart> {
  const folder = join(night, name);
  await mkdir(folder, { recursive: true });
  const entries = [];
  for (const [path, content] of Object.entries(contents)) {
    await writeFile(join(folder, path), content);
    entries.push({ path, bytes: byteLength(content), sha256: sha256(content) });
  }
  return { name, folder, entries, files: [] };
}

async function mediaPart(folder: string, night: string): Promise<NightPart> {
  const root = join(night, 'system');
  const scan = join(night, 'scan');
  const indexFolder = join(night, 'index');
  await mkdir(scan, { mode: 0o700 });
  await mkdir(indexFolder, { mode: 0o700 });
  const script = join(folder, 'media-index.pl');
  const [program = '', ...words] = mediaIndexArgv({
    ...{ script, root, outFolder: scan, previousIndex: null, expected: null, includeCache: false },
  });
  await execa(program, words, { cwd: '/' });
  const index = join(indexFolder, mediaIndexFiles.index);
  await execa('mv', [join(scan, mediaIndexFiles.index), index]);
  const files: MediaRecord[] = [];
  for await (const record of readMediaIndex(createReadStream(index))) files.push(record);
  const content = await readFile(index);
  const entries = [{ path: mediaIndexFiles.index, bytes: content.length, sha256: sha256(content) }];
  return { name: 'media', folder: root, indexFolder, entries, files };
}

export function sha256(content: string | Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

function byteLength(content: string | Buffer): number {
  return Buffer.byteLength(content);
}
