import { z } from 'zod';
import type { BackupId } from '../backups/id.js';
import { type Finding, type VerifiedCopy, verifyDepths } from '../backups/verify-report.js';
import { exitCodeOf, Failure } from '../errors.js';
import { chooseBackup, offsiteOf, withOffsite } from '../offsite/read.js';
import { trustedKeys } from '../offsite/trusted-keys.js';
import { verifyBackup } from '../offsite/verify-backup.js';
import { stateFolder } from '../records/owner.js';
import { withReading } from '../records/readers.js';
import { activity, report, tell } from './activity.js';
import type { Ground } from './ground.js';
import { backupInput, backupWordInput, domainInput, offsiteInput } from './inputs.js';

/** Findings that a result names; more are counted. Temporal is no place for lists of files. */
const namedFindings = 100;

const findInput = z.strictObject({
  instance: domainInput,
  backup: backupWordInput,
  from: offsiteInput.optional(),
});

const verifyInput = z.strictObject({
  instance: domainInput,
  backup: backupInput,
  offsite: offsiteInput,
  depth: z.enum(verifyDepths),
  turn: z.number().int().nonnegative(),
});

export interface FoundCopies {
  backup: BackupId;
  /** Off-sites where it is sealed. */
  offsites: string[];
  /** Off-sites that do not have it. */
  notOn: string[];
  /** Off-sites that could not be asked. */
  unread: { name: string; error: NonNullable<VerifiedCopy['error']> }[];
}

/** Reading a sealed backup back by hand. */
export function verifyStoredActivities(ground: Ground) {
  return {
    /** Which backup is meant, and on which off-sites it is sealed. @throws Failure `NotFound` when on none. */
    findStored: activity(findInput, async ({ instance, backup: wanted, from }): Promise<FoundCopies> => {
      const { configuration, config } = await ground.open(instance);
      const names = from === undefined ? config.offsites : [offsiteOf(configuration, from).name];
      const found = new Map<string, BackupId[]>();
      const failures = new Map<string, Failure>();
      await Promise.all(
        names.map(async (name) => {
          try {
            const { sealed } = await withOffsite(
              configuration,
              config,
              offsiteOf(configuration, name),
              (place) => place.list(),
              'verify',
            );
            found.set(
              name,
              sealed.map((stored) => stored.backup),
            );
          } catch (error) {
            if (!(error instanceof Failure)) throw error;
            failures.set(name, error);
          }
        }),
      );
      const [first] = failures.values();
      if (found.size === 0 && first !== undefined) throw first;
      const all = [...found.values()].flat();
      const backup = chooseBackup(all, wanted, { domain: instance, unread: [...failures.keys()] });
      return {
        backup,
        offsites: names.filter((name) => found.get(name)?.includes(backup)),
        notOn: names.filter((name) => found.get(name)?.includes(backup) === false),
        unread: [...failures].map(([name, failure]) => ({ name, error: reportOf(failure) })),
      };
    }),

    /** Reads one copy back by the machine that will need the bytes, and compares it with its own manifest. */
    verifyStored: activity(
      verifyInput,
      async ({ instance, backup, offsite, depth, turn }): Promise<VerifiedCopy> => {
        const { configuration, config } = await ground.open(instance);
        const { state } = configuration;
        const [trusted, work] = [await trustedKeys(configuration), await stateFolder(state, 'scratch')];
        report({ subject: offsite });
        const verified = await withReading(state, offsite, backup, () =>
          withOffsite(
            configuration,
            config,
            offsiteOf(configuration, offsite),
            (copy, reader) =>
              verifyBackup({
                ...{ copy, reader, domain: instance, backup, depth, trusted, turn, work },
                share: config.verify.media,
                tell: (progress) => {
                  tell({ subject: offsite, ...progress });
                },
              }),
            'verify',
          ),
        );
        const findings = verified.findings.slice(0, namedFindings).map(short);
        return { ...verified, findings, moreFindings: verified.findings.length - findings.length };
      },
    ),
  };
}

/** Temporal takes two megabytes at once; a path on an off-site may be anything. */
function short(finding: Finding): Finding {
  const { path, problem } = finding;
  return {
    ...finding,
    ...(path === undefined ? {} : { path: path.slice(0, 500) }),
    problem: problem.slice(0, 500),
  };
}

function reportOf({ type, message, next = '' }: Failure): NonNullable<VerifiedCopy['error']> {
  return { code: exitCodeOf(type), type, message: message.slice(0, 1000), next };
}
