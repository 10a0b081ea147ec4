/** The small forms that operators write (`10m`, `20M`, `5%`, `03:17`): read and printed. Pure. */

const durationUnits = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
] as const;

/** Milliseconds of a duration such as `90s`, `10m`, `1h30m` (units d, h, m, s, ms, the largest first); null otherwise. */
export function parseDuration(text: string): number | null {
  const match = /^(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+)s)?(?:(\d+)ms)?$/.exec(text);
  if (!match || text === '') return null;
  const total = durationUnits.reduce(
    (sum, [, unitMs], index) => sum + Number(match[index + 1] ?? 0) * unitMs,
    0,
  );
  return Number.isSafeInteger(total) ? total : null;
}

/** The shortest form that `parseDuration` reads back as the same number of milliseconds. */
export function printDuration(durationMs: number): string {
  let rest = durationMs;
  let text = '';
  for (const [unit, unitMs] of durationUnits) {
    const count = Math.floor(rest / unitMs);
    if (count > 0) text += `${String(count)}${unit}`;
    rest -= count * unitMs;
  }
  return text === '' ? '0s' : text;
}

const sizeUnits = ['', 'K', 'M', 'G', 'T', 'P'] as const;

/** Bytes of a size such as `512K`, `20M`, `1.5G` (powers of 1024; `B` may follow); null otherwise. */
export function parseSize(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)([KMGTP]?)(?:i?B)?$/i.exec(text);
  if (!match) return null;
  const power = sizeUnits.findIndex((unit) => unit === match[2]?.toUpperCase());
  const bytes = Math.round(Number(match[1]) * 1024 ** power);
  return Number.isSafeInteger(bytes) ? bytes : null;
}

/** A form that `parseSize` reads back as the same number of bytes. */
export function printSize(bytes: number): string {
  let power = 0;
  let count = bytes;
  while (count > 0 && count % 1024 === 0 && power < sizeUnits.length - 1) {
    count /= 1024;
    power += 1;
  }
  return `${String(count)}${sizeUnits[power] ?? ''}`;
}

/** A fraction from 0 to 1 of `all`, `none` or a percentage with up to four decimals (`5%`, `0.5%`); null otherwise. */
export function parseFraction(text: string): number | null {
  if (text === 'all') return 1;
  if (text === 'none') return 0;
  const match = /^(\d{1,3}(?:\.\d{1,4})?)%$/.exec(text);
  if (!match || Number(match[1]) > 100) return null;
  return Number((Number(match[1]) / 100).toFixed(6));
}

export function printFraction(fraction: number): string {
  if (fraction === 1) return 'all';
  if (fraction === 0) return 'none';
  return `${String(Number((fraction * 100).toFixed(4)))}%`;
}

export interface TimeOfDay {
  readonly hour: number;
  readonly minute: number;
}

/** `03:17`, from `00:00` to `23:59`; null otherwise. */
export function parseTimeOfDay(text: string): TimeOfDay | null {
  const match = /^([01]\d|2[0-3]):([0-5]\d)$/.exec(text);
  return match ? { hour: Number(match[1]), minute: Number(match[2]) } : null;
}

export function printTimeOfDay(time: TimeOfDay): string {
  return [time.hour, time.minute].map((count) => String(count).padStart(2, '0')).join(':');
}

export function isTimezone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** Whether clocks in this timezone are put forward and back during a year. */
export function changesClocks(timezone: string): boolean {
  const format = new Intl.DateTimeFormat('en', { timeZone: timezone, timeZoneName: 'longOffset' });
  const offset = (month: number) =>
    format.formatToParts(Date.UTC(2026, month, 1)).find((part) => part.type === 'timeZoneName')?.value;
  return new Set([0, 3, 6, 9].map(offset)).size > 1;
}

/** The one of `candidates` that was most likely meant by `word`: at most a third of its letters differ; else null. */
export function nearest(word: string, candidates: readonly string[]): string | null {
  const ranked = candidates
    .map((candidate) => ({ candidate, distance: editDistance(word.toLowerCase(), candidate.toLowerCase()) }))
    .sort((one, other) => one.distance - other.distance);
  const best = ranked[0];
  return best && best.distance <= Math.max(1, Math.ceil(best.candidate.length / 3)) ? best.candidate : null;
}

/** Letters to insert, delete, replace, or swap with their neighbour. */
export function editDistance(from: string, to: string): number {
  const rows = [Array.from({ length: to.length + 1 }, (_, column) => column)];
  const at = (row: number, column: number) => rows[row]?.[column] ?? Infinity;
  for (let row = 1; row <= from.length; row += 1) {
    const line = [row];
    rows.push(line);
    for (let column = 1; column <= to.length; column += 1) {
      const same = from[row - 1] === to[column - 1];
      const swapped = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      line.push(
        Math.min(
          at(row - 1, column) + 1,
          at(row, column - 1) + 1,
          at(row - 1, column - 1) + (same ? 0 : 1),
          swapped ? at(row - 2, column - 2) + 1 : Infinity,
        ),
      );
    }
  }
  return at(from.length, to.length);
}
