import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { z } from 'zod';
import { type BackupId, backupIdPattern } from '../backups/id.js';
import { type PartName, partNames } from '../backups/parts.js';
import type { StoredBackups } from './offsite.js';

/** What restic prints, and how it wants to be spoken to. */

export async function* recordsOf(stream: Readable): AsyncIterable<string> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    rest = Buffer.concat([rest, chunk]);
    for (let end = rest.indexOf(0); end >= 0; end = rest.indexOf(0)) {
      yield rest.subarray(0, end).toString('utf8');
      rest = rest.subarray(end + 1);
    }
  }
}

export async function* linesOf(stream: Readable): AsyncIterable<string> {
  const text = new StringDecoder('utf8');
  let rest = '';
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    const lines = (rest + text.write(chunk)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') yield line;
  }
  if (rest.trim() !== '') yield rest;
}

export const snapshotSchema = z.object({
  id: z.string(),
  time: z.string(),
  tags: z.array(z.string()).nullish(),
  paths: z.array(z.string()),
});
export type Snapshot = z.infer<typeof snapshotSchema>;

export const nodeSchema = z.object({ type: z.string(), path: z.string(), size: z.number().default(0) });

export const summarySchema = z.object({
  message_type: z.literal('summary'),
  snapshot_id: z.string(),
  data_added: z.number(),
  data_added_packed: z.number().optional(),
});

const statusSchema = z.object({
  message_type: z.literal('status'),
  bytes_done: z.number().default(0),
  files_done: z.number().default(0),
});

export function backupOf(found: Snapshot): string | undefined {
  const id = found.tags?.find((tag) => tag.startsWith('backup='))?.slice('backup='.length);
  return id !== undefined && backupIdPattern.test(id) ? id : undefined;
}

/** What snapshots say of backups, by their tags: every part is one, and the manifest, which seals them. */
export function backupsOf(found: readonly Snapshot[]): StoredBackups {
  const backups = new Map<BackupId, { parts: Set<PartName>; manifest?: Snapshot }>();
  for (const snapshot of found) {
    const backup = backupOf(snapshot);
    if (backup === undefined) continue;
    const known = backups.get(backup) ?? { parts: new Set() };
    backups.set(backup, known);
    for (const part of partNames) if (snapshot.tags?.includes(`part=${part}`)) known.parts.add(part);
    const manifest = snapshot.tags?.includes('part=manifest') === true;
    if (manifest && (known.manifest === undefined || snapshot.time > known.manifest.time))
      known.manifest = snapshot;
  }
  const newestFirst = [...backups].sort(([one], [other]) => (one < other ? 1 : -1));
  return {
    sealed: newestFirst.flatMap(([backup, { parts, manifest }]) =>
      manifest === undefined ? [] : [{ backup, parts: [...parts], key: manifest.id }],
    ),
    unsealed: newestFirst.flatMap(([backup, { manifest }]) => (manifest === undefined ? [backup] : [])),
  };
}

export function uploadProgress(
  tail: string,
  totalBytes?: number,
): { bytes?: number; files?: number; totalBytes?: number } {
  const status = lastMessage(tail, statusSchema);
  if (status === undefined) return {};
  return {
    bytes: status.bytes_done,
    files: status.files_done,
    ...(totalBytes === undefined ? {} : { totalBytes }),
  };
}

/** The last line of restic's JSON output that is of this form. */
export function lastMessage<T>(output: string, schema: z.ZodType<T>): T | undefined {
  for (const line of output.trimEnd().split('\n').reverse()) {
    try {
      const message = schema.safeParse(JSON.parse(line));
      if (message.success) return message.data;
    } catch {
      continue; // the first line of a tail may be cut
    }
  }
  return undefined;
}

/** What restic says of an error: `{"message_type":"exit_error","message":…}` with --json, or plain text. */
export function messageOf(output: string): string {
  const messages = output
    .trim()
    .split('\n')
    .map((line) => {
      try {
        const said: unknown = JSON.parse(line);
        if (typeof said !== 'object' || said === null) return line;
        if ('message' in said && typeof said.message === 'string') return said.message;
        if (
          'error' in said &&
          typeof said.error === 'object' &&
          said.error !== null &&
          'message' in said.error
        ) {
          return String(said.error.message);
        }
        return '';
      } catch {
        return line;
      }
    });
  return messages.filter((message) => message !== '').join('; ');
}

/**
 * Whether restic complains of what is stored, not of the way there: blobs that do not decrypt or have another hash, packs
 * and files that are gone (the wording of restic 0.17 and 0.18).
 */
export function isDamage(output: string): boolean {
  return /ciphertext verification failed|hash mismatch|did not match|invalid data returned|not found in (?:index|repository)|does not exist|no such file|file is too short|not restorable|found in repository, but/i.test(
    output,
  );
}

/** restic's patterns are those of Go's filepath.Match. */
export function escapePattern(path: string): string {
  return path.replace(/[\\*?[\]]/g, '\\$&');
}

/**
 * A line of an `--include-file` that names one file: restic expands `$` in such lines and trims them, and a name may
 * hold what a line cannot. What cannot be said exactly matches a little more.
 */
export function includeLine(path: string): string {
  return `/${escapePattern(path)}`
    .replaceAll('$', '$$$$')
    .replace(/[\n\r\t]|\s$/g, '?')
    .replaceAll('\uFFFD', '*');
}
