import { type ActivityOptions, ActivityCancellationType } from '@temporalio/workflow';

/**
 * Every timeout and retry, with its reason. Activities heartbeat every 2 s by themselves (activities/activity.ts), so a
 * heartbeat timeout says how long the death of a worker goes unnoticed. Failures that another attempt cannot mend are
 * marked so where they arise (errors.ts).
 */

/** What was cancelled must have ended before the next step: a stop must not land after a start. */
const cancellationType = ActivityCancellationType.WAIT_CANCELLATION_COMPLETED;

/** Looks without touching. Three attempts ride out a lost connection; then a person should hear of it. */
export const look: ActivityOptions = {
  startToCloseTimeout: '5 minutes', // an off-site behind a slow line answers within one
  heartbeatTimeout: '30 seconds',
  retry: { initialInterval: '2 seconds', maximumAttempts: 3 },
  cancellationType,
};

/** Makes ready on the host: sweeping a large spool of a dead run may take minutes. */
export const prepare: ActivityOptions = {
  startToCloseTimeout: '30 minutes',
  heartbeatTimeout: '30 seconds',
  retry: { initialInterval: '2 seconds', maximumAttempts: 5 },
  cancellationType,
};

/**
 * Works while the services stand still: a dead worker is noticed within 10 s, and after three attempts calling the
 * services up is worth more than the backup. A stop may take 60 s on the host and wait as long for the lease's lock.
 */
export const standstill: ActivityOptions = {
  startToCloseTimeout: '4 minutes',
  heartbeatTimeout: '10 seconds',
  retry: { initialInterval: '500 milliseconds', maximumAttempts: 3 },
  cancellationType,
};

/** Calls the services up again: for ever, quickly at first, then every minute. No schedule-to-close, on purpose. */
export const restart: ActivityOptions = {
  startToCloseTimeout: '8 minutes', // systemd's own patience with three slow units, and a lost connection
  heartbeatTimeout: '10 seconds',
  retry: { initialInterval: '200 milliseconds', backoffCoefficient: 1.5, maximumInterval: '1 minute' },
  cancellationType,
};

/**
 * Calls the services up on what was just put in place: half a dozen attempts, each of which waits a minute for Puma to
 * boot. What they do not come up on by then is taken back, and they are insisted on with what was there before.
 */
export const tryRestart: ActivityOptions = {
  ...restart,
  retry: { initialInterval: '1 second', backoffCoefficient: 1.5, maximumAttempts: 5 },
};

/**
 * The swap itself: one durable job of seconds, which goes on without a worker. A dead one is noticed within 10 s, and the
 * next attempt finds the job where it is. Not given up lightly: what is half done is taken back by the step after it.
 */
export const swap: ActivityOptions = {
  startToCloseTimeout: '30 minutes', // a Redis of tens of GB is loaded in it
  heartbeatTimeout: '10 seconds',
  retry: { initialInterval: '500 milliseconds', maximumAttempts: 5 },
  cancellationType,
};

/**
 * Long work by jobs on the host, which outlive the worker: another attempt finds the job where it is. A dump of the
 * largest known instances takes hours; ten attempts, up to 2 min apart, ride out a quarter of an hour without network.
 */
export const capture: ActivityOptions = {
  startToCloseTimeout: '24 hours',
  heartbeatTimeout: '30 seconds',
  retry: { initialInterval: '2 seconds', maximumInterval: '2 minutes', maximumAttempts: 10 },
  cancellationType,
};

/**
 * Loads a database and proves it: hours for the largest, by jobs that outlive the worker and looks that are safe to take
 * again, so a late heartbeat costs nothing, and a dead worker may be noticed within 15 s. What it finds is no error.
 */
export const load: ActivityOptions = { ...capture, heartbeatTimeout: '15 seconds' };

/** As `capture`, over lines that may be down for an hour: a first upload of terabytes takes days. */
export const transfer: ActivityOptions = {
  startToCloseTimeout: '7 days',
  heartbeatTimeout: '30 seconds',
  retry: { initialInterval: '5 seconds', maximumInterval: '10 minutes', maximumAttempts: 10 },
  cancellationType,
};

/** Tidies up after itself. What fails is logged and left: the next run sweeps it. */
export const tidy: ActivityOptions = {
  startToCloseTimeout: '1 hour',
  heartbeatTimeout: '30 seconds',
  retry: { initialInterval: '2 seconds', maximumAttempts: 5 },
  cancellationType,
};

/**
 * Boots what was restored. Its own patience is the configuration's (`drill.application`); an hour holds the longest of
 * that. A second attempt starts anew, so three are enough to ride out a worker's death.
 */
export const boot: ActivityOptions = {
  startToCloseTimeout: '1 hour',
  heartbeatTimeout: '30 seconds',
  retry: { initialInterval: '2 seconds', maximumAttempts: 3 },
  cancellationType,
};

/** Watches another run for as long as that takes. */
export const watch: ActivityOptions = {
  startToCloseTimeout: '30 days',
  heartbeatTimeout: '20 seconds',
  retry: { initialInterval: '1 second', maximumInterval: '30 seconds' },
  cancellationType: ActivityCancellationType.TRY_CANCEL, // a look that is no longer needed
};

/** Between attempts of a restart that failed in a way that another attempt does not mend by itself (a broken configuration). */
export const insistEvery = '30 seconds';

/** A lease is renewed three times in its length, so that two renewals may fail. */
export const renewalsPerLease = 3;

/** Until a renewal that failed is tried again: the shortest lease, two minutes, has a handful of these in a third. */
export const renewAgainAfterMs = 5_000;

/** After this the guard brings services back that are still held, whatever the run says. */
export const guardPatience = '24 hours';

/** How long a run waits for its guard to confirm the release; a guard that cannot reach the host goes on by itself. */
export const guardFarewell = '30 seconds';
