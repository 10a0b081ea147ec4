import { posix } from 'node:path';
import { log } from '@temporalio/activity';
import { z } from 'zod';
import { partNames } from '../backups/parts.js';
import type { Host } from '../hosts/host.js';
import { localHost } from '../hosts/local.js';
import { leaseState, refuseForeignLease } from '../hosts/lease.js';
import { passwordFileLine } from '../mastodon/connections.js';
import type { Instance } from '../mastodon/inspect.js';
import { bringServicesBack } from '../mastodon/services.js';
import { handOverKeys, keyFiles, takeKeysBack, takeOthersKeysBack } from '../offsite/keys.js';
import { offsiteOf } from '../offsite/read.js';
import { sweepDumps } from '../offsite/whole-dump.js';
import { requireOffsite } from './preflight.js';
import { activity } from './activity.js';
import type { Ground } from './ground.js';
import { offsiteInput, partInput, runInput, type RunRef } from './inputs.js';
import { forgetJobs, jobsOf } from './jobs.js';
import { holdMoment } from './moment.js';
import { awaitSave } from './redis.js';
import { redisPasswordFile, spoolOf, type Spool, writeFacts } from './spool.js';

/**
 * A save that Redis makes of its own accord is waited for while the services still run: tens of GB are written in this
 * time. One that takes longer costs the backup nothing but a copy that is a little newer than the database.
 */
const patienceBeforeStopMs = 300_000;

/** The beginning and the end of a run on the instance's host. */
export function prepareActivities(ground: Ground) {
  return {
    /** Sweeps what dead runs left, makes the spool, hands keys over, and has a database session wait for its moment. */
    prepareRun: activity(
      z.strictObject({
        run: runInput,
        parts: z.array(partInput).max(partNames.length),
        offsites: z.array(offsiteInput).max(20),
      }),
      async ({ run, parts, offsites }) => {
        const { configuration, host, instance } = await ground.inspect(run.instance, run.backup);
        const keys = await Promise.all(offsites.map((name) => keyFiles(offsiteOf(configuration, name))));
        await sweepReaders([host, localHost({ folder: posix.join(configuration.state, 'host') })]);
        await settleOldLease(host, instance, run);
        const spool = await spoolOf(host, instance, run);
        await sweep(host, spool, instance.appUser, run, 'others');
        await makeSpool(host, spool, run);
        for (const files of keys) await handOverOffsiteKeys(host, spool, files);
        await handOverKeys(host, { user: instance.appUser }, spool.keys.app, passwords(instance, spool));
        await writeFacts(host, spool, 'instance', {
          versions: instance.versions,
          redis: instance.redis.version,
        });
        if (parts.includes('redis')) await awaitSave(host, instance.redis, patienceBeforeStopMs);
        if (parts.includes('database')) await holdMoment(host, instance, run);
      },
    ),

    /**
     * Another look at an off-site that preflight could not reach: when it answers now, it gets its keys and is filled after
     * the others.
     *
     * @throws Failure as preflight found it, when nothing has changed.
     */
    admitOffsite: activity(
      z.strictObject({ run: runInput, offsite: offsiteInput }),
      async ({ run, offsite }) => {
        const found = await ground.inspect(run.instance, run.backup);
        const { configuration, host, instance } = found;
        await requireOffsite(found, offsite);
        const spool = await spoolOf(host, instance, run);
        await handOverOffsiteKeys(host, spool, await keyFiles(offsiteOf(configuration, offsite)));
      },
    ),

    /** Removes everything that the run kept on the host: jobs, spool, keys. Asks neither the database nor Redis. */
    sweepRun: activity(z.strictObject({ run: runInput }), async ({ run }) => {
      const { host, appUser } = await ground.appUser(run.instance);
      await sweep(host, await spoolOf(host, { appUser }, run), appUser, run, 'all');
    }),
  };
}

