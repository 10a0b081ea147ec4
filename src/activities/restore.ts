import { posix } from 'node:path';
import { log } from '@temporalio/activity';
import type { Check } from '../backups/check.js';
import { type PartName, partNames } from '../backups/parts.js';
import type { RestorePlan } from '../backups/restore-report.js';
import { formatDuration } from '../backups/duration.js';
import { Failure } from '../errors.js';
import { endedBy } from '../hosts/ended-by.js';
import type { Host } from '../hosts/host.js';
import { leaseState, refuseForeignLease } from '../hosts/lease.js';
import { bringServicesBack } from '../mastodon/services.js';
import { inspectServices } from '../mastodon/inspect.js';
import { offsiteOf, withOffsite } from '../offsite/read.js';
import type { Offsite } from '../offsite/offsite.js';
import {
  mediaOwners,
  readMediaIndexFile,
  type Received,
  receiveMedia,
  receiveParts,
} from '../offsite/receive.js';
import { trustedKeys } from '../offsite/trusted-keys.js';
import type { Finding } from '../offsite/verify.js';
import { present } from '../present.js';
import { proveDatabase } from '../proofs/database.js';
import { loadDump, loadedCheck, loadFinding } from '../proofs/load.js';
import { lastMeasuredDrill } from '../records/drills.js';
import { forgetAtWork, noteAtWork } from '../records/restores.js';
import { withReading } from '../records/readers.js';
import { whoPlacesMedia } from '../restore/added-media.js';
import { createBeside, takeBackLent } from '../restore/beside.js';
import { planRestore } from '../restore/plan.js';
import { settleOpenSwap } from '../restore/settle.js';
import { activity, cancellation, report, tell } from './activity.js';
import type { Ground } from './ground.js';
import { follower } from './offsites.js';
import { fetched, journalOf, type StagedGround, stagedGround, targetOf } from './restore-ground.js';
import { restoreStep, type RestoreStep } from './restore-inputs.js';
import { removeStaging, sweepDeadRestores } from './restore-sweep.js';

/** Findings that a message names; more are counted. */
const namedFindings = 5;

