import { resolve } from 'node:path';
import { type PartName, partNames } from '../../src/backups/parts.js';
import {
  type Afterwards,
  afterwards,
  type RestoreAllowance,
  restoreAllowances,
  type RestoreRequest,
} from '../../src/backups/restore-report.js';
import type { Configuration, InstanceConfig } from '../../src/config/configuration.js';
import { sshAddress } from '../../src/config/fields.js';
import { Failure } from '../../src/errors.js';
import { type HostSpec, openHost } from '../../src/hosts/open.js';
import { chooseBackup, type FoundCopy, offsiteOf, readOffsites } from '../../src/offsite/read.js';
import { oneOf, someOf } from './backup-choices.js';

export interface RestoreOptions {
  from?: string;
  parts?: string[];
  to?: string;
  identityFile?: string;
  knownHosts?: string;
  port?: string;
  sudo?: boolean;
  plan?: boolean;
  yes?: boolean;
  allow?: string[];
  run?: string[];
  format?: string;
  detach?: boolean;
}

/** What is restored unless it is said: an older Redis would send mails and posts once more. */
const restoredByDefault: readonly PartName[] = ['database', 'secrets', 'media'];

export interface ChosenRestore {
  /** Without the permit. */
  readonly request: Omit<RestoreRequest, 'permit'>;
  /** Another host than the instance's own. */
  readonly target?: HostSpec;
  /** Where it goes, in words. */
  readonly to: string;
}

/** A folder, rather than a host. */
export function isFolder(to: string | undefined): to is string {
  return to !== undefined && (to === '.' || to === '..' || to.includes('/'));
}

/**
 * What an operator asks for, as the workflow's input, and the host that no input may name.
 *
 * @throws Failure `ConfigInvalid` for names that are not known, `NotFound` without such a backup.
 */
export async function chooseRestore(
  configuration: Configuration,
  instance: InstanceConfig,
  wanted: string,
  options: RestoreOptions,
): Promise<ChosenRestore> {
  const target = targetOf(options, configuration, instance);
  const copy = await chooseCopy(configuration, instance, wanted, options, target);
  const held = copy.manifest.parts.map(({ name }) => name);
  const parts =
    options.parts === undefined ? restoredByDefault : someOf<PartName>('--parts', options.parts, partNames);
  const missing = options.parts === undefined ? [] : parts.filter((part) => !held.includes(part));
  if (missing.length > 0) {
    throw new Failure('NotFound', `${copy.stored.backup} on ${copy.offsite} has no ${missing.join(', ')}`, {
      next: `it has: ${held.join(', ')}`,
    });
  }
  const run =
    options.run?.join() === 'all'
      ? [...afterwards]
      : options.run && someOf<Afterwards>('--run', options.run, afterwards);
  return {
    request: {
      ...{ instance: instance.domain, backup: copy.stored.backup, from: copy.offsite },
      parts: partNames.filter((part) => parts.includes(part) && held.includes(part)),
      ...(options.plan === true ? { planOnly: true } : {}),
      ...(options.allow === undefined
        ? {}
        : { allow: someOf<RestoreAllowance>('--allow', options.allow, restoreAllowances) }),
      ...(run === undefined ? {} : { run }),
    },
    ...(target === undefined ? {} : { target }),
    to: nameOf(target ?? instance.host),
  };
}

function nameOf(spec: HostSpec): string {
  return openHost(spec, { look: true }).name;
}

/** The host of `--to`; undefined for the instance's own. Its files are of this machine, where the worker runs too. */
function targetOf(
  { to, identityFile, knownHosts, port, sudo = false }: RestoreOptions,
  { state }: Configuration,
  { host }: InstanceConfig,
): HostSpec | undefined {
  if (to === undefined) return undefined;
  if (to === 'local')
    return host.kind === 'local' ? undefined : { kind: 'local', folder: resolve(state, 'host') };
  const address = sshAddress.safeParse(to).data ?? null;
  if (address === null) {
    throw new Failure('ConfigInvalid', `--to ${to}: expected local, USER@HOST, or a folder`, {
      next: 'a folder has a / in it: --to ./instance; the port of a host has a flag of its own: --port',
    });
  }
  const number = port === undefined ? 22 : Number(port);
  if (!Number.isInteger(number) || number < 1 || number > 65_535)
    throw new Failure('ConfigInvalid', `--port ${port ?? ''}: expected a port`, {
      next: 'such as --port 2222',
    });
  // What the configuration says of the very same host holds here, too.
  const known =
    host.kind === 'ssh' && host.user === address.user && host.address === address.address ? host : undefined;
  const spec: HostSpec = {
    ...(known ?? {}),
    ...{ kind: 'ssh', ...address, port: port === undefined ? (known?.port ?? 22) : number },
    sudo: sudo || known?.sudo === true,
    ...(identityFile === undefined ? {} : { identityFile: resolve(identityFile) }),
    ...(knownHosts === undefined ? {} : { knownHosts: resolve(knownHosts) }),
  };
  return known !== undefined && nameOf(spec) === nameOf(host) ? undefined : spec;
}

/** The backup on the off-site that was named, else on the nearest one that has it. */
async function chooseCopy(
  configuration: Configuration,
  instance: InstanceConfig,
  wanted: string,
  options: RestoreOptions,
  target: HostSpec | undefined,
): Promise<FoundCopy> {
  const { domain } = instance;
  const from = options.from === undefined ? undefined : oneOf('--from', options.from, instance.offsites);
  const { copies, problems, lists } = await readOffsites(configuration, domain);
  const asked = problems.find(({ offsite }) => offsite === from);
  if (asked !== undefined && lists.get(asked.offsite) === undefined) throw asked.failure;
  if (copies.length === 0 && problems[0] !== undefined) throw problems[0].failure;
  const there = copies.filter(({ offsite }) => from === undefined || offsite === from);
  const unread = problems.map(({ offsite }) => offsite);
  const backup = chooseBackup(
    there.map(({ stored }) => stored.backup),
    wanted,
    { domain, unread },
  );
  const [nearest] = there
    .filter(({ stored }) => stored.backup === backup)
    .sort((one, other) => distance(one.offsite) - distance(other.offsite));
  if (nearest === undefined)
    throw new Failure('NotFound', `there is no sealed backup ${wanted} of ${domain}`);
  return nearest;

  /** A folder is nearest, unless only another host than the target sees it. */
  function distance(name: string): number {
    const offsite = offsiteOf(configuration, name);
    const folder = offsite.kind === 'restic' && offsite.repository.startsWith('/');
    return folder ? (target === undefined ? 0 : 2) : 1;
  }
}
