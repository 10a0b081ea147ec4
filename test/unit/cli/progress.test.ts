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
    expect(text).toContain('copying media  1.2 GB of 3.6 GB  33 %  120 MB/s  20 s left');
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

  test('a step without numbers shows that it is alive, in words that are not those of the code', () => {
    const view = new ProgressView('Backup');
    view.observe(snapshot({ step: 'sealCopy' }, { now: new Date(now.getTime() - 75_000) }));
    const at = snapshot({ step: 'sealCopy' });
    view.observe(at);
    expect(view.lines(at, plain).join('\n')).toContain('writing the manifest  for 1 min 15 s');
  });

  test('a step that stands still says so, instead of a speed that it no longer has', () => {
    const view = new ProgressView('Backup');
    const sending = { step: 'uploadPart', subject: 'media to vault', totalBytes: 1000 };
    for (const [ago, bytes] of [
      [50_000, 0],
      [40_000, 500],
      [0, 500],
    ] as const)
      view.observe(snapshot({ ...sending, bytes }, { now: new Date(now.getTime() - ago) }));
    const text = view.lines(snapshot({ ...sending, bytes: 500 }), plain).join('\n');
    expect(text).toContain('sending media to vault  500 B of 1.0 kB  50 %  no news for 40 s');
  });

  test('steps stand in columns; a narrow terminal keeps the share and the time', () => {
    const view = new ProgressView('Backup');
    const steps = (elapsed: number) =>
      ['vault', 'a-cloud-far-away'].map((name, index) => ({
        id: name,
        progress: {
          step: 'uploadPart',
          subject: `media to ${name}`,
          bytes: elapsed * 1e6 * (index + 1),
          totalBytes: 500e6,
        },
      }));
    view.observe({
      ...snapshot({ step: '' }),
      now: new Date(now.getTime() - 10_000),
      steps: steps(0),
    });
    const at = { ...snapshot({ step: '' }), steps: steps(10) };
    view.observe(at);
    const wide = view.lines(at, plain, 100).filter((line) => line.includes('sending'));
    expect(wide).toEqual([
      '    sending media to vault             10.0 MB of 500 MB  2 %  1.0 MB/s  8 min 10 s left',
      '    sending media to a-cloud-far-away  20.0 MB of 500 MB  4 %  2.0 MB/s  4 min left',
    ]);
    const narrow = view.lines(at, plain, 60).filter((line) => line.includes('sending'));
    expect(narrow[0]).toBe('    sending media to vault             2 %  8 min 10 s left');
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
