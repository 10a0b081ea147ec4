import { Failure } from '../errors.js';
import { anyExitCode, type Host } from './host.js';
import { firstMark, leaseScript } from './lease-script.js';
import { shellLine } from './quote.js';

/**
 * The lease on a host: the timer that starts the services again if nobody else does, and the token without which
 * nothing is stopped. The work is done on the host, under a lock, by the script in `lease-script.ts`.
 */

/** What a lease stops and starts: argvs as the login user runs them. */
export interface LeasedService {
  readonly name: string;
  readonly start: readonly string[];
  readonly stop: readonly string[];
  /** Default: true. False for one that was not up, but about to be: it is stopped and started as the others, no more. */
  readonly proven?: boolean;
}

export interface LeaseState {
  /** Whether anybody holds the lease. */
  readonly held: boolean;
  readonly token?: string;
  readonly phase?: 'armed' | 'starting' | 'fired';
  /** Milliseconds until it fires; negative when that moment has passed. */
  readonly firesInMs?: number;
  /** The host was started anew since it was armed: its timer is gone. */
  readonly rebooted: boolean;
  /** The services that were running when it was last armed. */
  readonly services: readonly string[];
  /** Whether the health address answered before the stop. */
  readonly wasHealthy: boolean;
  /** When the timer last had to start the services itself. */
  readonly lastFired?: { readonly at: string; readonly token: string };
}

const exitCodes = { heldByAnother: 75, notOurs: 76, notArmed: 77, nothingRecorded: 78 } as const;

async function leaseFolder(host: Host, name: string): Promise<string> {
  return `${(await host.facts()).folder}/lease/${name}`;
}

/** Seconds that must be left on a lease before a stop begins: more than a stop may take (60 s). */
const leastSecondsLeft = 75;

/**
 * Arms the lease, or renews it when `token` holds it already. Proven armed when it returns.
 *
 * @param name the instance's domain.
 * @param bootUnit also start the services at the next boot: for services that would not come back by themselves.
 * @throws Failure `Busy` when another run holds it; `LeaseLost` when this run's was fired or released meanwhile;
 *   `LeaseNotArmed`. In all cases nothing was stopped.
 */
export async function armLease(
  host: Host,
  name: string,
  lease: {
    token: string;
    seconds: number;
    services: readonly LeasedService[];
    wasHealthy: boolean;
    bootUnit: boolean;
    /** Run before each start of the services, whoever starts them; that it fails keeps nothing from being started. */
    first?: readonly string[];
  },
): Promise<void> {
  const folder = await leaseFolder(host, name);
  await host.run(['mkdir', '-p', '-m', '700', folder]);
  await host.putFile(`${folder}/lease.sh`, leaseScript, 0o700);
  const result = await host.run(
    [
      'bash',
      `${folder}/lease.sh`,
      'arm',
      lease.token,
      String(Math.ceil(lease.seconds)),
      await settingsFor(host, name),
      sideBySide(lease.services, 'start', lease.first),
      sideBySide(lease.services, 'stop'),
      lease.services
        .filter(({ proven }) => proven !== false)
        .map((service) => service.name)
        .join('\n'),
      lease.wasHealthy ? 'yes' : 'no',
      lease.bootUnit ? 'yes' : 'no',
    ],
    { okCodes: [0, exitCodes.heldByAnother, exitCodes.notOurs, exitCodes.notArmed] },
  );
  if (result.exitCode === exitCodes.heldByAnother) {
    throw new Failure(
      'Busy',
      `another run holds the lease of ${name} on ${host.name} (${result.stderr.trim()})`,
      {
        host: host.name,
        next: `wait until it ends; if that run is gone for good: permafrost services start ${name}`,
      },
    );
  }
  if (result.exitCode === exitCodes.notOurs) throw lost(host, name);
  if (result.exitCode === exitCodes.notArmed) {
    throw new Failure(
      'LeaseNotArmed',
      `the lease of ${name} could not be armed on ${host.name}: ${result.stderr.trim()}`,
      {
        host: host.name,
        next: 'nothing was stopped; see whether the disk is full, and whether systemd-run works there (as root, or by the sudo rules of the handbook)',
      },
    );
  }
}

/**
 * Stops the leased services, side by side.
 *
 * @returns the moment just before the stop, by the host's clock (milliseconds since 1970).
 * @throws Failure `LeaseLost` or `LeaseNotArmed` (nothing was stopped), `CommandFailed` (some may be stopped).
 */
