import { describe, expect, test } from 'vitest';
import { type BackupProgress, phaseNames, type StepProgress } from '../../../src/backups/report.js';
import { plain } from '../../../src/terminal/paint.js';
import { changes, ProgressView, type Snapshot } from '../../../src/terminal/progress.js';

const startedAt = new Date('2026-11-21T03:17:00Z');
const now = new Date('2026-11-21T03:20:12Z');

function progress(more: Partial<BackupProgress> = {}): BackupProgress {
  return {
    backup: '20261121T031700Z',
    instance: 'example.social',
    status: 'running',
    quiesce: 'brief',
    phases: phaseNames.map((name) => ({ name, state: 'waiting' })),
    services: 'up',
    offsites: [
      { name: 'vault', state: 'uploading' },
      { name: 'cloud', state: 'waiting' },
    ],
    warnings: [],
    ...more,
  };
}

function snapshot(step: StepProgress, more: Partial<Snapshot> = {}): Snapshot {
  return { now, progress: progress(), steps: [{ id: '7', progress: step }], startedAt, notes: [], ...more };
}

describe('the live view', () => {
  test('shows phases, how far a step is, how fast, services and off-sites', () => {
    const view = new ProgressView('Backup of example.social');
    view.observe(
      snapshot({ step: 'copying', subject: 'media', bytes: 0 }, { now: new Date(now.getTime() - 10_000) }),
    );
    const at = snapshot({ step: 'copying', subject: 'media', bytes: 1.2e9, totalBytes: 3.6e9 });
    view.observe(at);
    const text = view.lines(at, plain).join('\n');
    expect(text).toContain('Backup of example.social 20261121T031700Z');
    expect(text).toContain('3 min 12 s');
    expect(text).toContain('copying media: 1.2 GB of 3.6 GB, 33 %, 120 MB/s, 20 s left');
    expect(text).toContain('services   up');
    expect(text).toContain('off-sites  vault uploading, cloud waiting');
    for (const phase of phaseNames) expect(text).toMatch(new RegExp(`^ {2}${phase} +waiting`, 'm'));
  });

  test('never says 100 % of what still runs', () => {
    const view = new ProgressView('Backup');
    const at = snapshot({ step: 'reading back', subject: 'vault', bytes: 500, totalBytes: 500 });
    view.observe(at);
    expect(view.lines(at, plain).join('\n')).toContain('99 %');
  });

  test('no line is wider than the terminal, whatever a host says', () => {
    const view = new ProgressView('Backup of a-very-long-name.of-an.instance.example.social.example.org');
    const at = snapshot(
      { step: 'x'.repeat(200), bytes: 1 },
      { progress: progress({ warnings: ['w'.repeat(200)] }), notes: ['n'.repeat(200)] },
    );
    expect(Math.max(...view.lines(at, plain, 80).map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  test('stopped services stand out', () => {
    const at = snapshot(
      { step: 'saving', subject: 'redis' },
      { progress: progress({ services: 'stopped' }) },
    );
    expect(new ProgressView('Backup').lines(at, plain).join('\n')).toContain('services   STOPPED');
  });
});

describe('lines for a pipe', () => {
  const done = { startedAt: '2026-11-21T03:17:00Z', finishedAt: '2026-11-21T03:17:04Z' };

  test('one for each change, none for what stays', () => {
    const before = progress();
    const after = progress({
      phases: before.phases.map((phase) =>
        phase.name === 'preflight'
          ? { ...phase, ...done, state: 'done' }
          : phase.name === 'quiesce'
            ? { ...phase, state: 'running' }
            : phase.name === 'prune'
              ? { ...phase, state: 'skipped' }
              : phase,
      ),
      services: 'stopping',
      offsites: [
        { name: 'vault', state: 'failed', error: 'the disk is full' },
        { name: 'cloud', state: 'waiting' },
      ],
    });
    expect(changes(before, after, now)).toEqual([
      'preflight done after 4.0 s',
      'quiesce running',
      'services being stopped',
      'off-site vault failed: the disk is full',
    ]);
    expect(changes(after, after, now)).toEqual([]);
  });

  test('the line of every minute says what runs and how the services are', () => {
    const view = new ProgressView('Backup');
    const at = snapshot(
      { step: 'dumping', subject: 'database', bytes: 2_000_000 },
      {
        progress: progress({
          phases: [{ name: 'capture', state: 'running', startedAt: '2026-11-21T03:18:12Z' }],
        }),
      },
    );
    expect(view.line(at)).toBe('capture running for 2 min; dumping database: 2.0 MB; services up');
  });
});
