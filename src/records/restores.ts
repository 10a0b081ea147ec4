import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { backupIdPattern } from '../backups/id.js';
import { partNames } from '../backups/parts.js';

/**
 * What this machine remembers of a restore that can be taken back: where it went, and until when its undo is kept.
 * `<state>/restores/<domain>/<restore>.json`. The report itself is in `reports.ts`.
 */
const schema = z.object({
  restore: z.string().regex(backupIdPattern),
  instance: z.string(),
  backup: z.string().regex(backupIdPattern),
  from: z.string(),
  parts: z.array(z.enum(partNames)),
  /** The host, as messages call it. */
  to: z.string(),
  /** Where that is, when it is not the instance's own host: the form of `hosts/open.ts`, which its readers parse. */
  target: z.unknown().optional(),
  finishedAt: z.iso.datetime(),
  undoUntil: z.iso.datetime(),
  /** Of the database that is kept for the undo. */
  keptBytes: z.number().optional(),
  /** `possible` until it is one of the others. */
  undo: z.enum(['possible', 'undone', 'expired']),
  /** What was undone keeps today's database until `undoUntil` as well; true when that is gone. */
  gone: z.boolean().default(false),
});

export type RememberedRestore = z.infer<typeof schema>;

function folderOf(state: string, instance: string): string {
  return join(state, 'restores', instance);
}

/** Keeps it, whole or not at all; another one of the same restore is replaced. */
export async function rememberRestore(state: string, restore: RememberedRestore): Promise<void> {
  const folder = folderOf(state, restore.instance);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, `${restore.restore}.json`);
  await writeFile(`${path}.new`, `${JSON.stringify(restore, null, 1)}\n`, { mode: 0o600, flush: true });
  await rename(`${path}.new`, path);
}

/** The newest first. What cannot be read is passed over: nothing is undone or dropped for it. */
export async function rememberedRestores(state: string, instance: string): Promise<RememberedRestore[]> {
  const folder = folderOf(state, instance);
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.json'));
  const read = await Promise.all(
    names
      .sort()
      .reverse()
      .map(async (name) => {
        try {
          return schema.parse(JSON.parse(await readFile(join(folder, name), 'utf8')));
        } catch {
          return undefined;
        }
      }),
  );
  return read.filter((one) => one !== undefined && one.instance === instance) as RememberedRestore[];
}

/** A restore that has something on its host which holds secrets: until that is swept, also by somebody else. */
export interface RestoreAtWork {
  readonly restore: string;
  /** The off-site. */
  readonly from: string;
  /** As in `RememberedRestore`. */
  readonly target?: unknown;
}

const noteSchema = z.object({ from: z.string(), target: z.unknown().optional() });

const atWork = '.at-work';

/** Noted before anything is put there. */
export async function noteAtWork(
  state: string,
  instance: string,
  { restore, from, target }: RestoreAtWork,
): Promise<void> {
  const folder = folderOf(state, instance);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, `${restore}${atWork}`);
  await writeFile(`${path}.new`, JSON.stringify({ from, target }), { mode: 0o600, flush: true });
  await rename(`${path}.new`, path);
}

export async function forgetAtWork(state: string, instance: string, restore: string): Promise<void> {
  await rm(join(folderOf(state, instance), `${restore}${atWork}`), { force: true });
}

export async function restoresAtWork(state: string, instance: string): Promise<RestoreAtWork[]> {
  const folder = folderOf(state, instance);
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith(atWork));
  return Promise.all(
    names.map(async (name) => ({
      restore: name.slice(0, -atWork.length),
      ...noteSchema.parse(JSON.parse(await readFile(join(folder, name), 'utf8'))),
    })),
  );
}
