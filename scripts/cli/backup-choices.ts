import { type Allowance, allowanceNames } from '../../src/backups/allowances.js';
import { type PartName, partNames, quiesceModes } from '../../src/backups/parts.js';
import type { BackupRequest } from '../../src/backups/report.js';
import type { InstanceConfig } from '../../src/config/configuration.js';
import { Failure } from '../../src/errors.js';
import { suggestion } from './suggest.js';

export interface BackupOptions {
  quiesce?: string;
  only?: string[];
  offsite?: string[];
  allow?: string[];
  dryRun?: boolean;
  detach?: boolean;
}

/**
 * What an operator asks for as the workflow's input: names and choices that the configuration knows.
 *
 * @throws Failure `ConfigInvalid` for a name that it does not know, with what was probably meant.
 */
export function backupRequest(instance: InstanceConfig, options: BackupOptions): BackupRequest {
  const request: BackupRequest = { instance: instance.domain };
  if (options.quiesce !== undefined) request.quiesce = oneOf('--quiesce', options.quiesce, quiesceModes);
  if (options.only !== undefined) request.only = someOf<PartName>('--only', options.only, partNames);
  if (options.offsite !== undefined)
    request.offsites = someOf('--offsite', options.offsite, instance.offsites);
  if (options.allow !== undefined)
    request.allow = someOf<Allowance>('--allow', options.allow, allowanceNames);
  if (options.dryRun === true) request.dryRun = true;
  return request;
}

/** @throws Failure `ConfigInvalid` for none, and for a name that is not known. */
export function someOf<T extends string>(option: string, given: readonly string[], known: readonly T[]): T[] {
  if (given.length === 0)
    throw new Failure('ConfigInvalid', `${option}: no name was given`, { next: suggestion('', known) });
  return [...new Set(given.map((name) => oneOf(option, name, known)))];
}

export function oneOf<T extends string>(option: string, given: string, known: readonly T[]): T {
  const found = known.find((name) => name === given);
  if (found !== undefined) return found;
  throw new Failure('ConfigInvalid', `${option}: there is no '${given}'`, { next: suggestion(given, known) });
}

/** For commander: `a,b` and a repeated option are the same. */
export function commaList(text: string, before: string[] = []): string[] {
  return [
    ...before,
    ...text
      .split(',')
      .map((word) => word.trim())
      .filter((word) => word !== ''),
  ];
}
