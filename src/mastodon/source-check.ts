import type { Allowance } from '../backups/allowances.js';
import type { PartName } from '../backups/parts.js';
import type { LastSealed } from '../backups/report.js';
import type { Host } from '../hosts/host.js';
import type { Instance } from './instance.js';
import type { Schema } from './media-files.js';

/** What a check may ask. */
export interface Source {
  readonly host: Host;
  readonly instance: Instance;
  /** What this machine remembers of the last sealed run; null when it remembers none. */
  readonly last: LastSealed | null;
  /** Asked for once, by whichever check needs it first. */
  schema(): Promise<Schema>;
}

export interface SourceCheck<Name extends string = string> {
  readonly name: Name;
  /** It is asked only when all of these are to be backed up. */
  readonly parts: readonly PartName[];
  /** The option that allows what it finds bad. */
  readonly allowance?: Allowance;
  look(source: Source): Promise<Look> | Look;
}

/** What was found, a clause without its full stop; when that is bad, also what to do about it. */
export type Look = readonly [ok: true, detail: string] | readonly [ok: false, detail: string, fix: string];
