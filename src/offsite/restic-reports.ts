import { basename } from 'node:path';
import type { BackupId } from '../backups/id.js';
import { noReport, requireReportName } from './attached.js';
import type { Offsite } from './offsite.js';
import type { Snapshot } from './restic-output.js';

/** What of `restic.ts` this takes. */
interface Repository {
  /** The off-site's name. */
  readonly name: string;
  readonly domain: string;
  run(words: readonly string[], options?: { stdin?: string; reads?: boolean }): Promise<string>;
  snapshots(...tags: readonly string[]): Promise<Snapshot[]>;
  forget(found: readonly Snapshot[], wait: string): Promise<unknown>;
}

/** The reports beside a backup in a restic repository: each a snapshot of one file, with the backup's tag. */
export function resticReports({ name: offsite, domain, run, snapshots, forget }: Repository) {
  async function reports(backup: BackupId, name?: string): Promise<Snapshot[]> {
    const found = await snapshots(`backup=${backup}`, 'part=report');
    return name === undefined ? found : found.filter(({ paths }) => paths.includes(`/${name}`));
  }

  return {
    async attach(backup, name, content) {
      requireReportName(name);
      const before = await reports(backup, name);
      const tags = `permafrost,backup=${backup},part=report`;
      await run(['backup', '--stdin', '--stdin-filename', name, '--host', domain, '--tag', tags], {
        stdin: content,
      });
      await forget(before, '0s'); // the newest counts
    },

    async listAttached(backup) {
      const paths = (await reports(backup)).flatMap((found) => found.paths);
      return [...new Set(paths.map((path) => basename(path)))];
    },

    async readAttached(backup, name) {
      const [newest] = (await reports(backup, name)).sort((one, other) => (one.time < other.time ? 1 : -1));
      if (newest === undefined) throw noReport(offsite, backup, name);
      return run(['dump', '--no-lock', newest.id, `/${name}`], { reads: true });
    },
  } satisfies Partial<Offsite>;
}
