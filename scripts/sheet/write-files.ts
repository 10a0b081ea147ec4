import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { shellLine } from '../../src/hosts/quote.js';
import type { SheetFile } from './facts.js';

/** Commands for bash that make the files of a sheet, byte for byte. Pure. */

type Whole = Pick<SheetFile, 'path' | 'what' | 'content'>;

/** Files for their owner alone, and their folders. */
export function writeFiles(files: readonly Whole[]): string {
  const folders = [...new Set(files.map(({ path }) => dirname(path)))];
  return [
    'umask 077',
    `mkdir -p ${shellLine(folders)}`,
    ...files.flatMap(({ path, what, content }) => [
      `# ${what.replace(/\s+/g, ' ')}`,
      writeFile(path, content),
    ]),
  ].join('\n');
}

function writeFile(path: string, content: Buffer = Buffer.alloc(0)): string {
  const to = shellLine([path]);
  const text = content.toString('utf8');
  if (content.length === 0) return `: > ${to}`;
  if (isPlain(text) && Buffer.from(text).equals(content)) return `cat > ${to} <<'END'\n${text}END`;
  const lines = content.toString('base64').replace(/.{76}/g, '$&\n').replace(/\n$/, '');
  return `base64 -d > ${to} <<'END'\n${lines}\nEND`;
}

/** Of whole lines that can be read and typed, none of which ends what is written. */
function isPlain(text: string): boolean {
  return (
    /^(?:[\x20-\x7e\xa0-\ud7ff\ue000-\uffff\t]*\n)+$/.test(text) &&
    !/^END$/m.test(text) &&
    !/[ \t]$/m.test(text)
  );
}

/** Ends with 1, and names them, when files are not byte for byte what the sheet says. Short sums: they may be typed. */
export function checkFiles(files: readonly Whole[]): string {
  const sums = files.map(({ path, content = Buffer.alloc(0) }) => {
    const sum = createHash('sha256').update(content).digest('hex').slice(0, 8);
    return `${sum} ${path}`;
  });
  return `! while read -r sum file; do
  sha256sum "$file" | grep -q "^$sum" || echo "wrong: $file"
done <<'END' | grep .
${sums.join('\n')}
END`;
}
