import type { Unit } from '../mastodon/units.js';

/** What of a systemd service its files tell: no systemd has read them here. */
export type UnitText = Pick<Unit, 'name' | 'files' | 'environment' | 'environmentFiles'>;

/**
 * Reads the files of systemd services: of each its unit file, then its drop-ins by name, each adding to those before it or,
 * with an empty value, taking them back (systemd.unit(5), systemd.exec(5)). Only services that work in a folder, as
 * Mastodon's do. Specifiers (`%h`) are left as they are. Pure.
 *
 * @param texts by path: `…/mastodon-web.service`, `…/mastodon-web.service.d/override.conf`.
 */
export function readUnitFiles(texts: ReadonlyMap<string, string>): UnitText[] {
  const names = new Set([...texts.keys()].map(unitOf));
  return [...names].sort().flatMap((name) => {
    const files = [...texts.keys()].filter((path) => unitOf(path) === name).sort(ofUnitFirst);
    const settings = files.flatMap((path) => settingsOf(texts.get(path) ?? ''));
    if (!settings.some(([key, value]) => key === 'WorkingDirectory' && value !== '')) return [];
    return [
      {
        ...{ name, files },
        environment: new Map(
          valuesOf(settings, 'Environment')
            .flatMap(wordsOf)
            .flatMap((word) => {
              const [, variable, value] = /^([A-Za-z_]\w*)=(.*)$/s.exec(word) ?? [];
              return variable === undefined || value === undefined ? [] : [[variable, value] as const];
            }),
        ),
        environmentFiles: valuesOf(settings, 'EnvironmentFile').map((path) => path.replace(/^-/, '')),
      },
    ];
  });
}

function unitOf(path: string): string {
  return /([^/]+\.service)(?:\.d\/[^/]+)?$/.exec(path)?.[1] ?? path;
}

function ofUnitFirst(one: string, other: string): number {
  const [dropIn, otherDropIn] = [one, other].map((path) => path.endsWith('.conf'));
  if (dropIn !== otherDropIn) return dropIn === true ? 1 : -1;
  return one < other ? -1 : 1;
}

/** The assignments of `[Service]`, continued lines put together. */
function settingsOf(text: string): [key: string, value: string][] {
  let section = '';
  const lines = text.replace(/\\\n/g, ' ').split('\n');
  return lines.flatMap((line): [string, string][] => {
    const trimmed = line.trim();
    const [, named] = /^\[(.+)\]$/.exec(trimmed) ?? [];
    if (named !== undefined) section = named;
    const [, key, value] = /^([A-Za-z]+)\s*=\s*(.*)$/.exec(trimmed) ?? [];
    return section === 'Service' && key !== undefined && value !== undefined ? [[key, value]] : [];
  });
}

/** All values of a key since it was emptied last. */
function valuesOf(settings: readonly [key: string, value: string][], key: string): string[] {
  const values = settings.filter(([name]) => name === key).map(([, value]) => value);
  return values.slice(values.lastIndexOf('') + 1);
}

/** Words as systemd splits them: by blanks, quoted wholly or in part by " or ', with C-style escapes (systemd.syntax(7)). */
function wordsOf(text: string): string[] {
  return [...text.matchAll(/(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\\.|[^\s"'\\])+/g)].map(([word]) =>
    word.replace(
      /"((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'|\\(.)/g,
      (_, double?: string, single?: string, bare?: string) =>
        bare ?? (double ?? single ?? '').replace(/\\(.)/g, '$1'),
    ),
  );
}
