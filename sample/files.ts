import { chmod, mkdir, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Random } from './random.js';

/** One file of the sample, below `public/system`. */
export interface SampleFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly mode: number;
  readonly modifiedAt: Date;
}

/** `[cache/]<class>/<attachments>/<id partition>`: mastodon/mastodon config/initializers/paperclip.rb. */
export function attachmentFolder(attachment: string, id: bigint, cached: boolean): string {
  return `${cached ? 'cache/' : ''}${attachment}/${idPartition(id)}`;
}

/** Nine digits below a thousand million, otherwise at least twelve, in groups of three. */
export function idPartition(id: bigint): string {
  const digits = id < 1_000_000_000n ? id.toString().padStart(9, '0') : id.toString().padStart(12, '0');
  return (digits.match(/\d{3}/g) ?? []).join('/');
}

/** The name of a style's file: the original's with the style's extension. */
export function styleName(original: string, extension: string): string {
  const dot = original.lastIndexOf('.');
  return `${dot < 0 ? original : original.slice(0, dot)}.${extension}`;
}

/** What the file holds: the same for the same seed and path. */
export function contentOf(seed: string, file: SampleFile): Buffer {
  return new Random(`${seed}/${file.path}`).bytes(file.sizeBytes);
}

/** Writes the files below `system` with their modes and times. */
export async function writeFiles(seed: string, files: readonly SampleFile[], system: string): Promise<void> {
  const made = new Map<string, Promise<unknown>>();
  const folder = (path: string): Promise<unknown> => {
    const making = made.get(path) ?? mkdir(path, { recursive: true, mode: 0o755 });
    made.set(path, making);
    return making;
  };
  const waiting = files.values();
  const worker = async (): Promise<void> => {
    for (const file of waiting) {
      const path = join(system, file.path);
      await folder(dirname(path));
      await writeFile(path, contentOf(seed, file));
      await chmod(path, file.mode);
      await utimes(path, file.modifiedAt, file.modifiedAt);
    }
  };
  await Promise.all(Array.from({ length: 16 }, worker));
}
