import {
  ApplicationFailure,
  CancellationScope,
  defineQuery,
  isCancellation,
  setHandler,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import {
  phaseNames,
  type BackupProgress,
  type BackupReport,
  type BackupRequest,
} from '../../src/backups/report.js';

/**
 * A backup that backs nothing up: it ends in the way that its instance's name asks for, so that the command can be seen
 * with ends that a real backup will not come to on demand (services that stay down, an off-site that fails).
 */
export async function backup(request: BackupRequest): Promise<BackupReport> {
  const progress: BackupProgress = {
    backup: '20261121T031700Z',
    instance: request.instance,
    status: 'running',
    quiesce: request.quiesce ?? 'brief',
    phases: phaseNames.map((name) => ({ name, state: 'waiting' })),
    services: 'untouched',
    offsites: [{ name: 'vault', state: 'waiting' }],
    warnings: [],
  };
  setHandler(defineQuery<BackupProgress>('progress'), () => progress);
  const way = request.instance.split('.')[0];
  if (way === 'busy') throw failure('Busy', 'the instance is held by another run');
  if (way === 'refused') throw failure('Refused', 'restic is missing');
  if (request.dryRun === true) return planned(request);
  try {
    for (const phase of progress.phases) {
      phase.state = 'running';
      if (phase.name === 'quiesce') progress.services = 'stopped';
      if (way === 'down' && phase.name === 'quiesce') progress.services = 'starting';
      // Temporal's timers take a second; three of them are enough to be looked at.
      if (phase.name === 'upload') break;
      await sleep(
        way === 'slow' || (way === 'down' && phase.name === 'quiesce') ? '10 minutes' : '100 milliseconds',
      );
      if (phase.name === 'quiesce') progress.services = 'up';
      phase.state = 'done';
    }
  } catch (error) {
    if (!isCancellation(error)) throw error;
    await CancellationScope.nonCancellable(() => sleep('100 milliseconds'));
    progress.services = 'up';
    throw error;
  }
  for (const phase of progress.phases) phase.state = 'done';
  return report(request, way === 'partial' ? 'partial' : 'sealed', progress);
}

function failure(type: string, message: string): ApplicationFailure {
  return ApplicationFailure.create({
    type,
    message,
    nonRetryable: true,
    details: [{ next: 'do this', host: 'local' }],
  });
}

function report(
  request: BackupRequest,
  status: BackupReport['status'],
  progress: BackupProgress,
): BackupReport {
  const { workflowId, runId, startTime } = workflowInfo();
  const cellar = { code: 1, type: 'OffsiteUnavailable', message: 'the disk is full', next: 'make room' };
  return {
    backup: progress.backup,
    instance: request.instance,
    status,
    workflowId,
    runId,
    startedAt: startTime.toISOString(),
    finishedAt: new Date().toISOString(),
    quiesce: progress.quiesce,
    downtimeMs: 2_100,
    services: progress.services,
    parts: [
      { name: 'database', bytes: 1_200_000_000, files: 1 },
      { name: 'media', bytes: 3_400_000_000, files: 12_345 },
    ],
    offsites: [
      {
        name: 'vault',
        sealed: true,
        verified: true,
        bytesAdded: 120_000_000,
        checked: { files: 900, bytes: 4.6e9 },
      },
      ...(status === 'partial'
        ? [{ name: 'cellar', sealed: false, verified: false, bytesAdded: 0, error: cellar }]
        : []),
    ],
    phases: progress.phases,
    warnings: [],
  };
}

function planned(request: BackupRequest): BackupReport {
  const progress: BackupProgress = {
    backup: '20261121T031700Z',
    instance: request.instance,
    status: 'planned',
    quiesce: 'brief',
    phases: [],
    services: 'untouched',
    offsites: [],
    warnings: [],
  };
  return {
    ...report(request, 'planned', progress),
    plan: {
      instance: request.instance,
      host: 'local',
      quiesce: 'brief',
      parts: [{ name: 'database', sourceBytes: 5_000_000 }],
      offsites: [{ name: 'vault', kind: 'restic' }],
      services: ['mastodon-web'],
      leaseMs: 900_000,
      budgetMs: 600_000,
      spoolFreeBytes: 9e9,
      spoolNeedBytes: 5e6,
      warnings: [],
    },
  };
}
