import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as breathe } from 'node:timers/promises';
import { attachmentFolder } from '../../sample/files.js';
import { Dice } from './dice.js';
import type { Population, Entries } from './population.js';
import type { AttachmentRow } from './rows.js';

/** What an original is of the two files of an attachment. */
const originalShare = 0.85;

/**
 * Writes the files of attachments below `system`: random bytes, as what is compressed already looks to a backup; sizes
 * from a few kB to some MB, most of them small. A snowflake id is six folders deep, so there are three folders for each
 * file, and they take a backup as much time as the bytes.
 *
 * @returns what their rows say of them.
 */
export async function writeAttachments(
  population: Population,
  { first, count }: Entries,
  system: string,
): Promise<AttachmentRow[]> {
  const dice = new Dice(`media/${String(first)}`);
  const mean = population.size.mediaBytes / population.size.attachments;
  const rows: AttachmentRow[] = [];
  for (let index = first; index < first + count; index++) {
    const folder = join(
      system,
      attachmentFolder('media_attachments/files', population.attachmentId(index), false),
    );
    const name = `${dice.hex(8)}.jpg`;
    const moment = population.statusAt(population.statusOfAttachment(index)) / 1000;
    const originalBytes = Math.ceil(mean * originalShare * exponential(dice));
    const smallBytes = Math.ceil(mean * (1 - originalShare) * (0.5 + dice.share()));
    for (const [style, bytes] of [
      ['original', originalBytes],
      ['small', smallBytes],
    ] as const) {
      mkdirSync(join(folder, style), { recursive: true });
      const path = join(folder, style, name);
      writeFileSync(path, dice.bytes(bytes));
      utimesSync(path, moment, moment);
    }
    rows.push({ index, name, originalBytes });
    // So that Ctrl-C is heard.
    if (index % 500 === 0) await breathe();
  }
  return rows;
}

/** Around 1, at most 12. */
function exponential(dice: Dice): number {
  return Math.min(12, -Math.log(1 - dice.share()));
}
