import { createHash } from 'node:crypto';

/** PostgreSQL cuts names off after so many bytes (NAMEDATALEN). */
const most = 63;

/**
 * What a database is called beside the one of this name: `mastodon_production_before_20261121t031700z`. What does not fit
 * is cut off at a character, and told apart by its hash. Pure.
 *
 * @param kind `restore`: loaded, not swapped in yet; `before`: the former one; `undone`: the one that an undo took away.
 */
export function besideName(name: string, kind: 'restore' | 'before' | 'undone', restore: string): string {
  const tail = `_${kind}_${restore.toLowerCase()}`;
  if (Buffer.byteLength(name + tail) <= most) return name + tail;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 6);
  let head = '';
  for (const character of name) {
    if (Buffer.byteLength(`${head}${character}-${hash}${tail}`) > most) break;
    head += character;
  }
  return `${head}-${hash}${tail}`;
}