/** Where off-sites are read, dumps that a killed process had put together do not stay. What cannot be swept waits. */
async function sweepReaders(hosts: readonly Host[]): Promise<void> {
  for (const host of hosts) {
    try {
      await sweepDumps(host, `${(await host.facts()).folder}/scratch`);
    } catch (error) {
      log.warn(`dumps that were left on ${host.name} were not removed`, { error });
    }
  }
}

/** To who sends the small parts, and to who sends the media. */
async function handOverOffsiteKeys(
  host: Host,
  spool: Spool,
  files: ReadonlyMap<string, Buffer>,
): Promise<void> {
  await handOverKeys(host, 'login', spool.keys.login, files);
  if (spool.media.as !== 'login') await handOverKeys(host, spool.media.as, spool.media.keys, files);
}

/** What jobs that run as Mastodon's user read their passwords from, by the file's name. */
function passwords({ database, redis }: Instance, spool: Spool): Map<string, string> {
  const pgpass = passwordFileLine(database);
  return new Map([
    ...(pgpass === null ? [] : [['pgpass', pgpass] as const]),
    ...(redis.local || redis.password === undefined
      ? []
      : [[posix.basename(redisPasswordFile(spool)), `${redis.password}\n`] as const]),
  ]);
}

/**
 * A lease that another run left. This run holds the instance's lock, so in this Temporal nobody else is at work; but
 * the host may be looked after by another Permafrost too, whose lease is only touched when it is over.
 */
async function settleOldLease(host: Host, instance: Instance, run: RunRef): Promise<void> {
  const lease = await leaseState(host, run.instance);
  if (!lease.held || lease.token === run.token) return;
  refuseForeignLease(host, run.instance, lease, run.token);
  await bringServicesBack(host, instance);
}

async function makeSpool(host: Host, spool: Spool, run: RunRef): Promise<void> {
  const folders = ['facts', 'database', 'secrets', 'redis'].map((name) => `${spool.folder}/${name}`);
  await host.run(['mkdir', '-p', '-m', '700', spool.folder, ...folders, spool.cache.login]);
  await host.putFile(`${spool.folder}/run`, run.backup, 0o600);
  const media = ['', '/scan', '/index', '/cache'].map((name) => `${spool.media.folder}${name}`);
  await host.run(
    ['sh', '-c', 'umask 077; mkdir -p -- "$@" && test -O "$1" && chmod 700 -- "$1"', 'sh', ...media],
    {
      as: spool.media.as,
    },
  );
}

/** Ends jobs and removes spool and keys: those of this run as well, or only those of others, which are dead. */
async function sweep(
  host: Host,
  spool: Spool,
  appUser: string,
  run: RunRef,
  whose: 'all' | 'others',
): Promise<void> {
  const ours = jobsOf({ instance: run.instance });
  await forgetJobs(host, (id) => id.startsWith(ours) && (whose === 'all' || !id.startsWith(jobsOf(run))));
  const users = [
    { as: 'login' as const, keys: spool.keys.login },
    { as: { user: appUser }, keys: spool.keys.app },
  ];
  for (const { as, keys } of users) {
    if (whose === 'all') await takeKeysBack(host, as, keys);
    await takeOthersKeysBack(host, as, keys);
  }
  const mine = await host.run(['cat', `${spool.folder}/run`], { okCodes: [0, 1] });
  if (whose === 'all' || mine.stdout !== run.backup) {
    await host.run(['rm', '-rf', '--', spool.folder], { timeoutMs: 600_000 });
    if (spool.media.as !== 'login') {
      // The tools' caches, lent programs and last indexes are for the next night; whatever else is there was of a run.
      const script =
        '[ -d "$1" ] || exit 0; find "$1" -mindepth 1 -maxdepth 1 -type d ! -name cache -exec rm -rf -- {} +';
      await host.run(['sh', '-c', script, 'sh', spool.media.folder], {
        as: spool.media.as,
        timeoutMs: 600_000,
      });
    }
  }
}
