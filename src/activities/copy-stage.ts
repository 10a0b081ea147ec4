import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type Manifest, manifestSchema } from '../backups/manifest.js';
import type { Configuration, InstanceConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { localHost } from '../hosts/local.js';
import type { FollowJob, Offsite } from '../offsite/offsite.js';
import { offsiteOf, withOffsite } from '../offsite/read.js';
import { trustedManifest } from '../offsite/stage.js';
import { trustedKeys } from '../offsite/trusted-keys.js';
import { withReading } from '../records/readers.js';
import { type Ground, refuse } from './ground.js';
import { backupInput, domainInput, offsiteInput } from './inputs.js';
import { followJob, forgetJobs, jobId, jobsOf } from './jobs.js';

/** One backup on its way from one off-site to another. */
export const copyInput = z.strictObject({
  instance: domainInput,
  backup: backupInput,
  from: offsiteInput,
  to: offsiteInput,
});
export type CopyStep = z.infer<typeof copyInput>;

/** What every step of a copy works with. */
export interface Copying {
  readonly step: CopyStep;
  readonly configuration: Configuration;
  readonly config: InstanceConfig;
  /** This machine. */
  readonly host: Host;
  readonly target: Offsite;
  /** Media lie there in one pool, called by their content. */
  readonly pooled: boolean;
  /** A private folder for this backup on this machine, with the notes of the steps. */
  readonly folder: string;
  /** For reading the target back. */
  readonly scratch: string;
}

/** What filling the target needs besides. */
export interface Filling extends Copying {
  readonly source: Offsite;
  /** As it lies on the source, judged. */
  readonly manifest: Manifest;
  /** Runs durable jobs, all of which `forget` ends. */
  follow(subject: string): FollowJob;
  /** Ends what an earlier attempt has begun, so that nothing of it is taken for this one's. */
  forget(): Promise<void>;
}

/** The manifest as it lies on the source; `signed`: by one of ours. */
const sourceNote = z.object({ manifest: manifestSchema, signed: z.boolean() });

/** Opens the off-site that is to get the backup, which nobody prunes from it meanwhile. */
export async function withTarget<T>(
  ground: Ground,
  step: CopyStep,
  use: (copy: Copying) => Promise<T>,
): Promise<T> {
  const { configuration, config } = await ground.open(step.instance);
  const offsite = offsiteOf(configuration, step.to);
  return withReading(configuration.state, step.to, step.backup, () =>
    withOffsite(
      configuration,
      config,
      offsite,
      async (target, { host, scratch }) => {
        requireHere(target, host);
        await target.check(); // also that it encrypts, where it should: what is sent next is a database and secrets
        const folder = join(await stageFolder(host, step.instance), `${step.backup}-to-${step.to}`);
        await mkdir(folder, { recursive: true, mode: 0o700 });
        const pooled = offsite.kind !== 'restic';
        return use({ step, configuration, config, host, target, pooled, folder, scratch });
      },
      'copy',
    ),
  );
}

/** Opens the off-site that has it as well, and notes its manifest for the steps that do without. */
export async function withSource<T>(copy: Copying, use: (copy: Filling) => Promise<T>): Promise<T> {
  const { step, configuration, config, scratch } = copy;
  const { instance, backup, from } = step;
  const trusted = await trustedKeys(configuration);
  return withReading(configuration.state, from, backup, () =>
    withOffsite(
      configuration,
      config,
      offsiteOf(configuration, from),
      async (source, { host }) => {
        requireHere(source, host);
        const { manifest, signed } = await trustedManifest(source, backup, { instance, trusted });
        await writeNote(copy, 'source', { manifest, signed });
        return use({
          ...{ ...copy, host, source, manifest },
          follow: (subject) => (name, argv, options, progress) =>
            followJob(host, copyJob(step, `${subject}/${name}`), argv, options, progress),
          forget: async () => {
            await forgetJobs(host, (id) => id.startsWith(copyJobs(step)));
            // What a kind of off-site had made ready to send; begun anew, it asks what has arrived.
            await host.run(['rm', '-rf', '--', `${scratch}-work`], { timeoutMs: 600_000 });
          },
        });
      },
      'copy',
    ),
  );
}

export function sourceOf(copy: Copying): Promise<z.infer<typeof sourceNote>> {
  return needNote(copy, 'source', sourceNote);
}

function copyJobs(step: { instance: string; backup: string }): string {
  return `${jobsOf(step)}copy-`;
}

function copyJob(step: CopyStep, name: string): string {
  return jobId(
    step,
    `copy-${step.to.slice(0, 20)}-${createHash('sha256').update(name).digest('hex').slice(0, 8)}`,
  );
}

/** Where copies of an instance's backups come together. */
export async function stageFolder(host: Host, instance: string): Promise<string> {
  return join((await host.facts()).folder, 'copy', instance);
}

/** Ends and removes everything that copies of an instance's backups have left on this machine. */
export async function sweepStage({ state, offsites }: Configuration, instance: string): Promise<void> {
  const host = localHost({ folder: join(state, 'host') });
  try {
    await forgetJobs(host, (id) => id.startsWith(jobsOf({ instance })) && id.includes('_copy-'));
    const { folder } = await host.facts();
    const scratch = Object.keys(offsites).map((name) => `${folder}/scratch/${instance}-${name}-copy`);
    const left = [await stageFolder(host, instance), ...scratch, ...scratch.map((path) => `${path}-work`)];
    const script = 'for path; do rm -rf -- "$path" "$path"-media-* || exit; done';
    await host.run(['sh', '-c', script, 'sh', ...left], { timeoutMs: 3_000_000 });
  } finally {
    await host.close();
  }
}

/** A folder on the instance's host is seen from there alone. */
export function requireHere({ name }: Offsite, { name: host }: Host): void {
  if (host === 'local') return;
  throw refuse(
    `${name} is a folder on ${host}, which this machine does not see`,
    `name it in the configuration as it is reached from everywhere, such as sftp:${host}:/folder`,
  );
}

/** Remembers what a step has found, for those after it and for its next attempt. */
export async function writeNote({ folder }: Copying, name: string, note: unknown): Promise<void> {
  const path = join(folder, `${name}.json`);
  await writeFile(`${path}.new`, JSON.stringify(note), { mode: 0o600 });
  await rename(`${path}.new`, path);
}

export async function readNote<T>(
  { folder }: Copying,
  name: string,
  schema: z.ZodType<T>,
): Promise<T | undefined> {
  try {
    return schema.parse(JSON.parse(await readFile(join(folder, `${name}.json`), 'utf8')));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

export async function needNote<T>(copy: Copying, name: string, schema: z.ZodType<T>): Promise<T> {
  const note = await readNote(copy, name, schema);
  if (note !== undefined) return note;
  throw new Failure('Unexpected', `${copy.folder} lacks ${name}: a person has emptied it`, {
    next: 'start the copy again',
  });
}
