import { backupIdPattern } from '../backups/id.js';
import type { Configuration } from '../config/configuration.js';
import { instanceOf, offsiteOf, withOffsite } from '../offsite/read.js';
import { present } from '../present.js';
import { reportUrl, writeReport } from '../records/reports.js';
import { pageOf, type ReportGiven, reportName } from '../reports/page-of.js';

export type { ReportGiven } from '../reports/page-of.js';

export interface KeptReport {
  /** `drill-20261201T050000Z` */
  name: string;
  /** Where a browser on this machine (or by `reports.url`) sees the page; absent when nobody serves them. */
  url?: string;
  /** Why it is not everywhere where it should be. */
  warnings: string[];
}

/**
 * Keeps the report of a drill, a restore or an undo: as a page and as JSON on this machine, and beside the backup on the
 * off-site that was drilled or restored from. The report itself never fails for that: what does not work is a warning.
 * Safe to run again.
 */
export async function keepReport(configuration: Configuration, given: ReportGiven): Promise<KeptReport> {
  const { instance } = given.report;
  const name = reportName(given);
  const html = pageOf(given);
  const json = `${JSON.stringify(given.report, null, 1)}\n`;
  const warnings: string[] = [];
  const attempt = async <T>(what: string, work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      const said = error instanceof Error ? error.message : String(error);
      warnings.push(`the report is not ${what}: ${said}`);
      return undefined;
    }
  };
  const url = await attempt('kept on this machine', async () => {
    await writeReport(configuration.state, instance, name, { html, json });
    return reportUrl(configuration, instance, name);
  });
  const beside = given.kind === 'undo' ? undefined : given.report;
  // One that has failed early was of no backup yet.
  if (beside !== undefined && backupIdPattern.test(beside.backup) && beside.from !== '')
    await attempt(`beside ${beside.backup} on ${beside.from}`, () =>
      withOffsite(
        configuration,
        instanceOf(configuration, instance),
        offsiteOf(configuration, beside.from),
        async (offsite) => {
          const both = [
            offsite.attach(beside.backup, `${name}.json`, json),
            offsite.attach(beside.backup, `${name}.html`, html),
          ];
          await Promise.allSettled(both);
          await Promise.all(both);
        },
        'report',
      ),
    );
  return present({ name, url, warnings });
}