export async function stopUnderLease(host: Host, name: string, token: string): Promise<number> {
  const folder = await leaseFolder(host, name);
  const result = await host.run(['bash', `${folder}/lease.sh`, 'stop', token, String(leastSecondsLeft)], {
    okCodes: [0, exitCodes.notOurs, exitCodes.notArmed, 70, 127],
    timeoutMs: 240_000,
  });
  if (result.exitCode === exitCodes.notArmed) {
    throw new Failure(
      'LeaseNotArmed',
      `the lease of ${name} on ${host.name} ends too soon or its timer is gone: nothing was stopped`,
      {
        host: host.name,
        next: 'the run has to arm it again first; a longer quiesce.lease helps when the host is slow',
      },
    );
  }
  if (result.exitCode !== 0) throw lost(host, name);
  return Number(result.stdout.trim().split('\n')[0]);
}

/**
 * Starts what was running when the lease was armed; from here on no stop under this token is accepted.
 *
 * @param token the run's, or `any`: for the guard and for operators.
 * @returns false when no lease was ever armed here, so nothing is known to have been running.
 * @throws Failure `ServicesDown` when a start command fails; `LeaseLost` when another run holds the lease.
 */
export async function startUnderLease(host: Host, name: string, token: string): Promise<boolean> {
  const folder = await leaseFolder(host, name);
  const result = await host.run(['bash', `${folder}/lease.sh`, 'start', token], {
    okCodes: anyExitCode,
    timeoutMs: 400_000,
  });
  if (result.exitCode === 0) return true;
  if (result.exitCode === exitCodes.nothingRecorded || result.exitCode === 127 || result.exitCode === 70)
    return false;
  if (result.exitCode === exitCodes.notOurs) throw lost(host, name);
  throw notStarted(host, name, result.stderr);
}

/**
 * Starts services that no lease has recorded, side by side, as a lease starts its own: what their commands leave running
 * is on its own feet.
 *
 * @throws Failure `ServicesDown` when a start command fails.
 */
export async function startWithoutLease(
  host: Host,
  name: string,
  services: readonly LeasedService[],
): Promise<void> {
  const folder = await leaseFolder(host, name);
  await host.run(['mkdir', '-p', '-m', '700', folder]);
  const commands = sideBySide(services, 'start');
  // The script is handed over, not put there: this works on a full disk.
  const result = await host.run(['bash', '-c', leaseScript, `${folder}/lease.sh`, 'start_these', commands], {
    okCodes: anyExitCode,
    timeoutMs: 240_000,
  });
  if (result.exitCode !== 0) throw notStarted(host, name, result.stderr);
}

function notStarted(host: Host, name: string, said: string): Failure {
  return new Failure(
    'ServicesDown',
    `the services of ${name} on ${host.name} did not start: ${said.trim().slice(-1500)}`,
    {
      host: host.name,
      next: 'look at `systemctl status` and the journal of the named unit there; the start is tried again until it works',
    },
  );
}

/**
 * Stops what a boot has started under a lease that has something to do before its services start (`first`): once, and
 * only before they are started by the lease. Whoever does that first thing himself asks for this before.
 */
export async function stopBooted(host: Host, name: string): Promise<void> {
  const folder = await leaseFolder(host, name);
  await host.run(['bash', `${folder}/lease.sh`, 'stop_booted'], {
    okCodes: anyExitCode,
    timeoutMs: 240_000,
  });
}

/** Ends the lease, once the services are proven to be up. Of a lease that is not `token`'s, nothing is touched. */
export async function releaseLease(host: Host, name: string, token: string): Promise<void> {
  const folder = await leaseFolder(host, name);
  await host.run(['bash', `${folder}/lease.sh`, 'release', token], { okCodes: [0, 127] });
}

export async function leaseState(host: Host, name: string): Promise<LeaseState> {
  const folder = await leaseFolder(host, name);
  const { stdout } = await host.run(['bash', `${folder}/lease.sh`, 'state'], { okCodes: [0, 70, 127] });
  const said = new Map(
    stdout
      .split('\n')
      .filter((line) => line.includes('='))
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1).trim()] as const),
  );
  const token = said.get('token');
  const phase = said.get('phase');
  const deadline = said.get('deadline');
  const [firedAt, firedToken] = (said.get('last-fired') ?? '').split(' ');
  return {
    held: token !== undefined,
    ...(token === undefined ? {} : { token }),
    ...(phase === 'armed' || phase === 'starting' || phase === 'fired' ? { phase } : {}),
    ...(deadline === undefined ? {} : { firesInMs: (Number(deadline) - Number(said.get('uptime'))) * 1000 }),
    // An older Permafrost's script, which lies there until the next lease is armed, leaves the comparison to us.
    rebooted: said.has('rebooted')
      ? said.get('rebooted') === 'yes'
      : said.has('boot') && said.get('boot') !== said.get('boot-now'),
    services: (said.get('names') ?? '').split(' ').filter((service) => service !== ''),
    wasHealthy: said.get('health') === 'yes',
    ...(firedAt && firedToken ? { lastFired: { at: firedAt, token: firedToken } } : {}),
  };
}

