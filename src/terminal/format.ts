import { formatBytes } from '../backups/bytes.js';
import { formatDuration } from '../backups/duration.js';
import { cutToWidth, padEndTo, padStartTo, textWidth } from './text-width.js';

export { formatBytes, formatDuration };

/** Sizes, durations, times and columns as a person reads them. Pure: no colour here, no clock. */

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

/**
 * Rows under their titles, aligned, two spaces apart; the lines have no trailing space. In a table that is wider than
 * `width` the widest columns of words are wrapped; where even that is too wide, it becomes a block for each row, its
 * first cell as the heading.
 */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width = Infinity,
): string[] {
  const widths = fitted(columns, rows, width);
  if (widths === undefined) return rows.flatMap((row) => block(columns, row, width));
  const lines = (cells: readonly string[]) => {
    const wrapped = columns.map((_, index) => wrap(cells[index] ?? '', widths[index] ?? 0));
    return Array.from({ length: Math.max(...wrapped.map((cell) => cell.length)) }, (_, at) =>
      columns
        .map(({ align }, index) =>
          (align === 'right' ? padStartTo : padEndTo)(wrapped[index]?.[at] ?? '', widths[index] ?? 0),
        )
        .join('  ')
        .trimEnd(),
    );
  };
  return [...lines(columns.map((column) => column.title)), ...rows.flatMap(lines)];
}

/** The columns' widths, none wider than it must be; undefined when they cannot be made to fit. */
function fitted(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number,
): number[] | undefined {
  const widest = (texts: readonly string[]) => Math.max(0, ...texts.map(textWidth));
  const cells = columns.map((column, index) => [column.title, ...rows.map((row) => row[index] ?? '')]);
  const widths = cells.map(widest);
  const least = cells.map((texts, index) =>
    index === 0 || columns[index]?.align === 'right'
      ? (widths[index] ?? 0)
      : widest([texts[0] ?? '', ...texts.flatMap((text) => text.split(gap))]),
  );
  const room = width - 2 * (columns.length - 1);
  for (;;) {
    if (widths.reduce((sum, one) => sum + one, 0) <= room) return widths;
    const spare = widths.map((one, index) => (one > (least[index] ?? 0) ? one : 0));
    const largest = Math.max(...spare);
    if (largest === 0) return undefined;
    widths[spare.indexOf(largest)] = largest - 1;
  }
}

function block(columns: readonly Column[], row: readonly string[], width: number): string[] {
  const [heading = '', ...cells] = row;
  return [
    heading,
    ...formatFields(
      cells.map((cell, index) => [columns[index + 1]?.title ?? '', cell] as const),
      width,
    ),
  ];
}

/** Names and values in two columns, each value wrapped under itself: `  name    value`. */
export function formatFields(fields: readonly (readonly [string, string])[], width = 80): string[] {
  const nameWidth = Math.max(0, ...fields.map(([name]) => textWidth(name)));
  // Beside a name that leaves no room, values would be a column of single words.
  const indent = nameWidth + 4 > width / 2 ? 4 : nameWidth + 4;
  return fields.flatMap(([name, value]) => {
    const lines = wrap(value, width - indent);
    if (indent < nameWidth + 4) return [`  ${name}`, ...lines.map((line) => `    ${line}`.trimEnd())];
    return lines.map((line, index) => `  ${padEndTo(index === 0 ? name : '', nameWidth)}  ${line}`.trimEnd());
  });
}

/** A space at which a line may end: not the one within `1 991 files`, nor the one within `111 MB`. */
const gap = /(?<!\d) | (?!\d{3}(?!\d)|(?:[kMGTP]?B|s|min|h|d|%)(?!\w))/;

/** Breaks a text at spaces into lines of at most `width` columns; a longer word stays whole, an indent is kept. */
export function wrap(text: string, width: number): string[] {
  return text.split('\n').flatMap((paragraph) => {
    const indent = /^ */.exec(paragraph)?.[0] ?? '';
    const lines: string[] = [];
    let line = '';
    for (const word of paragraph.trim().split(gap)) {
      if (line !== '' && indent.length + textWidth(line) + 1 + textWidth(word) > width) {
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
  return textWidth(line) <= width ? line : `${cutToWidth(line, width - 1)}…`;
}
