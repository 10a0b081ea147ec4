import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The root of the instance: `--root DIR`, else the working directory, as Mastodon's own units have it. */
export const root = flag('--root') ?? process.cwd();

const file = join(root, '.env.production');

/** `.env.production`, where there is one, under the real environment, which wins: as dotenv does. */
export const env = { ...(existsSync(file) ? parse(readFileSync(file, 'utf8')) : {}), ...process.env };

export function flag(name) {
  const at = process.argv.indexOf(name);
  return at < 0 ? undefined : process.argv[at + 1];
}

function parse(text) {
  const line =
    /^[ \t]*(?:export[ \t]+)?([\w.]+)[ \t]*=[ \t]*('[^']*'|"(?:\\"|[^"])*"|[^#\r\n]*)?[ \t]*(?:#.*)?$/gm;
  const found = {};
  for (const [, name, raw = ''] of text.matchAll(line)) {
    const value = raw.trim();
    found[name] = /^(['"]).*\1$/s.test(value) ? value.slice(1, -1) : value;
  }
  return found;
}
