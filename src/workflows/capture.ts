import { proxyActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import type { PartName } from '../backups/parts.js';
import { databaseDumped, tellCapture } from './database.js';
import { isOfType } from './failures.js';
import * as policies from './policies.js';
import type { RunState } from './run-state.js';
import { together } from './together.js';

const standstill = proxyActivities<Activities>(policies.standstill);
const capturing = proxyActivities<Activities>(policies.capture);

/** Times that a lost moment of the database is taken anew: a server that is restarted again and again is not backed up. */
const moments = 3;

/** All that has to happen while the services stand still: pin the database, have Redis fork, copy the secrets. */
export async function takeMoment({ run }: RunState, parts: readonly PartName[]): Promise<void> {
  await together([
    ...(parts.includes('database') ? [() => standstill.pinMoment({ run })] : []),
    ...(parts.includes('redis') ? [() => standstill.saveRedis({ run })] : []),
    ...(parts.includes('secrets') ? [() => standstill.copySecrets({ run })] : []),
  ]);
}

/** Copies everything of that moment into the spool, hashed: the services run meanwhile. */
export async function captureParts(state: RunState, parts: readonly PartName[]): Promise<void> {
  const { run } = state;
  const withDatabase = parts.includes('database');
  for (let attempt = 1; ; attempt += 1) {
    try {
      if (withDatabase) await capturing.keepMoment({ run });
      await together([
        ...(withDatabase ? [() => captureDatabase(state, parts)] : []),
        ...(parts.includes('media') ? [() => captureMedia(state)] : []),
        ...(parts.includes('redis') ? [() => capturing.copyRedis({ run })] : []),
      ]);
      break;
    } catch (error) {
      if (!isOfType(error, 'SnapshotLost') || attempt === moments) throw error;
      state.warnings.push('The held moment of the database was lost; it is taken again.');
    }
  }
  if (withDatabase) await capturing.releaseMoment({ run });
}

async function captureDatabase(state: RunState, parts: readonly PartName[]): Promise<void> {
  const { run, plan, warnings } = state;
  await together([
    async () => {
      const dumped = await capturing.dumpDatabase({ run });
      if (state.database !== undefined) databaseDumped(state, state.database, dumped.kind);
    },
    async () => {
      await capturing.describeDatabase({ run });
      await capturing.countRows({ run });
      const { roles } = await capturing.dumpRoles({ run });
      if (roles !== 'with passwords') {
        warnings.push(
          "The roles' passwords could not be read (that takes PostgreSQL's superuser): a restore sets them anew.",
        );
      }
      if (!parts.includes('secrets')) return;
      const proof = await capturing.proveSecrets({
        run,
        ...(plan?.allow === undefined ? {} : { allow: plan.allow }),
      });
      warnings.push(...proof.notes.map((note) => `Secrets: ${note}.`));
    },
  ]);
}

async function captureMedia(state: RunState): Promise<void> {
  const media = await capturing.indexMedia({ run: state.run });
  if (media.alreadyMissing > 0) {
    state.warnings.push(
      `${String(media.alreadyMissing)} media files that the database names were missing at the source already.`,
    );
  }
  if (media.unreadable > 0) {
    state.warnings.push(
      `${String(media.unreadable)} media files or folders could not be read and are not in the backup.`,
    );
  }
  if (media.previousDamaged) {
    state.warnings.push(
      'The index of the last media backup was damaged: every media file was read and hashed again.',
    );
  }
  state.mediaText = `${String(media.files)} media files, ${String(media.newFiles)} of them new`;
  tellCapture(state);
}
