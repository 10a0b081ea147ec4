import { uuid4, workflowInfo } from '@temporalio/workflow';
import { backupIdOf } from '../backups/id.js';
import type { FailureReport, ServicesState } from '../backups/report.js';
import {
  restorePhases,
  type RestorePlan,
  type RestoreReport,
  type RestoreRequest,
  type RestoreStatus,
} from '../backups/restore-report.js';
import { detailsOf } from './details.js';
import { standstillMs, type Stilling } from './quiesced.js';
import { RunProgress } from './run-progress.js';
import { now, type RunState } from './run-state.js';

/** What one restore knows of itself. */
export class RestoreState implements Stilling {
  readonly run: RunState['run'];
  readonly place: { restore: RestoreRequest };
  readonly unfinished = {
    what: 'the backup was not in place by then, and what was is back',
    next: 'a longer quiesce.budget; permafrost restore --plan says how long it is',
  };
  stoppedAtMs: number | undefined;
  healthyAtMs: number | undefined;
  readonly progress: RunProgress;
  readonly report: RestoreReport;

  constructor(request: RestoreRequest) {
    const { startTime, workflowId, runId } = workflowInfo();
    const restore = backupIdOf(startTime);
    this.run = { instance: request.instance, backup: restore, token: uuid4() };
    this.place = { restore: request };
    const { instance, backup, from, parts } = request;
    this.report = {
      ...{ restore, instance, backup, from, to: '', parts, status: 'failed' },
      ...{ workflowId, runId, startedAt: startTime.toISOString(), finishedAt: '' },
      ...{ downtimeMs: 0, services: 'untouched', checks: [], notProven: [], changedSecrets: [] },
      ...{ undoUntil: null, ran: [], next: [], phases: [], warnings: [] },
    };
    this.progress = new RunProgress({
      ...{ instance, backup, phases: restorePhases },
      details: (progress) => this.#details(progress),
    });
  }

  get request(): RestoreRequest {
    return this.place.restore;
  }

  /** Every step's input. */
  get step(): { run: RunState['run']; restore: RestoreRequest } {
    return { run: this.run, restore: this.request };
  }

  begin(to: string): void {
    this.report.to = to;
    this.progress.begin();
    this.progress.found(this.request.backup);
    this.progress.offsite(this.request.from, 'reading');
  }

  planned({ next, ...plan }: RestorePlan & { next: string[] }): void {
    this.report.plan = plan;
    this.report.next = next;
    if (this.request.parts.includes('secrets')) this.report.changedSecrets = plan.changedSecrets;
    for (const warning of plan.warnings) this.warn(warning);
  }

  setServices(services: ServicesState): void {
    this.report.services = services;
    this.progress.services(services);
  }

  warn(warning: string): void {
    this.report.warnings.push(warning);
    this.progress.warn(warning);
  }

  /** The end, for queries and for the record; `page` is where the report is seen. */
  end(status: RestoreStatus, error?: FailureReport): RestoreReport {
    const { report } = this;
    report.status = status;
    if (error !== undefined) report.error = error;
    report.downtimeMs = standstillMs(this);
    this.progress.end(status === 'restored' || status === 'planned' ? 'done' : status, status);
    report.finishedAt = now();
    report.phases = this.progress.phases;
    return report;
  }

  #page: string | undefined;

  /** Where its page is seen. */
  kept(url: string | undefined, warnings: readonly string[]): void {
    this.#page = url;
    for (const warning of warnings) this.warn(warning);
    this.progress.show();
  }

  #details(progress: Parameters<typeof detailsOf>[0]): string {
    const { to, next, undoUntil, error } = this.report;
    return [
      detailsOf(progress, error, `Restore${to === '' ? '' : ` to ${to}`} of backup`),
      ...(this.#page === undefined ? [] : ['', `[The report](${this.#page})`]),
      ...(undoUntil === null ? [] : ['', `It can be taken back until ${undoUntil}: \`permafrost undo\``]),
      ...(next.length === 0 ? [] : ['', 'To be run by hand:', '', ...next.map((line) => `    ${line}`)]),
    ].join('\n');
  }
}
