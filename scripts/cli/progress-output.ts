import type { BackupProgress } from '../../src/backups/report.js';
import { changes, type ProgressView, type Snapshot } from '../../src/terminal/progress.js';
import type { Output } from './output.js';

/** On a pipe: a line a minute while nothing changes. */
const LINE_EVERY_MS = 60_000;

/** Shows a run while it goes on: in place on a terminal, line by line on a pipe. */
export interface ProgressOutput {
  show(snapshot: Snapshot): void;
  /** Something that must be seen and stay visible. */
  tell(...lines: string[]): void;
  /** The live view makes way for a question, or for the result. What it showed stays. */
  leave(): void;
}

export function progressOutput(out: Output, view: ProgressView): ProgressOutput {
  return out.progress.isTTY === true ? new LiveView(out, view) : new PlainLines(out, view);
}

class LiveView implements ProgressOutput {
  private drawn = 0;

  constructor(
    private readonly out: Output,
    private readonly view: ProgressView,
  ) {}

  show(snapshot: Snapshot): void {
    const stream = this.out.progress;
    this.view.observe(snapshot);
    const width = this.out.widthFor(stream);
    const rows = Math.max(1, (stream.rows ?? 24) - 1);
    const lines = this.view.lines(snapshot, this.out.paintFor(stream), width).slice(0, rows);
    const up = this.drawn === 0 ? '' : `\u001b[${this.drawn}A`;
    stream.write(`${up}\r${lines.map((line) => `${line}\u001b[K\n`).join('')}\u001b[J`);
    this.drawn = lines.length;
  }

  tell(...lines: string[]): void {
    this.leave();
    this.out.say(...lines);
  }

  leave(): void {
    this.drawn = 0;
  }
}

class PlainLines implements ProgressOutput {
  private before: BackupProgress | undefined;
  private lastLineAt: number | undefined;

  constructor(
    private readonly out: Output,
    private readonly view: ProgressView,
  ) {}

  show(snapshot: Snapshot): void {
    this.view.observe(snapshot);
    const at = snapshot.now.getTime();
    const news = snapshot.progress === undefined ? [] : changes(this.before, snapshot.progress, snapshot.now);
    this.before = snapshot.progress ?? this.before;
    if (news.length > 0) {
      this.say(snapshot.now, news);
      this.lastLineAt = at;
    }
    this.lastLineAt ??= at;
    if (at - this.lastLineAt < LINE_EVERY_MS) return;
    this.say(snapshot.now, [this.view.line(snapshot)]);
    this.lastLineAt = at;
  }

  tell(...lines: string[]): void {
    this.say(new Date(), lines);
  }

  leave(): void {
    // Lines stay where they are.
  }

  private say(now: Date, lines: readonly string[]): void {
    const time = `${now.toISOString().slice(11, 19)}Z`;
    this.out.say(...lines.map((line) => `${time} ${line}`));
  }
}
