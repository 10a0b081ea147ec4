import { z } from 'zod';
import type { PartName } from '../backups/parts.js';
import { restoreChoices, type RestoreRequest, type UndoRequest } from '../backups/restore-report.js';
import type { InstanceConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import type { HostSpec } from '../hosts/open.js';
import { inspectServices } from '../mastodon/inspect.js';
import type { ServiceFacts } from '../mastodon/services.js';
import { type Received, receivedAt } from '../offsite/receive.js';
import { offsiteOf } from '../offsite/read.js';
import { present } from '../present.js';
import { archivedEnvironment } from '../proofs/environment.js';
import { type RememberedRestore, rememberedRestores } from '../records/restores.js';
import type { JournalRef } from '../restore/journal.js';
import { findTarget, type RestoreTarget } from '../restore/target.js';
import { restoreWorkflowId, undoWorkflowId } from '../workflows/names.js';
import { type Ground, type InstanceGround, refuse } from './ground.js';
import { admitByPermit } from './permit.js';
import type { RestoreStep, ServicesStep, UndoStep } from './restore-inputs.js';

/** Where a restore goes: the instance's own host, or the one of its permit. */
export interface RestoreGround extends InstanceGround {
  /** The instance as it is configured; `config` has the host that the restore goes to. */
  readonly configured: InstanceConfig;
  /** The host is the instance's own, which other runs look after as well. */
  readonly ownHost: boolean;
  /** What the permit said. */
  readonly spec: HostSpec | undefined;
}

/** A private folder of a restore on the target (0700): swept at its end, by the schedule of `expire`, and by the next. */
export interface Staging {
  /** Of all restores of the instance. */
  readonly all: string;
  readonly folder: string;
  /** The secrets alone, for the plan: removed with it. */
  readonly plan: string;
  /** The parts as they came from the off-site. */
  readonly parts: string;
  /** Paths of media that the restore has added, each ended by a NUL. */
  readonly added: string;
}

/** @param restore its id. */
export async function stagingOf(host: Host, domain: string, restore: string): Promise<Staging> {
  const all = `${(await host.facts()).folder}/restore/${domain}`;
  const folder = `${all}/${restore}`;
  return {
    ...{ all, folder },
    ...{ plan: `${folder}/plan`, parts: `${folder}/parts` },
    added: `${folder}/added-media`,
  };
}

/** A host as a permit names it. */
const hostSpecInput: z.ZodType<HostSpec> = z.union([
  z
    .strictObject({ kind: z.literal('local'), folder: z.string().optional() })
    .transform((spec) => present(spec)),
  z
    .strictObject({
      ...{
        kind: z.literal('ssh'),
        user: z.string(),
        address: z.string(),
        port: z.number(),
        sudo: z.boolean(),
      },
      ...{ identityFile: z.string().optional(), passphraseFile: z.string().optional() },
      ...{ knownHosts: z.string().optional(), folder: z.string().optional() },
    })
    .transform((spec) => present(spec)),
]);

/**
 * Who asks is whoever runs Permafrost, and for no more than was permitted.
 *
 * @throws Failure `Refused` without a permit; `ConfigInvalid` for names that the configuration does not have.
 */
export async function restoreGround(ground: Ground, restore: RestoreRequest): Promise<RestoreGround> {
  const { instance, from, permit } = restore;
  const { configuration, config } = await ground.open(instance);
  offsiteOf(configuration, from);
  if (!config.offsites.includes(from))
    throw refuse(`'${from}' is not an off-site of ${instance}`, `it has: ${config.offsites.join(', ')}`);
  const target = await admitByPermit(ground, {
    ...{ what: 'restore', instance, choices: restoreChoices(restore), permit },
    workflowId: restoreWorkflowId(instance),
  });
  return onHost(ground, instance, target);
}

export interface StagedGround extends RestoreGround {
  readonly staging: Staging;
}

/** As `restoreGround`, for a step of it. @throws Failure `Refused` for a run of another instance. */
export async function stagedGround(ground: Ground, { run, restore }: RestoreStep): Promise<StagedGround> {
  if (run.instance !== restore.instance)
    throw refuse('the permit was given for something else', 'permafrost restore');
  const there = await restoreGround(ground, restore);
  return { ...there, staging: await stagingOf(there.host, run.instance, run.backup) };
}

/**
 * Where a restore went that is to be taken back: this machine remembers it; one that it does not know is looked for on the
 * instance's own host, which has all that an undo needs.
 */
export async function undoGround(
  ground: Ground,
  undo: UndoRequest,
): Promise<RestoreGround & { remembered: RememberedRestore | undefined }> {
  const { instance, restore, permit } = undo;
  const { configuration } = await ground.open(instance);
  await admitByPermit(ground, {
    ...{ what: 'undo', instance, choices: [restore], permit },
    workflowId: undoWorkflowId(instance),
  });
  const remembered = (await rememberedRestores(configuration.state, instance)).find(
    (one) => one.restore === restore,
  );
  return { ...(await onHost(ground, instance, remembered?.target)), remembered };
}

/** Where a remembered restore is, without asking for a permit: to look, and to drop what has had its time. */
export async function onHost(ground: Ground, instance: string, target: unknown): Promise<RestoreGround> {
  const { configuration, config, host } = await ground.open(instance);
  if (target === undefined || target === null) {
    return { configuration, config, configured: config, host, ownHost: true, spec: undefined };
  }
  const parsed = hostSpecInput.safeParse(target);
  if (!parsed.success)
    throw refuse('the permit names a host that is none', 'permafrost restore --to USER@HOST');
  const there = ground.hostOf(parsed.data);
  const ownHost = there.name === host.name;
  if (ownHost) return { configuration, config, configured: config, host, ownHost, spec: undefined };
  return {
    ...{ configuration, config: { ...config, host: parsed.data }, configured: config, host: there },
    ...{ ownHost, spec: parsed.data },
  };
}

/** The services that a run stops and starts: those of the instance's own host, or where its restore goes. */
export async function servicesGround(
  ground: Ground,
  step: ServicesStep,
): Promise<InstanceGround & { services: ServiceFacts }> {
  const { run } = step;
  if (step.restore === undefined && step.undo === undefined) return ground.services(run.instance);
  const { configuration, config, host } = await placeOf(ground, step);
  return { configuration, config, host, services: await onceInRun(run.backup, host, config) };
}

const found: { run: string; host: Host; services: Promise<ServiceFacts> }[] = [];

/** Looked for once in a run: nothing is looked up while services stand still. */
function onceInRun(run: string, host: Host, config: InstanceConfig): Promise<ServiceFacts> {
  const known = found.find((one) => one.run === run && one.host === host);
  if (known !== undefined) return known.services;
  const services = inspectServices(host, config);
  found.splice(0, found.length, { run, host, services });
  services.catch(() => found.splice(0));
  return services;
}

/** As `servicesGround`, without looking for the services. */
export async function placeOf(ground: Ground, step: ServicesStep): Promise<InstanceGround> {
  const { run, restore, undo } = step;
  const instance = restore?.instance ?? undo?.instance ?? run.instance;
  if (instance !== run.instance)
    throw refuse('the permit was given for something else', 'permafrost restore');
  if (restore !== undefined) return restoreGround(ground, restore);
  if (undo !== undefined) return undoGround(ground, undo);
  return ground.open(run.instance);
}

export function journalOf({ host }: { host: Host }, { run }: RestoreStep): JournalRef {
  return { host, domain: run.instance, restore: run.backup };
}

export function undoJournalOf({ host }: { host: Host }, { undo }: UndoStep): JournalRef {
  return { host, domain: undo.instance, restore: undo.restore };
}

/** What an earlier step of this restore has fetched. @throws Failure `Unexpected` when somebody has removed it. */
export async function fetched({ host, staging }: StagedGround): Promise<Received> {
  const received = await receivedAt(host, staging.parts);
  if (received !== undefined) return received;
  throw new Failure('Unexpected', `what was fetched to ${staging.parts} on ${host.name} is gone`, {
    host: host.name,
    next: 'restore again',
  });
}

/** The host as it is now, for the parts that were fetched. */
export async function targetOf(
  { config, host }: RestoreGround,
  { restore }: RestoreStep,
  received: Pick<Received, 'manifest' | 'files'>,
): Promise<RestoreTarget> {
  const { manifest, files } = received;
  const parts: readonly PartName[] = restore.parts;
  const envFile = config.mastodon.envFile ?? `${config.mastodon.root}/.env.production`;
  const env =
    parts.includes('secrets') && files.secrets !== undefined
      ? await archivedEnvironment(host, files.secrets, manifest, envFile)
      : null;
  return findTarget({
    ...{ config, host, manifest, parts, allow: restore.allow ?? [] },
    ...(env === null ? {} : { env }),
  });
}
