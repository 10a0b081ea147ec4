import { type Allowance, allowanceNames } from '../backups/allowances.js';
import type { BackupPlan, FailureReport } from '../backups/report.js';
import { partNames, type PartName } from '../backups/parts.js';
import { gigabytes, spoolNeed } from '../backups/space.js';
import type { InstanceConfig } from '../config/configuration.js';
import { exitCodeOf, Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { leaseState, refuseForeignLease } from '../hosts/lease.js';
import { requirePrograms } from '../hosts/programs.js';
import { freeBytes } from '../hosts/space.js';
import { requireRules } from '../hosts/sudoers.js';
import { provideTool, type ToolName, toolPath } from '../hosts/tools.js';
import type { Instance } from '../mastodon/inspect.js';
import { mediaPlace } from '../mastodon/media-place.js';
import { serviceStates, staysDownAfterReboot, survivesReboot } from '../mastodon/services.js';
import { checkSource, type SourceFinding } from '../mastodon/source-checks.js';
import { sourceSizes } from '../mastodon/source-sizes.js';
import { missingRights, sudoRules } from '../mastodon/sudo-rules.js';
import { lookAtOffsite } from '../offsite/look.js';
import { reachedBySsh, toolsFor } from '../offsite/open.js';
import { offsiteOf, withOffsite } from '../offsite/read.js';
import { lastSealed } from '../records/last-sealed.js';
import { signingKey } from '../records/signing-key.js';
import { activity } from './activity.js';
import { type Ground, type InstanceGround, refuse } from './ground.js';
import { requestInput } from './inputs.js';

export function preflightActivities(ground: Ground) {
  return {
    /**
     * Looks at everything that the run needs, touches nothing, and refuses what cannot end well.
     *
     * @throws Failure `Refused`, naming what is missing and what to do.
     */
    preflight: activity(requestInput, async (request): Promise<BackupPlan> => {
      const { configuration, config, host } = await ground.open(request.instance);
      const { instance } = await ground.inspect(request.instance, 'now');
      const parts = choose(partNames, request.only).filter(
        (part) => part !== 'media' || instance.media !== null,
      );
      const offsites = chooseOffsites(config, request.offsites);
      const warnings = [...instance.warnings];
      if (request.dryRun !== true) await signingKey(configuration.state); // a broken one is better known now
      if (parts.length === 0)
        throw refuse('nothing is left to back up', 'choose other parts with --only', host);
      await requireRules(host, (await sudoRules(host, config, instance)).needed, instance.domain);
      refuseForeignLease(host, instance.domain, await leaseState(host, instance.domain));
      const allow = allowanceNames.filter((name) =>
        [...config.allow, ...(request.allow ?? [])].includes(name),
      );
      const last = await lastSealed(configuration.state, instance.domain, (text) => warnings.push(text));
      warnings.push(...judge(host, await checkSource(host, instance, { parts, last }), allow));

      const [states, sizes, free, place] = await Promise.all([
        serviceStates(host, instance.services),
        sourceSizes(host, instance, parts),
        freeBytes(host),
        parts.includes('media') ? mediaPlace(host, instance) : null,
        provideTools(host),
      ]);
      const checked = await Promise.all(
        offsites.map(async (name) => ({
          name,
          kind: offsiteOf(configuration, name).kind,
          ...(await problemOf({ configuration, config, host }, name)),
        })),
      );
      const [broken] = checked.flatMap(({ problem }) => (problem === undefined ? [] : [problem]));
      if (broken !== undefined && checked.every(({ problem }) => problem !== undefined)) {
        throw refuse(broken.message, broken.next);
      }
      const quiesce = request.quiesce ?? config.quiesce.mode;
      const services =
        quiesce === 'none' ? [] : states.filter(({ running }) => running).map(({ name }) => name);
      const [lacking] = await missingRights(host, instance, { stops: services, parts });
      if (lacking !== undefined) throw refuse(lacking.detail, lacking.fix, host);
      if (quiesce !== 'none' && services.length === 0) {
        warnings.push('None of the services is running: nothing has to be stopped.');
      }
      if (services.length > 0) warnings.push(...(await rebootWarnings(host, instance)));
      const trees = checked.filter(({ kind }) => kind !== 'restic').length;
      const spoolNeedBytes = spoolNeed(sizes, trees);
      if (spoolNeedBytes > free) {
        throw refuse(
          `${host.name} has ${gigabytes(free)} free where the database waits to be copied, and about ${gigabytes(spoolNeedBytes)} are needed`,
          'make room on that disk, or put Permafrost there on another one (host.folder in the configuration)',
          host,
        );
      }
      return {
        ...{ instance: request.instance, host: host.name, quiesce, parts: sizes, services, warnings },
        offsites: checked,
        ...{ leaseMs: config.quiesce.leaseMs, budgetMs: config.quiesce.budgetMs },
        ...{ spoolFreeBytes: free, spoolNeedBytes, allow },
        ...(place === null ? {} : { mediaPlace: place }),
      };
    }),
  };
}

function choose(all: readonly PartName[], only: readonly PartName[] | undefined): PartName[] {
  return only === undefined ? [...all] : all.filter((part) => only.includes(part));
}

function chooseOffsites(config: InstanceConfig, wanted: readonly string[] | undefined): string[] {
  const unknown = wanted?.find((name) => !config.offsites.includes(name));
  if (unknown !== undefined) {
    throw refuse(
      `'${unknown}' is not an off-site of ${config.domain}`,
      `it has: ${config.offsites.join(', ')} (offsites in the configuration)`,
    );
  }
  return config.offsites.filter((name) => wanted === undefined || wanted.includes(name));
}

/**
 * Refuses an implausible source.
 *
 * @returns a warning for each finding that is allowed.
 * @throws Failure `Refused` with the first one that is not.
 */
function judge(host: Host, findings: readonly SourceFinding[], allow: readonly Allowance[]): string[] {
  const bad = findings.filter(({ severity }) => severity === 'bad');
  const isAllowed = ({ allowance }: SourceFinding) => allowance !== undefined && allow.includes(allowance);
  const [first, ...others] = bad.filter((finding) => !isAllowed(finding));
  if (first !== undefined) {
    const option = first.allowance;
    const way = option === undefined ? '' : `; if it is meant so: --allow ${option}`;
    const more = others.length === 0 ? '' : ` (${String(others.length)} more: permafrost doctor)`;
    throw refuse(first.detail, `${first.fix}${way}${more}`, host);
  }
  return bad.map(({ detail, allowance }) => `Allowed (${allowance ?? ''}): ${detail.slice(0, 1000)}.`);
}

/** What is wrong with an off-site; one of several does not stop the others. */
async function problemOf(at: InstanceGround, name: string): Promise<{ problem?: FailureReport }> {
  try {
    await requireOffsite(at, name);
    return {};
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const { type, message } = error;
    return {
      problem: {
        code: exitCodeOf(type),
        type,
        message,
        next: error.next ?? 'correct it, then run the backup again',
      },
    };
  }
}

/** Looks whether an off-site can be filled: as it is seen where it is read and where it is filled, and by which tools. @throws Failure */
export async function requireOffsite(
  { configuration, config, host }: InstanceGround,
  name: string,
): Promise<void> {
  const offsite = offsiteOf(configuration, name);
  for (const tool of toolsFor(offsite)) {
    toolPath(tool);
    await provideTool(host, tool);
  }
  if (reachedBySsh(offsite)) await requirePrograms(host, ['ssh']);
  await withOffsite(configuration, config, offsite, (open) => open.check());
  // Who fills it has to see the same place as who reads it: a folder on this machine is none on that one.
  if (config.host.kind === 'local') return;
  const tool = (tool: ToolName) => provideTool(host, tool);
  await lookAtOffsite({ host, tool, instance: config.domain }, offsite, config.domain, (open) =>
    open.check(),
  );
}

async function provideTools(host: Host): Promise<void> {
  try {
    await requirePrograms(host);
  } catch (error) {
    // A cut connection is no missing tool: another attempt may have it.
    if (!(error instanceof Failure) || error.type === 'HostUnreachable') throw error;
    throw refuse(error.message, error.next ?? 'install it there', host);
  }
}

async function rebootWarnings(host: Host, instance: Instance): Promise<string[]> {
  const down = staysDownAfterReboot(instance.services);
  if (down.length === 0 || (await survivesReboot(host))) return [];
  const remedy = instance.services.kind === 'systemd' ? ' systemctl enable makes them come back.' : '';
  return [
    `If the host is restarted while they are stopped, nothing starts ${down.join(', ')} again.${remedy}`,
  ];
}
