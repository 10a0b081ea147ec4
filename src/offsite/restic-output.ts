import { z } from 'zod';
import { type BackupId, backupIdPattern } from '../backups/id.js';
import { type PartName, partNames } from '../backups/parts.js';
import { lastMessage } from './lines.js';
import type { StoredBackups } from './offsite.js';

/** What restic prints, and how it wants to be spoken to. */

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

function tagOf(found: Snapshot, name: string): string | undefined {
  return found.tags?.find((tag) => tag.startsWith(`${name}=`))?.slice(name.length + 1);
}

export function backupOf(found: Snapshot): string | undefined {
  const id = tagOf(found, 'backup');
  return id !== undefined && backupIdPattern.test(id) ? id : undefined;
}

/** What snapshots say of backups, by their tags: every part is one, and the manifest, which seals them. */
export function backupsOf(found: readonly Snapshot[]): StoredBackups {
  const backups = new Map<
    BackupId,
    { parts: Set<PartName>; manifest?: Snapshot; dependsOn?: BackupId; kept?: string }
  >();
  for (const snapshot of found) {
    const backup = backupOf(snapshot);
    if (backup === undefined) continue;
    const known = backups.get(backup) ?? { parts: new Set() };
    backups.set(backup, known);
    for (const part of partNames) if (snapshot.tags?.includes(`part=${part}`)) known.parts.add(part);
    const full = tagOf(snapshot, 'full');
    if (full !== undefined && backupIdPattern.test(full)) known.dependsOn = full;
    const until = tagOf(snapshot, 'keep');
    if (until !== undefined && until > (known.kept ?? '')) known.kept = until; // 'forever' is after every date
    const manifest = snapshot.tags?.includes('part=manifest') === true;
    if (manifest && (known.manifest === undefined || snapshot.time > known.manifest.time))
      known.manifest = snapshot;
  }
  const newestFirst = [...backups].sort(([one], [other]) => (one < other ? 1 : -1));
  return {
    sealed: newestFirst.flatMap(([backup, { parts, manifest, dependsOn, kept }]) =>
      manifest === undefined
        ? []
        : [
            {
              ...{ backup, parts: [...parts], key: manifest.id },
              ...(dependsOn === undefined ? {} : { dependsOn }),
              ...(kept === undefined ? {} : { kept }),
            },
          ],
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

/** What restic says of an error: `{"message_type":"exit_error","message":…}` with --json, or plain text. */
export function messageOf(output: string): string {
  return messagesOf(output).join('; ');
}

/** What restic says last: of several complaints the one that it ended for. */
export function lastWordOf(output: string): string {
  return messagesOf(output).at(-1) ?? '';
}

function messagesOf(output: string): string[] {
  const messages = output
    .trim()
    .split('\n')
    .map((line) => {
      try {
        const said: unknown = JSON.parse(line);
        if (typeof said !== 'object' || said === null) return line;
        if ('message' in said && typeof said.message === 'string') return withoutStack(said.message);
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
  const panic = messages.find((message) => message.startsWith('panic: '));
  if (panic !== undefined) return [`restic broke off: ${panic}`];
  return messages.filter((message) => message !== '');
}

/** Some of restic's messages carry the places in its program, a line each. */
function withoutStack(message: string): string {
  const place = /^(?:\t|github\.com\/|main\.|runtime\.)/;
  return message
    .split('\n')
    .filter((line) => !place.test(line))
    .join('\n');
}

/**
 * Whether restic complains of what is stored, not of the way there: blobs that do not decrypt or have another hash, packs
 * and files that are gone (the wording of restic 0.17 and 0.18, which breaks off at a folder that does not decrypt).
 */
export function isDamage(output: string): boolean {
  if (/repository does not exist|resolving password|unable to open/i.test(output)) return false;
  return /ciphertext verification failed|hash mismatch|did not match|invalid data returned|not found in (?:index|repository|snapshot)|path .*: not found|no matching ID found|does not exist|no such file|\b404\b|file is too short|not restorable|found in repository, but|should be a file, but is|panic: runtime error/i.test(
    output,
  );
}

/**
 * Whether a removal was refused for good: an append-only REST server answers 403, object stores with a lock or without
 * the right to delete say AccessDenied, and file systems (local, sftp) say it of the file that was to go.
 */
export function isRefusal(output: string): boolean {
  return (
    /\b403\b|forbidden|AccessDenied|access denied|object is (?:WORM )?protected|append.only/i.test(output) ||
    /\bremove\b.*(?:operation not permitted|permission denied|read-only file system)/i.test(output)
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
