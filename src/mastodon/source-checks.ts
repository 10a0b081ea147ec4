import type { Allowance } from '../backups/allowances.js';
import type { PartName } from '../backups/parts.js';
import type { LastSealed } from '../backups/report.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { schemaOf } from './database-schema.js';
import type { Instance } from './instance.js';
import type { Schema } from './media-files.js';
import type { Look, Source, SourceCheck } from './source-check.js';
import { databaseChecks } from './source-checks-database.js';
import { environmentChecks } from './source-checks-environment.js';
import { mediaChecks } from './source-checks-media.js';
import { redisChecks } from './source-checks-redis.js';

/**
 * Whether an instance is a plausible source of a backup: a table of named checks that look and touch nothing. Preflight
 * refuses with the first bad finding that is not allowed; `doctor` shows them all.
 */
const checks = [...environmentChecks, ...databaseChecks, ...mediaChecks, ...redisChecks] as const;

export type SourceCheckName = (typeof checks)[number]['name'];

export interface SourceFinding {
  readonly check: SourceCheckName;
  readonly ok: boolean;
  /** `bad`: preflight refuses, unless the allowance is given. */
  readonly severity: 'ok' | 'bad';
  /** What was found, a clause without its full stop. */
  readonly detail: string;
  /** What to do about it; '' when it is ok. */
  readonly fix: string;
  /** The option that allows it; absent when it is ok, or when nothing can. */
  readonly allowance?: Allowance;
}

/**
 * Runs the checks that the parts call for, side by side.
 *
 * @param last what this machine remembers (`records/last-sealed.ts`); without it the checks that need it are ok.
 * @returns a finding for each, in the order of the table.
 * @throws Failure `HostUnreachable` or `HostKeyRejected` alone: whatever else goes wrong in a check is its finding.
 */
export async function checkSource(
  host: Host,
  instance: Instance,
  { parts, last }: { parts: readonly PartName[]; last: LastSealed | null },
): Promise<SourceFinding[]> {
  let schema: Promise<Schema> | undefined;
  const source: Source = {
    ...{ host, instance, last },
    schema: () => (schema ??= schemaOf(host, instance)),
  };
  const called = checks.filter((check) => check.parts.every((part) => parts.includes(part)));
  return Promise.all(called.map((check) => finding(check, source)));
}

async function finding(check: (typeof checks)[number], source: Source): Promise<SourceFinding> {
  const [ok, detail, fix = ''] = await lookSafely(check, source);
  if (ok) return { check: check.name, ok, severity: 'ok', detail, fix };
  const { allowance }: SourceCheck = check;
  return {
    ...{ check: check.name, ok, severity: 'bad', detail, fix },
    ...(allowance === undefined ? {} : { allowance }),
  };
}

async function lookSafely(check: SourceCheck, source: Source): Promise<Look> {
  try {
    return await check.look(source);
  } catch (error) {
    const dead = ['HostUnreachable', 'HostKeyRejected'];
    if (!(error instanceof Failure) || dead.includes(error.type)) throw error;
    return [false, error.message.replace(/\.$/, ''), error.next ?? 'correct it, then look again'];
  }
}
