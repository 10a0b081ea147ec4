import type { BackupPlan, FailureReport, PlannedPart } from '../backups/report.js';
import { partNames, type PartName } from '../backups/parts.js';
import type { Configuration, InstanceConfig } from '../config/configuration.js';
import { exitCodeOf, Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { leaseState } from '../hosts/lease.js';
import { requireRules } from '../hosts/sudoers.js';
import { provideTool, toolPath } from '../hosts/tools.js';
import type { Instance } from '../mastodon/inspect.js';
import { redisCli } from '../mastodon/redis-cli.js';
import { serviceStates, staysDownAfterReboot, survivesReboot } from '../mastodon/services.js';
import { sudoRules } from '../mastodon/sudo-rules.js';
import { offsiteOf, withOffsite } from '../offsite/read.js';
import { activity } from './activity.js';
import { type Ground, refuse } from './ground.js';
import { requestInput } from './inputs.js';
import {
  refuseEmptyMedia,
  refuseForeignDatabase,
  refuseMissingCommands,
  refuseUnreadableMedia,
  refuseWithoutKeys,
} from './source-checks.js';

/** A dump without compression is smaller than the database, which holds its indexes too; half of it is on the safe side. */
const dumpShare = 0.7;
/** Bytes that a run may need besides: secrets, lists, logs. */
const spoolMargin = 64 << 20;
/** Bytes of index a million files of media take, three times: the list, the index, the sort's work. */
const indexBytesPerFile = 600;

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
      refuseWithoutKeys(host, instance);
      if (parts.length === 0)
        throw refuse('nothing is left to back up', 'choose other parts with --only', host);
      await requireRules(host, (await sudoRules(host, config, instance)).needed, instance.domain);
      await refuseForeignLease(host, instance);
      await refuseMissingCommands(host, instance);

      const [states, sizes, free] = await Promise.all([
        serviceStates(host, instance.services),
        sourceSizes(host, instance, parts),
        freeBytes(host),
        parts.includes('database') ? refuseForeignDatabase(host, instance) : undefined,

        provideTools(host),
      ]);
      const checked = await Promise.all(
        offsites.map(async (name) => ({
          name,
          kind: offsiteOf(configuration, name).kind,
          ...(await problemOf(configuration, config, name)),
        })),
      );
      const [broken] = checked.flatMap(({ problem }) => (problem === undefined ? [] : [problem]));
      if (broken !== undefined && checked.every(({ problem }) => problem !== undefined)) {
        throw refuse(broken.message, broken.next);
      }
      const quiesce = request.quiesce ?? config.quiesce.mode;
      const services =
        quiesce === 'none' ? [] : states.filter(({ running }) => running).map(({ name }) => name);
      if (quiesce !== 'none' && services.length === 0) {
        warnings.push('None of the services is running: nothing has to be stopped.');
      }
      if (services.length > 0) warnings.push(...(await rebootWarnings(host, instance)));
      const spoolNeedBytes = needOf(sizes);
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
        ...{ spoolFreeBytes: free, spoolNeedBytes },
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

async function refuseForeignLease(host: Host, instance: Instance): Promise<void> {
  const lease = await leaseState(host, instance.domain);
  if (!lease.held || lease.rebooted || lease.phase !== 'armed' || (lease.firesInMs ?? 0) < 0) return;
  throw new Failure(
    'Busy',
    `another run holds the lease of ${instance.domain} on ${host.name} (for ${String(Math.ceil((lease.firesInMs ?? 0) / 60_000))} more minutes)`,
    {
      host: host.name,
      next: `wait until it ends; if that run is gone for good: permafrost services start ${instance.domain}`,
    },
  );
}

/** What is wrong with an off-site, as it is seen where it is read; one of several does not stop the others. */
async function problemOf(
  configuration: Configuration,
  config: InstanceConfig,
  name: string,
): Promise<{ problem?: FailureReport }> {
  try {
    await withOffsite(configuration, config, offsiteOf(configuration, name), (offsite) => offsite.check());
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

async function provideTools(host: Host): Promise<void> {
  try {
    toolPath('restic');
    await provideTool(host, 'restic');
    await host.run(['perl', '-e', '1']);
  } catch (error) {
    // A cut connection is no missing tool: another attempt may have it.
    if (!(error instanceof Failure) || error.type === 'HostUnreachable') throw error;
    throw refuse(error.message, error.next ?? 'install it there', host);
  }
}

async function sourceSizes(
  host: Host,
  instance: Instance,
  parts: readonly PartName[],
): Promise<PlannedPart[]> {
  return Promise.all(
    parts.map(async (name) => {
      if (name === 'database') return { name, sourceBytes: instance.database.sizeBytes };
      if (name === 'media') {
        await refuseUnreadableMedia(host, instance);
        await refuseEmptyMedia(host, instance);
        return { name };
      }
      if (name === 'redis') {
        const info = await redisCli(host, instance.redis, ['INFO', 'memory']);
        return { name, sourceBytes: Number(/^used_memory:(\d+)/m.exec(info)?.[1] ?? 0) };
      }
      return { name };
    }),
  );
}

async function freeBytes(host: Host): Promise<number> {
  const { folder } = await host.facts();
  const script =
    'd=$1; while [ ! -d "$d" ]; do d=$(dirname "$d"); done; df --output=avail -B1 -- "$d" | tail -n 1';
  const { stdout } = await host.run(['sh', '-c', script, 'sh', folder]);
  return Number(stdout.trim());
}

function needOf(parts: readonly PlannedPart[]): number {
  const bytesOf = (name: PartName) => parts.find((part) => part.name === name)?.sourceBytes ?? 0;
  const index = parts.some((part) => part.name === 'media') ? indexBytesPerFile * 100_000 : 0;
  return Math.ceil(bytesOf('database') * dumpShare + bytesOf('redis') + index + spoolMargin);
}

async function rebootWarnings(host: Host, instance: Instance): Promise<string[]> {
  const down = staysDownAfterReboot(instance.services);
  if (down.length === 0 || (await survivesReboot(host))) return [];
  const remedy = instance.services.kind === 'systemd' ? ' systemctl enable makes them come back.' : '';
  return [
    `If the host is restarted while they are stopped, nothing starts ${down.join(', ')} again.${remedy}`,
  ];
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
