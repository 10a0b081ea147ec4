import type { BackupId } from '../../src/backups/id.js';
import { type PartName, partNames } from '../../src/backups/parts.js';
import type { Configuration, InstanceConfig } from '../../src/config/configuration.js';
import { Failure } from '../../src/errors.js';
import type { Host } from '../../src/hosts/host.js';
import { chooseBackup, offsiteOf, withOffsite } from '../../src/offsite/read.js';
import type { Note } from './folder.js';

export interface ToFolderOptions {
  /** An id, a unique prefix of one, or `latest`. */
  backup: string;
  /** `--to`: as it was typed. */
  to: string;
  /** `--from`; else the first off-site of the instance that has it. */
  from?: string;
  /** `--parts`; else all that the backup has. */
  parts?: readonly PartName[];
  /** `--format`: of the database. Default: custom. */
  format?: 'custom' | 'plain';
}

/** What is to be fetched, and where from. */
export interface Wanted {
  readonly instance: InstanceConfig;
  readonly backup: BackupId;
  readonly from: string;
  /** Off-sites that have it, besides. */
  readonly others: readonly string[];
  readonly parts: readonly PartName[];
  readonly format: 'custom' | 'plain';
}

/** Which backup, and where from. @throws Failure `NotFound`, `Refused`; what keeps every off-site from being read. */
export async function chooseBackupToFetch(
  configuration: Configuration,
  instance: InstanceConfig,
  given: ToFolderOptions & { before: Note | undefined; host: Host },
): Promise<Wanted> {
  const { domain } = instance;
  const { before, host } = given;
  // The newest may be another one by now.
  const goesOn =
    before?.instance === domain && (given.backup === 'latest' || before.backup.startsWith(given.backup));
  const names = given.from === undefined ? instance.offsites : [given.from];
  const problems: { name: string; failure: Failure }[] = [];
  const listed = await Promise.all(
    names.map(async (name) => {
      const offsite = offsiteOf(configuration, name);
      try {
        const { sealed } = await withOffsite(
          configuration,
          instance,
          offsite,
          (copy) => copy.list(),
          'folder',
          host,
        );
        return { name, sealed };
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        problems.push({ name, failure: error });
        return { name, sealed: [] };
      }
    }),
  );
  const [first] = problems;
  if (first !== undefined && problems.length === names.length) throw first.failure;
  const backup = chooseBackup(
    listed.flatMap(({ sealed }) => sealed.map((one) => one.backup)),
    goesOn ? before.backup : given.backup,
    { domain, unread: problems.map(({ name }) => name) },
  );
  const having = listed.flatMap(({ name, sealed }) =>
    sealed.filter((one) => one.backup === backup).map(({ parts }) => ({ name, parts })),
  );
  const [from, ...others] = having;
  if (from === undefined) throw new Failure('Unexpected', `${backup} is on no off-site`);
  // What is not said anew stays as it was begun.
  const begun = goesOn ? before : undefined;
  const asked = given.parts ?? begun?.parts ?? from.parts;
  const parts = partNames.filter((name) => asked.includes(name));
  const format = given.format ?? begun?.format ?? 'custom';
  const lacking = parts.filter((name) => !from.parts.includes(name));
  if (lacking.length > 0)
    throw new Failure('Refused', `backup ${backup} of ${domain} is without ${lacking.join(', ')}`, {
      next: `it has: ${from.parts.join(', ')}`,
    });
  return { instance, backup, from: from.name, others: others.map(({ name }) => name), parts, format };
}
