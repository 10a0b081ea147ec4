import { createInterface } from 'node:readline';
import { PassThrough } from 'node:stream';
import type { BackupReport, PhaseName } from '../../src/backups/report.js';
import { Failure } from '../../src/errors.js';
import type { Permafrost } from './command.js';

/** A night whose report the demo reads, while the lines of its progress are shown. */
export interface WatchedNight {
  /** The workflow's id, as soon as the command tells it. */
  readonly workflowId: Promise<string>;
  /** When the command tells that a phase is running. @throws Failure `Unexpected` when the night ends before. */
  inPhase(phase: PhaseName): Promise<void>;
  readonly ended: Promise<{ exitCode: number; report: Partial<BackupReport> }>;
}

/** Runs `permafrost backup --json`. @param show gets every line of its progress. */
export function watchedNight(permafrost: Permafrost, show: (line: string) => void): WatchedNight {
  const running = permafrost.start(['backup', '--json']);
  const output = new PassThrough();
  running.onOutput('stderr', (text) => void output.write(text));
  const lines = createInterface({ input: output }).on('line', show);
  const ended = running.ended.then(({ exitCode, stdout }) => ({ exitCode, report: reportOf(stdout) }));
  const told = async (pattern: RegExp, what: string): Promise<RegExpExecArray> => {
    const line = new Promise<RegExpExecArray>((resolve) => {
      lines.on('line', (text) => {
        const match = pattern.exec(text);
        if (match !== null) resolve(match);
      });
    });
    const first = await Promise.race([line, ended]);
    if (Array.isArray(first)) return first;
    throw new Failure('Unexpected', `the night ended before it told ${what}`, {
      next: 'Run the demo again; if that does not help, please report this message.',
    });
  };
  const workflowId = told(/started as (\S+)/, 'its workflow id').then(([, id]) => id ?? '');
  workflowId.catch(() => undefined);
  return {
    workflowId,
    inPhase: async (phase) => void (await told(new RegExp(`${phase} running`), `of its ${phase}`)),
    ended,
  };
}

function reportOf(stdout: string): Partial<BackupReport> {
  try {
    return JSON.parse(stdout) as Partial<BackupReport>;
  } catch {
    return {};
  }
}
