import { createInterface } from 'node:readline';
import type { Io } from './io.js';
import type { Output } from './output.js';

export type Interruption = 'detach' | 'cancel';

/**
 * What Ctrl-C and SIGTERM mean while a run is followed: the run itself is not theirs to end.
 *
 * In a terminal Ctrl-C asks; a second one while it asks detaches. Where nobody can answer, both detach.
 */
export class Interrupts {
  private readonly stops: (() => void)[];
  private pending: 'ask' | 'detach' | undefined;
  private wake: (() => void) | undefined;

  constructor(
    private readonly io: Io,
    private readonly out: Output,
  ) {
    const interactive = io.stdin.isTTY === true && out.progress.isTTY === true;
    this.stops = [
      io.onSignal('SIGINT', () =>
        this.happened(interactive && this.pending === undefined ? 'ask' : 'detach'),
      ),
      io.onSignal('SIGTERM', () => this.happened('detach')),
    ];
  }

  /** Waits so many milliseconds, or less when a signal comes. */
  async wait(milliseconds: number): Promise<void> {
    if (this.pending !== undefined) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wake = undefined;
  }

  /** What somebody wants since the last look; undefined: go on. Asks when Ctrl-C was pressed. */
  async look(leaveView: () => void): Promise<Interruption | undefined> {
    if (this.pending === undefined) return undefined;
    const answer = this.pending === 'ask' ? await this.ask(leaveView) : 'detach';
    this.pending = undefined;
    return answer;
  }

  close(): void {
    for (const stop of this.stops) stop();
  }

  private happened(what: 'ask' | 'detach'): void {
    this.pending = what;
    this.wake?.();
  }

  private async ask(leaveView: () => void): Promise<Interruption | undefined> {
    leaveView();
    const lines = createInterface({ input: this.io.stdin, terminal: false });
    try {
      this.out.progress.write(
        '\nThe run goes on by itself. [d]etach, [c]ancel it, [enter] go on following: ',
      );
      const answer = await new Promise<string | undefined>((resolve) => {
        lines.once('line', resolve);
        lines.once('close', () => resolve(undefined));
        this.wake = () => resolve('d');
      });
      this.wake = undefined;
      this.out.say('');
      const letter = answer?.trim().toLowerCase()[0];
      return answer === undefined || letter === 'd' ? 'detach' : letter === 'c' ? 'cancel' : undefined;
    } finally {
      lines.close();
      this.io.stdin.pause();
    }
  }
}
