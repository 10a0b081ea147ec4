/** What `permafrost doctor` finds. Pure: shown by `terminal/`, found by `doctor/` and `temporal/`. */

/** `bad`: a backup now would be refused or fail, or could not be restored as it is. */
export type Severity = 'ok' | 'warning' | 'bad';

export interface Check {
  /** Stable, for scripts: `database-indexes`. */
  readonly name: string;
  /** What it is about, for people; several checks may share one: `database`. */
  readonly subject: string;
  /** Where it was looked: `local` is this machine, `temporal` is the Temporal server; else as messages call the host. */
  readonly host: string;
  readonly instance?: string;
  readonly offsite?: string;
  readonly ok: boolean;
  readonly severity: Severity;
  /** What was found. */
  readonly detail: string;
  /** What mends it, most often a command; only where there is something to mend. */
  readonly fix?: string;
  /** A file that mends it, and where it belongs on that host. */
  readonly file?: { readonly path: string; readonly text: string };
}

/** What a check is about, and where. */
export type Subject = Pick<Check, 'name' | 'subject' | 'host' | 'instance' | 'offsite'>;

export function good(about: Subject, detail: string): Check {
  return { ...about, ok: true, severity: 'ok', detail };
}

export function warning(about: Subject, detail: string, fix: string): Check {
  return { ...about, ok: false, severity: 'warning', detail, fix };
}

export function bad(about: Subject, detail: string, fix: string, file?: Check['file']): Check {
  return { ...about, ok: false, severity: 'bad', detail, fix, ...(file === undefined ? {} : { file }) };
}

/** Checks that say that Temporal or its worker is missing, and nothing of the instance. */
export const temporalChecks: readonly string[] = ['temporal', 'worker'];

/** The command's exit code: 0 without anything bad, 7 when only Temporal or its worker is missing, else 3. */
export function exitCodeOfChecks(checks: readonly Check[]): 0 | 3 | 7 {
  const found = checks.filter(({ severity }) => severity === 'bad');
  if (found.length === 0) return 0;
  return found.every(({ name }) => temporalChecks.includes(name)) ? 7 : 3;
}
