import {
  defineQuery,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  uuid4,
  workflowInfo,
} from '@temporalio/workflow';
import type { DatabasePlan } from '../backups/database-plan.js';
import { backupIdOf } from '../backups/id.js';
import {
  type BackupPlan,
  type BackupProgress,
  type BackupReport,
  type BackupRequest,
  type BackupStatus,
  type FailureReport,
  type OffsiteReport,
  type PartReport,
  type Phase,
  type PhaseName,
  phaseNames,
  type ServicesState,
} from '../backups/report.js';
import { detailsOf } from './details.js';
import { standstillMs } from './quiesced.js';
import {
  PermafrostBackup,
  PermafrostInstance,
  PermafrostPhase,
  PermafrostStatus,
} from './search-attributes.js';

export const progressQuery = defineQuery<BackupProgress>('progress');

/** What one backup run knows of itself: the one state that queries, Temporal's UI and the report are made from. */
export class RunState {
  readonly run: { instance: string; backup: string; token: string };
  plan: BackupPlan | undefined;
  services: ServicesState = 'untouched';
  stoppedAtMs: number | undefined;
  healthyAtMs: number | undefined;
  parts: PartReport[] = [];
  /** Whether the database is a full dump or a delta tonight; undefined without it. */
  database: DatabasePlan | undefined;
  /** `900 media files, 3 of them new` */
  mediaText: string | undefined;
  readonly offsites = new Map<
    string,
    OffsiteReport & { state: BackupProgress['offsites'][number]['state'] }
  >();
  readonly warnings: string[] = [];
  #status: BackupStatus | 'running' = 'running';
  #failure: FailureReport | undefined;
  readonly #phases: Phase[] = phaseNames.map((name) => ({ name, state: 'waiting' }));
  readonly #request: BackupRequest;

  constructor(request: BackupRequest) {
    this.#request = request;
    this.run = { instance: request.instance, backup: backupIdOf(workflowInfo().startTime), token: uuid4() };
    setHandler(progressQuery, () => this.progress());
    upsertSearchAttributes([
      { key: PermafrostInstance, value: request.instance },
      { key: PermafrostBackup, value: this.run.backup },
      { key: PermafrostStatus, value: 'running' },
    ]);
    this.show();
  }

  /** Runs a step of a phase; the phase is done when all its steps are. */
  async inPhase<T>(name: PhaseName, step: () => Promise<T>): Promise<T> {
    const phase = this.#phase(name);
    if (phase.state === 'waiting') {
      phase.startedAt = now();
      upsertSearchAttributes([{ key: PermafrostPhase, value: name }]);
    }
    if (phase.state !== 'failed') phase.state = 'running';
    this.show();
    try {
      const result = await step();
      if (phase.state === 'running') phase.state = 'done';
      return result;
    } catch (error) {
      phase.state = 'failed';
      throw error;
    } finally {
      phase.finishedAt = now();
      this.show();
    }
  }

  detail(name: PhaseName, detail: string): void {
    this.#phase(name).detail = detail;
    this.show();
  }

  setServices(services: ServicesState): void {
    this.services = services;
    this.show();
  }

  finish(status: BackupStatus, failure?: FailureReport): void {
    this.#status = status;
    this.#failure = failure;
    for (const phase of this.#phases) if (phase.state === 'waiting') phase.state = 'skipped';
    upsertSearchAttributes([{ key: PermafrostStatus, value: status }]);
    this.show();
  }

  /** Keeps the text in Temporal's UI true. */
  show(): void {
    setCurrentDetails(detailsOf(this.progress(), this.#failure));
  }

  get startedAtMs(): number {
    return workflowInfo().startTime.getTime();
  }

  get downtimeMs(): number {
    return standstillMs(this);
  }

  get timings(): { phase: string; startedAt: string; durationMs: number }[] {
    return this.#phases.flatMap(({ name, startedAt, finishedAt }) =>
      startedAt === undefined
        ? []
        : [
            {
              phase: name,
              startedAt,
              durationMs: Math.max(0, Date.parse(finishedAt ?? now()) - Date.parse(startedAt)),
            },
          ],
    );
  }

  progress(): BackupProgress {
    return {
      ...{ backup: this.run.backup, instance: this.run.instance, status: this.#status },
      quiesce: this.plan?.quiesce ?? this.#request.quiesce ?? 'brief',
      phases: this.#phases.map((phase) => ({ ...phase })),
      services: this.services,
      offsites: [...this.offsites.values()].map(({ name, state, error }) => ({
        name,
        state,
        ...(error === undefined ? {} : { error: error.message }),
      })),
      warnings: [...this.warnings],
    };
  }

  report(error?: FailureReport): BackupReport {
    const info = workflowInfo();
    return {
      ...{ backup: this.run.backup, instance: this.run.instance },
      status: this.#status === 'running' ? 'failed' : this.#status,
      ...{ workflowId: info.workflowId, runId: info.runId },
      ...{ startedAt: info.startTime.toISOString(), finishedAt: now() },
      quiesce: this.plan?.quiesce ?? this.#request.quiesce ?? 'brief',
      ...{ downtimeMs: this.downtimeMs, services: this.services, parts: this.parts },
      offsites: [...this.offsites.values()].map(
        ({ name, sealed, verified, bytesAdded, checked, error: problem }) => ({
          ...{ name, sealed, verified, bytesAdded },
          ...(checked === undefined ? {} : { checked }),
          ...(problem === undefined ? {} : { error: problem }),
        }),
      ),
      ...{ phases: this.progress().phases, warnings: [...this.warnings] },
      ...(this.plan === undefined ? {} : { plan: this.plan }),
      ...(error === undefined ? {} : { error }),
    };
  }

  #phase(name: PhaseName): Phase {
    const phase = this.#phases.find((candidate) => candidate.name === name);
    if (phase === undefined) throw new Error(`no phase ${name}`);
    return phase;
  }
}

export function now(): string {
  return new Date().toISOString();
}
