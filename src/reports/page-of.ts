import type { DrillReport } from '../backups/drill-report.js';
import type { RestoreReport, UndoReport } from '../backups/restore-report.js';
import { drillPage } from './drill-page.js';
import { restorePage } from './restore-page.js';
import { undoPage } from './undo-page.js';

/** What has a page. */
export type ReportGiven =
  | { readonly kind: 'drill'; readonly report: DrillReport }
  | { readonly kind: 'restore'; readonly report: RestoreReport }
  | { readonly kind: 'undo'; readonly report: UndoReport };

/** What a report is called: `drill-20261201T050000Z`. */
export function reportName(given: ReportGiven): string {
  const id = given.kind === 'drill' ? given.report.drill : given.report.restore;
  return `${given.kind}-${id}`;
}

/** The page of a report: self-contained HTML. */
export function pageOf(given: ReportGiven): string {
  switch (given.kind) {
    case 'drill':
      return drillPage(given.report);
    case 'restore':
      return restorePage(given.report);
    case 'undo':
      return undoPage(given.report);
  }
}