/** A lease that has this long been over is one that nobody renews any more, milliseconds. */
const graceMs = 60_000;

/**
 * Whether a held lease is one that nobody is at work under any more: its host was started anew, its services are being
 * started already, or its time has passed. The host may be looked after by another Permafrost too, whose run Temporal
 * here knows nothing of: a lease that is not over is left alone by whoever does not hold it.
 */
export function isLeaseOver(lease: LeaseState): boolean {
  return lease.rebooted || lease.phase !== 'armed' || (lease.firesInMs ?? 0) < -graceMs;
}

/** @throws Failure `Busy` when a run other than `token`'s is at work under the lease. */
export function refuseForeignLease(host: Host, name: string, lease: LeaseState, token?: string): void {
  if (!lease.held || lease.token === token || isLeaseOver(lease)) return;
  const minutes = Math.max(1, Math.ceil((lease.firesInMs ?? 0) / 60_000));
  throw new Failure(
    'Busy',
    `another run holds the lease of ${name} on ${host.name} (for ${String(minutes)} more ${minutes === 1 ? 'minute' : 'minutes'})`,
    {
      host: host.name,
      next: `wait until it ends; if that run is gone for good: permafrost services start ${name}`,
    },
  );
}

/** The systemd unit (without its ending) that a lease's timers are named after. */
export function leaseUnit(name: string): string {
  return `permafrost-lease-${name}`;
}

/** The privileged commands that a lease needs on a host where we are not root: for the sudoers file. */
export async function leaseCommands(host: Host, name: string, seconds: number): Promise<string[][]> {
  const { user, group, folder } = await host.facts();
  const unit = leaseUnit(name);
  return ['a', 'b', 'c'].flatMap((slot) => [
    [
      'systemd-run',
      '--quiet',
      '--collect',
      `--unit=${unit}-${slot}`,
      `--uid=${user}`,
      `--gid=${group}`,
      `--on-active=${String(Math.ceil(seconds))}`,
      '--timer-property=AccuracySec=100ms',
      '--property=KillMode=process',
      '/bin/bash',
      `${folder}/lease/${name}/lease.sh`,
      'fire',
    ],
    ['systemctl', 'stop', `${unit}-${slot}.timer`],
  ]);
}

async function settingsFor(host: Host, name: string): Promise<string> {
  const facts = await host.facts();
  const withSystemd = facts.systemd && (facts.root || facts.sudo);
  return [
    `kind=${withSystemd ? 'systemd' : 'plain'}`,
    `unit=${shellLine([leaseUnit(name)])}`,
    `sudo=(${facts.root ? '' : facts.sudo ? 'sudo -n --' : ''})`,
    `as=(${facts.root ? '' : `--uid=${shellLine([facts.user])} --gid=${shellLine([facts.group])}`})`,
  ].join('\n');
}

/** A script that runs all commands at once, after another one, and fails when one of them fails that has to work. */
function sideBySide(
  services: readonly LeasedService[],
  what: 'start' | 'stop',
  first?: readonly string[],
): string {
  return [
    ...(first === undefined ? [] : [firstMark, `${shellLine(first)} < /dev/null`]),
    'pids=(); rc=0',
    ...services.map(({ [what]: argv, proven }) => {
      const ignored = what === 'start' && proven === false;
      return ignored
        ? `{ ${shellLine(argv)} || :; } < /dev/null & pids+=($!)`
        : `${shellLine(argv)} < /dev/null & pids+=($!)`;
    }),
    'for pid in "${pids[@]}"; do wait "$pid" || rc=1; done',
    'exit $rc',
  ].join('\n');
}

function lost(host: Host, name: string): Failure {
  return new Failure(
    'LeaseLost',
    `the lease of ${name} on ${host.name} is no longer this run's: nothing was stopped`,
    {
      host: host.name,
      next: 'the services were started by the lease, by the guard or by an operator; run the backup again',
    },
  );
}
