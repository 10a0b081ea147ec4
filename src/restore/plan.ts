import type { Manifest } from '../backups/manifest.js';
import { partNames, type PartName } from '../backups/parts.js';
import type { RestoreAllowance, RestorePlan } from '../backups/restore-report.js';
import type { InstanceConfig } from '../config/configuration.js';
import { parseEnvFile } from '../mastodon/env-file.js';
import { archivedTexts } from '../mastodon/secrets-archive.js';
import { serviceStates } from '../mastodon/services.js';
import { archivedEnvFile, compareArchive } from './archived-files.js';
import { judgeDatabase, judgeSchema } from './plan-database.js';
import { dangers, lostSince } from './plan-losses.js';
import { judgeSpace } from './plan-space.js';
import { requireReplaceable } from './redis-steps.js';
import type { RestoreTarget } from './target.js';
import { type Verdict, verdictOf } from './verdict.js';

export interface ToPlan {
  readonly target: RestoreTarget;
  readonly config: InstanceConfig;
  readonly manifest: Manifest;
  readonly parts: readonly PartName[];
  readonly allow?: readonly RestoreAllowance[];
  /** The backup's secrets on the target (a tar), where they are restored. */
  readonly archive?: string;
  /** Where the parts are going to be fetched to, for its space; default: Permafrost's folder there. */
  readonly staging?: string;
}

/**
 * What a restore will do, found out without touching anything.
 *
 * @returns with `next`: commands to run by hand afterwards, besides those of `afterwards.ts`.
 * @throws Failure `Refused` with the way out, for what cannot end well and was not allowed.
 */
export async function planRestore(given: ToPlan): Promise<RestorePlan & { next: string[] }> {
  const { target, config, manifest, parts, allow = [] } = given;
  const { host } = target;
  const verdict = verdictOf(host, allow, target.warnings);
  const absent = parts.filter((part) => !manifest.parts.some(({ name }) => name === part));
  if (absent.length > 0) {
    verdict.refuse(
      null,
      `backup ${manifest.backup} has no ${absent.join(', ')}`,
      'choose other --parts, or another backup',
    );
  }
  if (parts.includes('database')) {
    await judgeDatabase(target, manifest, verdict);
    judgeSchema(target, manifest, verdict);
    judgeSecrets(target, manifest, parts, verdict);
  }
  if (parts.includes('redis')) await judgeRedis(target, manifest, verdict);
  const secrets = await changesOf(given, verdict);
  const space = await judgeSpace(given, verdict);
  verdict.warnings.push(...(await dangers(host, target, parts)));
  const states = await serviceStates(host, target.services.services);
  return {
    ...{ to: host.name, inPlace: target.inPlace, parts: partsOf(target, manifest, parts) },
    services: states.filter(({ running }) => running).map(({ name }) => name),
    lost: await lostSince(target, manifest, parts),
    ...{ leaseMs: config.quiesce.leaseMs, budgetMs: config.quiesce.budgetMs },
    ...space,
    ...secrets,
    ...redisLeftOut(target, manifest, parts),
    ...{ warnings: [...new Set(verdict.warnings)], next: verdict.next },
  };
}

function partsOf(
  target: RestoreTarget,
  manifest: Manifest,
  parts: readonly PartName[],
): RestorePlan['parts'] {
  const { database, media, host } = target;
  const what: Record<PartName, string> = {
    database:
      database?.exists === true
        ? `loaded beside ${database.name}, proven, then swapped in; the former one is kept for the undo`
        : `loaded into a new database ${database?.name ?? ''}`,
    secrets: 'the env file and the other files are put in place; the former ones are kept for the undo',
    media:
      media === null
        ? `nothing to do: media do not live on ${host.name}`
        : `what is missing in ${media} is added; nothing is overwritten or removed`,
    redis: 'all data of that Redis are replaced; what it holds now is kept for the undo',
  };
  return partNames
    .filter((name) => parts.includes(name))
    .flatMap((name) => {
      const part = manifest.parts.find((one) => one.name === name);
      return part === undefined ? [] : [{ name, bytes: part.bytes, files: part.files, what: what[name] }];
    });
}

