import type { BackupPlan, BackupRequest, FailureReport } from '../../src/backups/report.js';
import {
  activity,
  cancelActivity,
  cancelTimer,
  child,
  type Command,
  complete,
  fail,
  History,
  signal,
  timer,
  upsert,
} from './history.js';

/** A night of sample.example as Temporal would record it, told step by step (see history.ts). */

export const instance = 'sample.example';
export const downSince = Date.UTC(2026, 10, 22, 3, 17, 5);
export const downForMs = 4200;

export function plan(changes: Partial<BackupPlan> = {}): BackupPlan {
  return {
    ...{ instance, host: 'local', quiesce: 'brief' },
    parts: [{ name: 'database' }, { name: 'secrets' }, { name: 'media' }, { name: 'redis' }],
    offsites: [{ name: 'vault', kind: 'restic' }],
    services: ['web', 'sidekiq', 'streaming'],
    ...{ leaseMs: 900_000, budgetMs: 600_000, spoolFreeBytes: 1e9, spoolNeedBytes: 1e6, warnings: [] },
    ...changes,
  };
}

export const twoOffsites = plan({
  offsites: [
    { name: 'vault', kind: 'restic' },
    { name: 'cellar', kind: 'restic' },
  ],
});

export const unreachable: FailureReport = {
  code: 1,
  type: 'OffsiteUnavailable',
  message: 'cellar does not answer',
  next: 'look at cellar',
};

/** A run that has just begun: it looks before it touches. */
export function begun(request: Partial<BackupRequest> = {}): History {
  return new History('backup', `backup/${instance}-20261122T031700Z`, { instance, ...request }).decides(
    upsert,
    upsert,
    activity('preflight'),
  );
}

/** … whose preflight found nothing against it. */
export function looked(planned = plan(), request: Partial<BackupRequest> = {}): History {
  return begun(request).completed('preflight', planned);
}

/** … and which holds the instance's lock. */
export function guarded(planned = plan()): History {
  return looked(planned)
    .decides(child('guard', `guard/${instance}`))
    .childStarted()
    .decides(upsert, activity('prepareRun'));
}

/** … and has armed the lease. */
export function armed(planned = plan()): History {
  return guarded(planned).completed('prepareRun').decides(activity('armLease')).completed('armLease');
}

/** … and has stopped the services: from here on it holds them. */
export function held(planned = plan()): History {
  return armed(planned)
    .decides(activity('stopServices'))
    .completed('stopServices', { stoppedAtMs: downSince })
    .decides(budget, renewal, ...takesMoment);
}

export const budget = timer('budget');
export const renewal = timer('renewal');

/** What happens in the quiesce window of every mode that has one. */
export const takesMoment = [activity('pinMoment'), activity('saveRedis'), activity('copySecrets')];

/** The moment is taken: nothing is left to wait for in the window. */
export function momentTaken(history: History): void {
  history.completed('pinMoment').completed('saveRedis').completed('copySecrets');
}

export const cancelsMoment = (['pinMoment', 'saveRedis', 'copySecrets'] as const).map(cancelActivity);

/** Everything that the window waits for, called off from the outside. */
export const windowCancelled: Command[] = [cancelTimer('budget'), cancelTimer('renewal'), ...cancelsMoment];

/** Between two attempts of a step that is insisted on. */
export const pause = timer('pause');

export function momentCancelled(history: History): void {
  history.activityCancelled('pinMoment').activityCancelled('saveRedis').activityCancelled('copySecrets');
}

/** The order to start, upon whatever went before in the same breath. */
export const starts: Command[] = [activity('startServices')];
export const endsWindow: Command[] = [cancelTimer('renewal'), cancelTimer('budget')];

/** The services are started, proven up, and the lease is let go. */
export function backUp(history: History): void {
  history
    .completed('startServices')
    .decides(activity('proveServicesUp'))
    .completed('proveServicesUp', { healthyAtMs: downSince + downForMs })
    .decides(activity('disarmLease'))
    .completed('disarmLease');
}

export const captures: Command[] = [upsert, activity('keepMoment')];
export const copies = ['dumpDatabase', 'describeDatabase', 'indexMedia', 'copyRedis'] as const;

