import { existsSync, readFileSync } from 'node:fs';

/** Our version, from the package that this file belongs to: `0.1.0`. */
export function version(): string {
  for (const up of ['..', '../..']) {
    const file = new URL(`${up}/package.json`, import.meta.url);
    if (!existsSync(file)) continue;
    const text: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (typeof text === 'object' && text !== null && 'version' in text) return String(text.version);
  }
  return 'unknown';
}