/** The database of one backup needs the keys that it was written with. */
function judgeSecrets(
  target: RestoreTarget,
  manifest: Manifest,
  parts: readonly PartName[],
  verdict: Verdict,
): void {
  const proof = manifest.secrets?.proof;
  if (parts.includes('secrets') && proof?.proven === false && proof.tested > 0) {
    const notes = proof.notes.join('; ').slice(0, 500);
    verdict.refuse(
      'unproven-secrets',
      `the secrets of this backup were not proven to open its database (${notes})`,
      'choose a backup whose secrets are proven: permafrost list',
    );
  }
  if (target.env.get('SELF_DESTRUCT')) {
    verdict.refuse(
      'self-destruct',
      'the env file that the instance would have sets SELF_DESTRUCT: Mastodon would tell all other servers to delete its accounts',
      parts.includes('secrets')
        ? 'leave secrets out (--parts database,media) or choose an older backup, from before it was set'
        : `remove SELF_DESTRUCT from ${target.envFile} first`,
    );
  }
}

async function judgeRedis(target: RestoreTarget, manifest: Manifest, verdict: Verdict): Promise<void> {
  const { redis, env, domain } = target;
  if (redis === null) return;
  await requireReplaceable(target, manifest);
  const [backup = 0, here = 0] = [manifest.versions.redis ?? '', redis.version].map((text) =>
    Number.parseInt(text, 10),
  );
  if (backup > here) {
    verdict.refuse(
      null,
      `the backup's Redis data are of version ${String(backup)}, and the Redis of ${domain} is ${redis.version}, which does not read newer ones`,
      'install a newer Redis there, or leave redis out: --parts',
    );
  }
  verdict.warnings.push(
    'Redis is restored: jobs that were waiting at the time of the backup run again (mails and posts may be sent twice), and everything else in that Redis is replaced too.',
  );
  if ((env.get('REDIS_NAMESPACE') ?? '') !== '') {
    verdict.warnings.push(
      'The env file sets REDIS_NAMESPACE, with which Mastodon 4.4 and newer do not start: see mastodon/redis_namespace_migration.',
    );
  }
}

/** In the words of an operator who wonders. */
function redisLeftOut(
  { env }: RestoreTarget,
  manifest: Manifest,
  parts: readonly PartName[],
): { redis?: string } {
  if (parts.includes('redis') || !manifest.parts.some(({ name }) => name === 'redis')) return {};
  const namespace = env.get('REDIS_NAMESPACE') ? '; its keys begin with REDIS_NAMESPACE' : '';
  return {
    redis: `Redis stays as it is: older queues would send mails and posts again, and home feeds can be built anew. What only Redis has (activity counts, trends) is restored with --parts redis${namespace}.`,
  };
}

/** What changes, by name and path, never by value. */
async function changesOf(
  { target, manifest, parts, archive }: ToPlan,
  verdict: Verdict,
): Promise<Pick<RestorePlan, 'changedSecrets' | 'changedFiles'>> {
  if (!parts.includes('secrets') || archive === undefined) return { changedSecrets: [], changedFiles: [] };
  const { host, envFile, livingEnv, env } = target;
  const into = `${(await host.facts()).folder}/scratch/plan-${target.domain}-${manifest.backup}`;
  const { files, warnings } = await compareArchive(target, manifest, archive, into, 'look');
  verdict.warnings.push(...warnings);
  const from = archivedEnvFile(manifest, envFile) ?? envFile;
  const text = (await archivedTexts(host, archive, [from])).get(from) ?? '';
  const backup = parseEnvFile(text);
  const changedSecrets =
    livingEnv === null
      ? []
      : [...new Set([...backup.keys(), ...livingEnv.keys()])].filter(
          // Units may set more than the file does: what is equal in the end does not change.
          (name) => backup.get(name) !== livingEnv.get(name) && env.get(name) !== livingEnv.get(name),
        );
  if (
    changedSecrets.some((name) => name.startsWith('ACTIVE_RECORD_ENCRYPTION_')) &&
    !parts.includes('database')
  ) {
    verdict.warnings.push(
      'The encryption keys change and the database does not: two-factor logins, and from Mastodon 4.7 on all signatures, fail unless the database was written with the keys of the backup.',
    );
  }
  return {
    changedSecrets: changedSecrets.sort(),
    changedFiles: files.filter(({ state }) => state !== 'same').map(({ path }) => path),
  };
}