/** A restore, up to the moment where everything lies ready beside the running instance. */
export function restoreActivities(ground: Ground) {
  return {
    /** Redeems the permit. @throws Failure `Refused` without one. */
    admitRestore: activity(restoreStep, async (step) => {
      const { host, ownHost } = await stagedGround(ground, step);
      return { to: host.name, ownHost };
    }),

    /**
     * Finds out what the restore will do; touches nothing and leaves nothing.
     *
     * @throws Failure `Refused`, with the way out; `NotRestorable` for a backup that is not what it should be.
     */
    planRestore: activity(restoreStep, async (step): Promise<RestorePlan & { next: string[] }> => {
      const there = await stagedGround(ground, step);
      const { configuration, config, host, staging } = there;
      const { instance, parts, allow = [] } = step.restore;
      refuseForeignLease(host, instance, await leaseState(host, instance), step.run.token);
      await noted(there, step);
      try {
        const received = await receive(there, step, staging.plan, ['secrets']);
        const warnings = judged(received, step, parts);
        const target = await targetOf(there, step, received);
        const plan = await planRestore({
          ...{ target, config, manifest: received.manifest, parts, allow, staging: staging.folder },
          ...(received.files.secrets === undefined ? {} : { archive: received.files.secrets }),
        });
        const drill = await lastMeasuredDrill(configuration.state, instance);
        const expectedMs = drill?.forecastMs ?? drill?.recoveryTimeMs;
        return {
          ...{ ...plan, warnings: [...warnings, ...plan.warnings] },
          ...(expectedMs === undefined ? {} : { expectedMs }),
        };
      } finally {
        await removeStaging(host, staging);
        await forgetAtWork(configuration.state, instance, step.run.backup);
      }
    }),

    /** Removes what dead restores have left, and settles what they had begun. */
    prepareRestore: activity(restoreStep, async (step) => {
      const there = await stagedGround(ground, step);
      await settleOldLease(there, step);
      await settleOpenSwap(there.host, step.run.instance);
      await sweepDeadRestores(there, step.run);
      await noted(there, step);
    }),

    /**
     * Fetches the parts into a private folder on the target, each hash compared with the manifest.
     *
     * @throws Failure `NotRestorable` when something of them is not what it should be.
     */
    fetchRestore: activity(restoreStep, async (step) => {
      const there = await stagedGround(ground, step);
      const { parts } = step.restore;
      const began = Date.now();
      // The media's index tells whether the database's media are in the backup, also where they stay as they are.
      const wanted = partNames.filter((part) => parts.includes(part) || part === 'media');
      const received = await receive(there, step, there.staging.parts, wanted);
      for (const warning of judged(received, step, parts)) log.warn(warning);
      const { bytes } = received.checked;
      return { bytes, detail: `from ${step.restore.from} in ${formatDuration(Date.now() - began)}` };
    }),

    /** Puts media in place that are missing there; what is there stays as it is. */
    addMedia: activity(restoreStep, async (step) => {
      const there = await stagedGround(ground, step);
      const { host, staging } = there;
      const received = await fetched(there);
      const index = received.files.mediaIndex;
      const target = await targetOf(there, step, received);
      if (index === undefined || target.media === null)
        return { added: 0, present: 0, bytes: 0, findings: [] };
      const { media } = target;
      const owner = await ownerOf(there, target.appUser);
      const owners = await mediaOwners(host, index, owner);
      const { as, warnings } = await whoPlacesMedia(target, { media, index });
      const { findings, ...counts } = await from(there, step, (copy, on) =>
        receiveMedia({
          ...{ copy, host: on, manifest: received.manifest, index, into: media, wanted: 'missing', owners },
          ...{ as, noteAdded: staging.added, tell },
        }),
      );
      return { ...counts, findings: [...warnings, ...told(findings)] };
    }),

    /** Loads the dump into a new database beside the one that is there. */
    loadRestore: activity(restoreStep, async (step) => {
      const there = await stagedGround(ground, step);
      const { config, host } = there;
      const received = await fetched(there);
      const { manifest, files } = received;
      if (files.dump === undefined) throw nothingOf('database', step);
      const target = await targetOf(there, step, received);
      const beside = await createBeside({
        ...{ target, restore: step.run.backup, manifest, dump: files.dump },
        ...(files.roles === undefined ? {} : { roles: files.roles }),
      });
      report({ subject: beside.name });
      const began = Date.now();
      try {
        const loaded = await loadDump({
          ...{ target: beside.load, dump: beside.dump, work: beside.work, manifest, grants: true },
          ...{ jobs: config.database.jobs, follow: follower(host, step.run, 'load') },
          fresh: () => beside.fresh(),
        });
        const detail = `loaded in ${formatDuration(loaded.restoreMs)}, analyzed in ${formatDuration(loaded.analyzeMs)}`;
        return { notes: [...beside.warnings, ...loaded.notes], detail, check: loadedCheck(loaded) };
      } catch (error) {
        const finding = loadFinding(error, Date.now() - began);
        if (finding === undefined) throw error;
        throw new Failure(
          'NotRestorable',
          `the dump of ${step.restore.backup} does not load: ${finding.detail}`,
          {
            ...{ host: host.name, cause: error },
            next: `nothing was touched; take another backup: permafrost list ${config.domain}`,
          },
        );
      }
    }),

    /** Proves that the new database is the instance's, and that the secrets that it is going to have open it. */
    proveRestore: activity(restoreStep, async (step): Promise<{ checks: Check[]; notProven: string[] }> => {
      const there = await stagedGround(ground, step);
      const { host } = there;
      const received = await fetched(there);
      const { manifest, files } = received;
      if (files.dump === undefined) throw nothingOf('database', step);
      const target = await targetOf(there, step, received);
      const beside = await createBeside({ target, restore: step.run.backup, manifest, dump: files.dump });
      const { checks, notProven } = await proveDatabase({
        ...{ host, access: beside.access, superuser: beside.superuser, manifest },
        // What came with the dump must not run as the superuser of the living server.
        ...{ reader: beside.load.access, ...present({ role: beside.load.role }) },
        env: target.env,
        index: files.mediaIndex === undefined ? null : readMediaIndexFile(host, files.mediaIndex),
        tell,
      });
      await takeBackLent(journalOf(there, step));
      return { checks: [...checks], notProven: [...notProven] };
    }),
  };
}

