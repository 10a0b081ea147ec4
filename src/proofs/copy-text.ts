/**
 * The fields of a line that `COPY … TO STDOUT` printed in its text format: separated by tabs, NULL as `\N`, tabs, newlines
 * and backslashes escaped (PostgreSQL's manual, COPY, "Text Format"). Pure.
 */
export function copyFields(line: string): (string | null)[] {
  return line.split('\t').map((field) => (field === '\\N' ? null : unescaped(field)));
}

const meanings: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

function unescaped(field: string): string {
  if (!field.includes('\\')) return field;
  return field.replace(/\\(.)/gs, (_, escaped: string) => meanings[escaped] ?? escaped);
}
