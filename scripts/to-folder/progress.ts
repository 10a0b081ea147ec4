import type { BackupId } from '../../src/backups/id.js';
import type { BackupProgress, Phase, StepProgress } from '../../src/backups/report.js';
import { ProgressView } from '../../src/terminal/progress.js';
import type { Output } from '../cli/output.js';
import { type ProgressOutput, progressOutput } from '../cli/progress-output.js';

/** How often the view is drawn anew. */
const drawEveryMs = 500;

/** Shows what this process itself does, as runs are shown that others do. */
export class FolderProgress {
  readonly #output: ProgressOutput;
  readonly #startedAt = new Date();
  readonly #phase: Phase;
  readonly #timer: NodeJS.Timeout;
  #step: StepProgress | undefined;

  constructor(
    out: Output,
    title: string,
    private readonly run: { backup: BackupId; instance: string },
  ) {
    this.#output = progressOutput(out, new ProgressView(title));
    this.#phase = { name: 'fetch', state: 'running', startedAt: this.#startedAt.toISOString() };
    this.#timer = setInterval(() => this.#draw(), drawEveryMs);
  }

  /** @param step as Temporal's UI would call it: the terminal's words for it stand in `terminal/step-text.ts`. */
  at(step: StepProgress): void {
    this.#step = step;
  }

  end(state: 'done' | 'failed'): void {
    clearInterval(this.#timer);
    this.#step = undefined;
    Object.assign(this.#phase, { state, finishedAt: new Date().toISOString() });
    this.#draw();
    this.#output.leave();
  }

  #draw(): void {
    const progress: BackupProgress = {
      ...this.run,
      ...{ status: 'running', quiesce: 'none', phases: [this.#phase], services: 'untouched' },
      ...{ offsites: [], warnings: [] },
    };
    const steps = this.#step === undefined ? [] : [{ id: 'fetch', progress: this.#step }];
    this.#output.show({ now: new Date(), progress, steps, startedAt: this.#startedAt, notes: [] });
  }
}
