import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BackupReport } from '../backups/report.js';

/** Where this machine keeps the reports of an instance's runs, one JSON file for each. */
export function recordsFolder(state: string, instance: string): string {
  return join(state, 'runs', instance);
}

/** Keeps a run's report on this machine, also when Temporal's own history of it is gone. Whole, or not at all. */
export async function recordRun(state: string, report: BackupReport): Promise<void> {
  const folder = recordsFolder(state, report.instance);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, `${report.backup}.json`);
  await writeFile(`${path}.new`, `${JSON.stringify(report, null, 1)}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}
