import { isCancellation, workflowInfo } from '@temporalio/workflow';
import type {
  BootedScratch,
  FoundDrill,
  LoadedScratch,
  ReceivedBackup,
  SampledFiles,
} from '../activities/drill-steps.js';
import { formatBytes } from '../backups/bytes.js';
import type { Proof } from '../backups/check.js';
import { forecastOf, recoveryTimeOf } from '../backups/drill-forecast.js';
import { drillPhases, type DrillReport, type DrillRequest } from '../backups/drill-report.js';
import { formatDuration } from '../backups/duration.js';
import { backupIdOf } from '../backups/id.js';
import { drillDetails } from './drill-details.js';
import { fail, reportOf } from './failures.js';
import { RunProgress } from './run-progress.js';
import { now } from './run-state.js';

/** Phases that prove something, in the order of a report; some are at work side by side. */
const provingPhases = ['files', 'load', 'database', 'application'] as const;
type ProvingPhase = (typeof provingPhases)[number];

/** What one drill knows of itself: its report as far as it has come, and how far that is. */
export class DrillState {
  readonly report: DrillReport;
  readonly progress: RunProgress;
  /** There is a dump to be loaded: it has come, and is what it was. */
  #hasDump = false;
  readonly #proofs = new Map<ProvingPhase, Proof>();
  #plan: FoundDrill | undefined;
  /** What was known beforehand not to be. */
  #notProven: readonly string[] = [];
  #page: string | undefined;

  constructor({ instance, backup = 'latest', from = '', depth = 'database' }: DrillRequest) {
    const { startTime, workflowId, runId } = workflowInfo();
    this.report = {
      ...{ drill: backupIdOf(startTime), instance, backup, from, host: '', depth },
      ...{ status: 'failed', passed: false, checks: [], notProven: [], warnings: [] },
      times: { fetchMs: 0, fetchedBytes: 0, mediaMs: 0, mediaBytes: 0, mediaFiles: 0, loadMs: 0 },
      ...{ recoveryTimeMs: 0, durationMs: 0, workflowId, runId },
      ...{ startedAt: startTime.toISOString(), finishedAt: '' },
    };
    this.progress = new RunProgress({
      ...{ instance, backup, phases: drillPhases },
      details: (progress) => drillDetails(this.report, progress, this.#page),
    });
    this.progress.begin();
  }

  planned(plan: FoundDrill): void {
    this.#plan = plan;
    const { backup, from, host, depth, warnings, notProven, finding } = plan;
    Object.assign(this.report, { backup, from, host, depth });
    this.report.notProven.push(...notProven);
    this.progress.found(backup);
    this.progress.detail('plan', `${backup} from ${from} on ${host}`);
    for (const warning of warnings) this.warn(warning);
    if (finding !== undefined) this.report.checks.push(finding);
  }

  received({ bytes, ms, dump }: ReceivedBackup): void {
    const { times } = this.report;
    this.#hasDump = dump;
    [times.fetchMs, times.fetchedBytes] = [ms, bytes];
    this.progress.detail('fetch', `${formatBytes(bytes)} in ${formatDuration(ms)}`);
  }

  sampled({ media, ...proof }: SampledFiles): void {
    const { times } = this.report;
    [times.mediaMs, times.mediaBytes, times.mediaFiles] = [media.ms, media.bytes, media.files];
    this.#add('files', proof);
  }

  /** Whether there is something to load. That there is not is a finding, whatever the files have said. */
  hasSomethingToLoad(): boolean {
    if (this.report.depth === 'files') return false;
    if (!this.#hasDump) this.loaded({ check: nothingToLoad, notes: [], ms: 0 });
    return this.#hasDump;
  }

  /** @returns whether there is a database to go on with. */
  loaded({ check, notes, ms }: LoadedScratch): boolean {
    this.report.times.loadMs = ms;
    const lacking = check.passed ? [] : ['Nothing of the database: it could not be loaded.'];
    this.#add('load', { checks: [check], notProven: [...notes, ...lacking] });
    return check.passed;
  }

  /** Whether there is a database to go on with. */
  get isLoaded(): boolean {
    return this.#proofs.get('load')?.checks.every(({ passed }) => passed) === true;
  }

  proven(proof: Proof): void {
    this.#add('database', proof);
  }

  booted({ bootMs, ...proof }: BootedScratch): void {
    if (bootMs !== null) this.report.times.bootMs = bootMs;
    this.#add('application', proof);
  }

  warn(warning: string): void {
    this.report.warnings.push(warning);
    this.progress.warn(warning);
  }

  /** What all the checks come to. */
  judge(): void {
    const passed = this.report.checks.every((check) => check.passed);
    this.report.status = passed ? 'passed' : 'findings';
    this.report.passed = passed;
    this.#finish();
    this.progress.end(passed ? 'done' : 'findings', this.report.status);
  }

  failed(error: unknown): void {
    const cancelled = isCancellation(error);
    this.report.status = cancelled ? 'cancelled' : 'failed';
    this.report.error = reportOf(error);
    this.#finish();
    this.progress.end(cancelled ? 'cancelled' : 'failed');
  }

  kept(url: string | undefined, warnings: readonly string[]): void {
    this.#page = url;
    for (const warning of warnings) this.warn(warning);
    this.progress.show();
  }

  /** A backup that would not restore fails the run: in Temporal's list it must not look like one that would. */
  end(): DrillReport {
    const { report } = this;
    if (report.passed) return report;
    const failing = report.checks.filter((check) => !check.passed);
    const names = failing.map(({ name }) => name).join(', ');
    const message = `${report.backup} on ${report.from} would not restore as it is: ${names}`;
    throw fail('NotRestorable', message, nextOf(report), report);
  }

  #add(phase: ProvingPhase, proof: Proof): void {
    this.#proofs.set(phase, proof);
    const inOrder = provingPhases.flatMap((name) => this.#proofs.get(name) ?? []);
    this.report.checks = inOrder.flatMap((one) => one.checks);
    this.report.notProven = [...this.#notProven, ...inOrder.flatMap((one) => one.notProven)];
    const { checks } = proof;
    const bad = checks.filter(({ passed }) => !passed).map(({ name }) => name);
    const said = bad.length === 0 ? `${String(checks.length)} proven` : `NOT PROVEN: ${bad.join(', ')}`;
    this.progress.detail(phase, said);
  }

  #finish(): void {
    const { report } = this;
    report.finishedAt = now();
    report.durationMs = Math.max(0, Date.parse(report.finishedAt) - Date.parse(report.startedAt));
    report.recoveryTimeMs = recoveryTimeOf(report.times);
    // Without a database that was loaded, no time is one of a recovery.
    const whole = report.status === 'passed' && report.depth !== 'files';
    const forecast = whole ? forecastOf(report.times, this.#plan?.media ?? null) : undefined;
    if (forecast !== undefined) report.forecast = forecast;
  }
}

const nothingToLoad = {
  ...{ name: 'pg-restore', passed: false, durationMs: 0 },
  detail: 'there is nothing to load: the dump did not come whole',
};

/** What to do about a backup that would not restore. */
function nextOf({ backup, instance, from }: DrillReport): string {
  return (
    `see whether another off-site has ${backup} whole, or ${from} an older one: permafrost drill ${instance} BACKUP --from NAME; ` +
    `find out what happened to it (permafrost verify ${backup} --from ${from} --depth all), and make a new backup: permafrost backup ${instance}`
  );
}