/** From the kept moment to the end of the capture. */
export function captured(history: History): void {
  history
    .completed('keepMoment', { kind: 'pinned', at: '2026-11-22T03:17:06Z' })
    .decides(...copies.map(activity))
    .completed('describeDatabase')
    .decides(activity('countRows'))
    .completed('countRows')
    .decides(activity('dumpRoles'))
    .completed('dumpRoles', { roles: 'with passwords' })
    .decides(activity('proveSecrets'))
    .completed('proveSecrets', { proven: true, tested: 4, notes: [] })
    .completed('dumpDatabase')
    .completed('indexMedia', { files: 900, newFiles: 3, bytes: 1e6, alreadyMissing: 1, unreadable: 0 })
    .completed('copyRedis')
    .decides(activity('releaseMoment'))
    .completed('releaseMoment');
}

/** The dump finds that the moment is gone: what runs beside it is cancelled, from the inside out. */
export function momentLost(history: History): void {
  history
    .completed('keepMoment')
    .decides(...copies.map(activity))
    .failed('dumpDatabase', 'SnapshotLost')
    .decides(cancelActivity('describeDatabase'))
    .activityCancelled('describeDatabase')
    .decides(cancelActivity('indexMedia'), cancelActivity('copyRedis'))
    .activityCancelled('indexMedia')
    .activityCancelled('copyRedis');
}

/** The services are up again, and the capture is next. */
export function upAgain(planned = plan()): History {
  return held(planned)
    .told(momentTaken)
    .decides(...endsWindow, ...starts)
    .told(backUp);
}

/** Everything is captured, and the first part is being sent. */
export function readyToUpload(): History {
  return upAgain()
    .decides(...captures)
    .told(captured)
    .decides(upsert, activity('uploadPart'));
}

/** The services are up: the rest of a good night. */
export function fromCaptureOn(history: History): void {
  history
    .decides(...captures)
    .told(captured)
    .decides(upsert, activity('uploadPart'))
    .told(delivered)
    .told(finished);
}

/** Four parts go to one off-site, are read back, and sealed. The first order has been given already. */
export function delivered(history: History): void {
  history.told((told) => uploaded(told)).told(readBackAndSealed);
}

export function readBackAndSealed(history: History): void {
  history
    .decides(upsert, activity('verifyCopy'))
    .completed('verifyCopy', { files: 12, bytes: 5000 })
    .decides(upsert, activity('sealCopy'))
    .completed('sealCopy', { bytesAdded: 41, parts: [{ name: 'database', bytes: 10, files: 2 }] });
}

/** So many parts are sent; the first is on its way already. */
export function uploaded(history: History, parts = 4): void {
  for (let part = 1; part <= parts; part += 1) {
    history.completed('uploadPart', { bytesAdded: 10 });
    if (part < parts) history.decides(activity('uploadPart'));
  }
}

/** What follows a seal: the index is kept, the off-site is pruned, the spool swept, the guard let go. */
export function finished(history: History): void {
  history.told(tidied).completed('sweepRun').told(releases).decides(complete);
}

/** … as far as the order to sweep. */
export function tidied(history: History): void {
  history
    .decides(activity('keepIndex'))
    .completed('keepIndex')
    .decides(upsert, activity('pruneOffsite'))
    .told(kept);
}

function kept(history: History): void {
  history
    .completed('pruneOffsite', { removed: 1, kept: 3 })
    .decides(upsert, activity('recordRun'))
    .completed('recordRun')
    .decides(activity('sweepRun'));
}

/** The same with two off-sites, tidied up one after the other, to the end. */
export function tidiedTwo(history: History): void {
  history
    .decides(activity('keepIndex'))
    .completed('keepIndex')
    .decides(upsert, activity('pruneOffsite'))
    .completed('pruneOffsite', { removed: 1, kept: 3 })
    .decides(activity('pruneOffsite'))
    .told(kept)
    .completed('sweepRun')
    .told(releases)
    .decides(complete);
}

export function pruned(history: History): void {
  history.told(kept).completed('sweepRun').told(releases).decides(complete);
}

export const release = signal(`guard/${instance}`, 'release');

/** The guard is told, and the run waits for its end, though not for ever. */
export function signalsGuard(history: History): void {
  history.decides(release).signalDelivered().decides(timer('farewell'));
}

export function releases(history: History): void {
  history.told(signalsGuard).childCompleted();
}

/** A run that has failed or was cancelled: it says so, and ends. Its sweep was ordered already. */
export function ended(history: History, end: Command): void {
  history
    .completed('sweepRun')
    .told(releases)
    .decides(upsert, activity('recordRun'))
    .completed('recordRun')
    .decides(end);
}

/** A run that has failed before it held anything. */
export function endsUntouched(history: History): void {
  history.decides(upsert, activity('recordRun')).completed('recordRun').decides(fail);
}

/** A run whose id is not one of its instance. */
export function foreign(): History {
  return new History('backup', 'backup/other.example-20261122T031700Z', { instance });
}
