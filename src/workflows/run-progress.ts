import { setCurrentDetails, setHandler, upsertSearchAttributes } from '@temporalio/workflow';
import type { BackupId } from '../backups/id.js';
import type { AnyPhase, BackupProgress, Phase, ServicesState } from '../backups/report.js';
import { now, progressQuery } from './run-state.js';
import {
  PermafrostBackup,
  PermafrostInstance,
  PermafrostPhase,
  PermafrostStatus,
} from './search-attributes.js';

type OffsiteProgress = BackupProgress['offsites'][number];

/**
 * How far a run is that is no backup: the one state behind the query `progress`, Temporal's search attributes and its
 * current details. Open runs go through it again: `begin`, `found`, `during` and `end` each note one change of search
 * attributes, and nothing else does.
 */
export class RunProgress {
  readonly #progress: BackupProgress;
  readonly #details: (progress: BackupProgress) => string;

  /**
   * @param given.backup as far as it is known: an id, or the word that was typed.
   * @param given.phases in order.
   * @param given.details the run in Markdown, for Temporal's UI; asked at every `show`.
   */
  constructor(given: {
    instance: string;
    backup: BackupId;
    phases: readonly AnyPhase[];
    details: (progress: BackupProgress) => string;
  }) {
    this.#details = given.details;
    this.#progress = {
      ...{ backup: given.backup, instance: given.instance, status: 'running', quiesce: 'none' },
      phases: given.phases.map((name) => ({ name, state: 'waiting' })),
      ...{ services: 'untouched', offsites: [], warnings: [] },
    };
    setHandler(progressQuery, () => this.#progress);
    this.show();
  }

  /** From here on the run can be found. @param phase the one that it begins with, where it is not left to `during`. */
  begin(phase?: AnyPhase): void {
    if (phase !== undefined) this.#start(phase);
    upsertSearchAttributes([
      { key: PermafrostInstance, value: this.#progress.instance },
      { key: PermafrostStatus, value: 'running' },
      ...(phase === undefined ? [] : [{ key: PermafrostPhase, value: phase }]),
    ]);
    this.show();
  }

  /** Which backup it is about. */
  found(backup: BackupId): void {
    this.#progress.backup = backup;
    upsertSearchAttributes([{ key: PermafrostBackup, value: backup }]);
    this.show();
  }

  /** Does the work of a phase, which may have been at work before. One that fails is told as failed. */
  async during<T>(name: AnyPhase, work: () => Promise<T>): Promise<T> {
    const phase = this.#start(name);
    upsertSearchAttributes([{ key: PermafrostPhase, value: name }]);
    this.show();
    try {
      const result = await work();
      if (phase?.state === 'running') phase.state = 'done';
      return result;
    } catch (error) {
      if (phase !== undefined) phase.state = 'failed';
      throw error;
    } finally {
      if (phase !== undefined) phase.finishedAt = now();
      this.show();
    }
  }

  /** What came of a phase, in a few words. */
  detail(name: AnyPhase, detail: string): void {
    const phase = this.#phase(name);
    if (phase !== undefined) phase.detail = detail;
    this.show();
  }

  /** How an off-site stands in this run. */
  offsite(name: string, state: OffsiteProgress['state'], error?: string): void {
    const { offsites } = this.#progress;
    const one = { name, state, ...(error === undefined ? {} : { error }) };
    const at = offsites.findIndex((other) => other.name === name);
    if (at === -1) offsites.push(one);
    else offsites[at] = one;
    this.show();
  }

  services(state: ServicesState): void {
    this.#progress.services = state;
    this.show();
  }

  warn(warning: string): void {
    this.#progress.warnings.push(warning);
    this.show();
  }

  /** How it ended. @param word of it in Temporal's list of runs. */
  end(status: Exclude<BackupProgress['status'], 'running'>, word: string = status): void {
    this.#progress.status = status;
    for (const phase of this.#progress.phases) {
      if (phase.state === 'waiting') phase.state = 'skipped';
      if (phase.state !== 'running') continue;
      phase.state = status === 'failed' || status === 'cancelled' ? 'failed' : 'done';
      phase.finishedAt = now();
    }
    upsertSearchAttributes([{ key: PermafrostStatus, value: word }]);
    this.show();
  }

  /** Keeps the text in Temporal's UI true. */
  show(): void {
    setCurrentDetails(this.#details(this.#progress));
  }

  /** Those that there are, each with its times. */
  get phases(): Phase[] {
    return this.#progress.phases.map((phase) => ({ ...phase }));
  }

  #start(name: AnyPhase): Phase | undefined {
    const phase = this.#phase(name);
    if (phase === undefined) return undefined;
    phase.state = 'running';
    phase.startedAt ??= now();
    delete phase.finishedAt;
    return phase;
  }

  #phase(name: AnyPhase): Phase | undefined {
    return this.#progress.phases.find((phase) => phase.name === name);
  }
}
