export type Value =
  | string
  | number
  | bigint
  | boolean
  | Date
  | null
  | readonly (string | bigint)[]
  | { readonly [key: string]: unknown };

export type Row = Readonly<Record<string, Value>>;

/** Rows for PostgreSQL's COPY: table after table, in the order in which the tables got their first row. */
export class Rows {
  readonly #groups = new Map<string, { table: string; columns: string[]; lines: string[] }>();
  readonly #highest = new Map<string, bigint>();
  readonly #counts = new Map<string, number>();

  add(table: string, row: Row): void {
    const columns = Object.keys(row);
    const key = `${table} ${columns.join(' ')}`;
    const group = this.#groups.get(key) ?? { table, columns, lines: [] };
    this.#groups.set(key, group);
    group.lines.push(`${columns.map((column) => copyText(row[column] ?? null)).join('\t')}\n`);
    this.#counts.set(table, this.count(table) + 1);
    const id = row['id'];
    if (typeof id === 'bigint' && id > (this.#highest.get(table) ?? 0n)) this.#highest.set(table, id);
  }

  count(table: string): number {
    return this.#counts.get(table) ?? 0;
  }

  /** The next id of a table with an ordinary sequence. */
  nextId(table: string): bigint {
    return (this.#highest.get(table) ?? 0n) + 1n;
  }

  /** SQL for psql that puts the rows in and sets the sequences behind them. */
  *sql(): Generator<string> {
    const tables = [...this.#counts.keys()];
    const groups = [...this.#groups.values()].sort(
      (a, b) => tables.indexOf(a.table) - tables.indexOf(b.table),
    );
    for (const { table, columns, lines } of groups) {
      yield `COPY ${table} (${columns.join(', ')}) FROM stdin;\n`;
      for (let start = 0; start < lines.length; start += 500) yield lines.slice(start, start + 500).join('');
      yield '\\.\n';
    }
    for (const [table, highest] of this.#highest) {
      // A table with snowflake ids counts its rows in the sequence, never its ids.
      const value = highest >= 1_000_000_000n ? BigInt(this.count(table)) : highest;
      yield `SELECT setval('${table}_id_seq', ${String(value)});\n`;
    }
  }
}

function copyText(value: Value): string {
  if (value === null) return '\\N';
  if (value instanceof Date) return value.toISOString().replace('T', ' ').replace('Z', '');
  if (typeof value === 'boolean') return value ? 't' : 'f';
  return escapeText(
    isList(value) ? arrayLiteral(value) : typeof value === 'object' ? JSON.stringify(value) : String(value),
  );
}

function isList(value: Value): value is readonly (string | bigint)[] {
  return Array.isArray(value);
}

function arrayLiteral(values: readonly (string | bigint)[]): string {
  const quoted = values.map((value) => `"${String(value).replaceAll(/[\\"]/g, '\\$&')}"`);
  return `{${quoted.join(',')}}`;
}

function escapeText(text: string): string {
  return text
    .replaceAll('\\', '\\\\')
    .replaceAll('\t', '\\t')
    .replaceAll('\n', '\\n')
    .replaceAll('\r', '\\r');
}
