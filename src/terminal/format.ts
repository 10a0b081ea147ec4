/** Sizes, durations, times and columns as a person reads them. Pure: no colour here, no clock. */

const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;

/** A size in decimal units: `512 B`, `1.2 GB`, `340 MB`. */
export function formatBytes(bytes: number): string {
  let value = Math.max(0, bytes);
  let unit = 0;
  while (unit < units.length - 1 && Number(rounded(value, unit)) >= 1000) {
    value /= 1000;
    unit += 1;
  }
  return `${rounded(value, unit)} ${units[unit] ?? 'B'}`;
}

function rounded(value: number, unit: number): string {
  return unit === 0 || value >= 99.95 ? String(Math.round(value)) : value.toFixed(1);
}

/** A length of time, from milliseconds: `0.4 s`, `42 s`, `3 min 12 s`, `2 h 5 min`, `3 d 4 h`. */
export function formatDuration(milliseconds: number): string {
  const ms = Math.max(0, milliseconds);
  if (ms < 9_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return pair(Math.floor(seconds / 60), 'min', seconds % 60, 's');
  const minutes = Math.round(seconds / 60);
  if (minutes < 24 * 60) return pair(Math.floor(minutes / 60), 'h', minutes % 60, 'min');
  const hours = Math.round(minutes / 60);
  return pair(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

function pair(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}

/** A UTC time to the minute, `2026-11-21 03:17 UTC`, from an ISO time or a Date. */
export function formatTime(time: string | Date): string {
  const date = typeof time === 'string' ? new Date(time) : time;
  if (Number.isNaN(date.getTime())) return String(time);
  return `${date.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

/** `3 h 2 min ago` or `in 5 h`. */
export function formatDistance(time: string | Date, now: Date): string {
  const distance = new Date(time).getTime() - now.getTime();
  if (Number.isNaN(distance)) return String(time);
  return distance > 0 ? `in ${formatDuration(distance)}` : `${formatDuration(-distance)} ago`;
}

/** `1 file`, `2 files`, `12 345 files`. */
export function formatCount(count: number, one: string, many = `${one}s`): string {
  return `${formatNumber(count)} ${count === 1 ? one : many}`;
}

/** Digits in groups of three. */
export function formatNumber(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ' ');
}

export interface Column {
  title: string;
  align?: 'left' | 'right';
}

/** Rows under their titles, aligned, two spaces apart; the lines have no trailing space. */
export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const widths = columns.map((column, index) =>
    Math.max(column.title.length, ...rows.map((row) => (row[index] ?? '').length)),
  );
  const line = (cells: readonly string[]) =>
    columns
      .map((column, index) => {
        const cell = cells[index] ?? '';
        const width = widths[index] ?? 0;
        return column.align === 'right' ? cell.padStart(width) : cell.padEnd(width);
      })
      .join('  ')
      .trimEnd();
  return [line(columns.map((column) => column.title)), ...rows.map(line)];
}

/** Names and values in two columns, each value wrapped under itself: `  name    value`. */
export function formatFields(fields: readonly (readonly [string, string])[], width = 80): string[] {
  const nameWidth = Math.max(0, ...fields.map(([name]) => name.length));
  const indent = nameWidth + 4;
  return fields.flatMap(([name, value]) =>
    wrap(value, width - indent).map((line, index) =>
      `  ${(index === 0 ? name : '').padEnd(nameWidth)}  ${line}`.trimEnd(),
    ),
  );
}

/** Breaks a text at spaces into lines of at most `width` characters; a longer word stays whole, an indent is kept. */
export function wrap(text: string, width: number): string[] {
  return text.split('\n').flatMap((paragraph) => {
    const indent = /^ */.exec(paragraph)?.[0] ?? '';
    const lines: string[] = [];
    let line = '';
    for (const word of paragraph.trim().split(' ')) {
      if (line !== '' && indent.length + line.length + 1 + word.length > width) {
        lines.push(indent + line);
        line = word;
      } else {
        line = line === '' ? word : `${line} ${word}`;
      }
    }
    return [...lines, line === '' ? '' : indent + line];
  });
}

/** Cuts a line to a width, with an ellipsis where something is lost. */
export function clip(line: string, width: number): string {
  return line.length <= width ? line : `${line.slice(0, Math.max(0, width - 1))}…`;
}
