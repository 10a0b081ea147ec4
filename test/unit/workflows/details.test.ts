import { expect, test } from 'vitest';
import { type BackupProgress, phaseNames } from '../../../src/backups/report.js';
import { detailsOf } from '../../../src/workflows/details.js';

const progress: BackupProgress = {
  backup: '20261121T031700Z',
  instance: 'example.social',
  status: 'failed',
  quiesce: 'brief',
  phases: phaseNames.map((name) => ({ name, state: 'skipped' })),
  services: 'untouched',
  offsites: [],
  warnings: [],
};

test("Temporal's UI says of a failed run what happened and what to do, and how the services are", () => {
  const text = detailsOf(progress, {
    code: 3,
    type: 'Refused',
    message: 'off-site vault:\nno | such repository',
    next: 'permafrost offsite init vault',
  });
  expect(text).toContain('failed**');
  expect(text).toContain('services: **running, not touched**');
  expect(text).toContain('What happened: **off-site vault: no \\| such repository**');
  expect(text).toContain('What to do: permafrost offsite init vault');
  expect(detailsOf({ ...progress, status: 'running' })).not.toContain('What');
});