/** Whoever finds this note removes what is left on the host, when nobody is at work any more. */
async function noted({ configuration, spec }: StagedGround, { run, restore }: RestoreStep): Promise<void> {
  const note = { restore: run.backup, from: restore.from, ...(spec === undefined ? {} : { target: spec }) };
  await noteAtWork(configuration.state, run.instance, note);
}

/** Opens the off-site on the target, for this call. */
async function from<T>(
  { configuration, configured, host }: StagedGround,
  { restore }: RestoreStep,
  use: (copy: Offsite, host: Host) => Promise<T>,
): Promise<T> {
  const offsite = offsiteOf(configuration, restore.from);
  const on = endedBy(host, cancellation());
  return withReading(configuration.state, restore.from, restore.backup, () =>
    withOffsite(configuration, configured, offsite, (copy) => use(copy, on), 'restore', on),
  );
}

async function receive(
  there: StagedGround,
  step: RestoreStep,
  into: string,
  parts: readonly PartName[],
): Promise<Received> {
  const { configuration, config, host } = there;
  const trusted = await trustedKeys(configuration);
  await host.run(['mkdir', '-p', '-m', '700', posix.dirname(into)]);
  return from(there, step, (copy, on) =>
    receiveParts({
      ...{ copy, host: on, into, parts, trusted, tell },
      ...{ domain: config.domain, backup: step.restore.backup },
    }),
  );
}

/**
 * What is wrong with what came.
 *
 * @returns what was allowed, or is not about these parts.
 * @throws Failure `NotRestorable`.
 */
function judged(
  { findings, signature, manifest }: Received,
  { restore }: RestoreStep,
  parts: readonly PartName[],
): string[] {
  const { backup, from: offsite, allow = [], instance } = restore;
  const absent = parts.filter((part) => !manifest.parts.some(({ name }) => name === part));
  if (absent.length > 0) {
    throw new Failure('Refused', `${backup} on ${offsite} has no ${absent.join(', ')}`, {
      next: `it has: ${manifest.parts.map(({ name }) => name).join(', ')} (--parts)`,
    });
  }
  const unsigned = signature === 'unsigned' || signature === 'unknown key';
  const isAllowed = ({ part, problem }: Finding) =>
    (part === 'manifest' && unsigned && allow.includes('unsigned') && /\bsigned\b/.test(problem)) ||
    (part !== 'manifest' && !parts.includes(part));
  const wrong = findings.filter((finding) => !isAllowed(finding));
  if (wrong.length > 0) {
    throw new Failure(
      'NotRestorable',
      `${backup} on ${offsite} is not what it should be: ${told(wrong).join('; ')}`,
      {
        next: `nothing was touched; take it from another off-site (--from), or an older one: permafrost list ${instance}`,
      },
    );
  }
  return [
    ...told(findings.filter(isAllowed)),
    ...(signature === 'not judged'
      ? [
          `Who has made ${backup} is not known: this machine trusts no key yet (trustedKeys in the configuration; the recovery sheet has it).`,
        ]
      : []),
  ];
}

function told(findings: readonly Finding[]): string[] {
  const lines = findings
    .slice(0, namedFindings)
    .map(({ part, path, problem }) => `${part}${path === undefined ? '' : ` ${path}`} ${problem}`);
  const more = findings.length - lines.length;
  return more > 0 ? [...lines, `and ${String(more)} more`] : lines;
}

function nothingOf(part: PartName, { restore }: RestoreStep): Failure {
  return new Failure('NotRestorable', `${restore.backup} on ${restore.from} has no ${part}`, {
    next: 'choose other parts with --parts',
  });
}

/** As `prepareRun` does: a lease that another run has left, and that is over. */
async function settleOldLease({ host, config }: StagedGround, { run }: RestoreStep): Promise<void> {
  const lease = await leaseState(host, run.instance);
  if (!lease.held || lease.token === run.token) return;
  refuseForeignLease(host, run.instance, lease, run.token);
  await bringServicesBack(host, await inspectServices(host, config));
}

async function ownerOf({ host }: StagedGround, user: string): Promise<{ uid: number; gid: number }> {
  const { stdout } = await host.run(['sh', '-c', 'id -u -- "$1"; id -g -- "$1"', 'sh', user]);
  const [uid = 0, gid = 0] = stdout.trim().split('\n').map(Number);
  return { uid, gid };
}
