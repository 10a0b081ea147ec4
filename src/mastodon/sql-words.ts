/** Words of SQL, quoted: for statements that psql's own variables do not reach. Pure. */

/** A string constant that stands for exactly this text, whatever `standard_conforming_strings` says. */
export function sqlText(text: string): string {
  const quoted = `'${text.replaceAll("'", "''").replaceAll('\\', '\\\\')}'`;
  return text.includes('\\') ? `E${quoted}` : quoted;
}

/** A name (of a database, a role, a table), as it is written. */
export function sqlName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
