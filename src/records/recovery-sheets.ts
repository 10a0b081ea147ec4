import { createHmac, randomBytes } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { giveToOwner, stateFolder } from './owner.js';

/**
 * Which recovery sheet was made last, so that `status` notices when it no longer fits:
 * `<state>/recovery-sheets/<domain>.json`. Nothing of what the sheet holds.
 */

const stored = z.object({
  madeAt: z.iso.datetime(),
  /** Eight hexadecimal digits. */
  mark: z.string(),
  /** Without it, nobody can try passwords against the mark. */
  salt: z.string().min(32),
  withSecrets: z.boolean(),
});
export type RecordedSheet = z.infer<typeof stored>;

/** The sheet that was made last; undefined when there was none, or its record cannot be read. */
export async function lastSheet(state: string, domain: string): Promise<RecordedSheet | undefined> {
  const text = await readFile(join(state, 'recovery-sheets', `${domain}.json`), 'utf8').catch(() => '{');
  try {
    return stored.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

export async function recordSheet(state: string, domain: string, sheet: RecordedSheet): Promise<void> {
  const path = join(await stateFolder(state, 'recovery-sheets'), `${domain}.json`);
  await writeFile(`${path}.new`, `${JSON.stringify(sheet, null, 1)}\n`, { mode: 0o600 });
  await giveToOwner(state, `${path}.new`);
  await rename(`${path}.new`, path);
}

export function newSalt(): string {
  return randomBytes(16).toString('hex');
}

/** What stands for all of a sheet's contents: another one, when any of them is another. */
export function sheetMark(salt: string, contents: readonly (string | Buffer)[]): string {
  const mark = createHmac('sha256', salt);
  for (const content of contents) mark.update(`${String(Buffer.byteLength(content))}\n`).update(content);
  return mark.digest('hex').slice(0, 8);
}
