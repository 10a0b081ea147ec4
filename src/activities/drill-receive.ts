import { trustedKeys } from '../offsite/trusted-keys.js';
import { receiveParts } from '../offsite/receive.js';
import { partNames } from '../backups/parts.js';
import { proveFiles } from '../proofs/files.js';
import { activity, tell } from './activity.js';
import { needListed } from './drill-reading.js';
import {
  elapsedSince,
  inDrill,
  needReceived,
  onDrillHost,
  type ReceivedBackup,
  type SampledFiles,
  stepInput,
} from './drill-steps.js';
import type { Ground } from './ground.js';

/** Fetching a backup as a stranger would, and what its files prove. */
export function drillReceiveActivities(ground: Ground) {
  return {
    /** Brings everything but the media to the drill host, each file compared with the manifest. */
    receiveBackup: activity(stepInput, (step) =>
      inDrill(ground, step, async (here): Promise<ReceivedBackup> => {
        const startedMs = Date.now();
        const { configuration, host, into } = here;
        const { instance: domain, backup, from } = step;
        const trusted = await trustedKeys(configuration);
        const { checked, files } = await onDrillHost(here, from, (copy) =>
          receiveParts({
            ...{ copy, host, into, domain, backup, parts: partNames, trusted },
            tell: (progress) => {
              tell({ subject: from, ...progress });
            },
          }),
        );
        return { bytes: checked.bytes, ms: elapsedSince(startedMs), dump: files.dump !== undefined };
      }),
    ),

    /** Proves the files: hashes, signature, archive, RDB; reads a sample of the media back. */
    proveReceived: activity(stepInput, (step) =>
      inDrill(ground, step, async (here): Promise<SampledFiles> => {
        const { host, scratch } = here;
        const received = await needReceived(here);
        const { proof, sample } = await onDrillHost(here, step.from, async (copy) => {
          const proven = await proveFiles({ host, received, scratch, copy, tell });
          await needListed(copy, step.backup, proven.proof);
          return proven;
        });
        return { ...proof, media: sample };
      }),
    ),
  };
}
