import { Failure } from '../errors.js';
import { anyExitCode, type Host } from '../hosts/host.js';
import {
  armLease,
  leaseState,
  releaseLease,
  startUnderLease,
  startWithoutLease,
  stopUnderLease,
  type LeasedService,
} from '../hosts/lease.js';
import type { Instance } from './inspect.js';

/** Mastodon's services: which run, how they are stopped under a lease, and what it takes to call them up again. */

export type InstanceServices = Instance['services'];

/** All that it takes to bring an instance's services back: nothing that asks the database or Redis. */
export type ServiceFacts = Pick<Instance, 'domain' | 'services' | 'health'>;

export interface ServiceState {
  readonly name: string;
  readonly running: boolean;
}

/** Which of the instance's services run at this moment. */
export async function serviceStates(host: Host, services: InstanceServices): Promise<ServiceState[]> {
  return (await toBeStopped(host, services)).map(({ name, up }) => ({ name, running: up }));
}

/**
 * As `serviceStates`, for a standstill: `active` is also what is about to be up, as a unit that fails and is started again
 * and again: systemd would do so in the middle of it.
 */
export async function toBeStopped(
  host: Host,
  services: InstanceServices,
): Promise<{ name: string; up: boolean; active: boolean }[]> {
  if (services.kind === 'systemd') {
    const units = services.units.map((unit) => unit.name);
    if (units.length === 0) return [];
    const { stdout } = await host.run(['systemctl', 'is-active', ...units], { okCodes: [0, 1, 2, 3, 4] });
    const states = stdout.trim().split('\n');
    return units.map((name, at) => {
      const up = states[at] === 'active' || states[at] === 'reloading';
      return { name, up, active: up || states[at] === 'activating' };
    });
  }
  return Promise.all(
    services.services.map(async ({ name, status }) => {
      const { exitCode } = await host.run(status, {
        okCodes: anyExitCode,
      });
      return { name, up: exitCode === 0, active: exitCode === 0 };
    }),
  );
}

/** The commands that start and stop the named services, as the login user runs them. */
async function commandsOf(
  host: Host,
  services: InstanceServices,
  names: readonly string[],
): Promise<LeasedService[]> {
  if (services.kind === 'commands')
    return services.services.filter((service) => names.includes(service.name));
  return Promise.all(
    names.map(async (name) => ({
      name,
      start: await host.argvAs(['systemctl', 'start', name], 'privileged'),
      stop: await host.argvAs(['systemctl', 'stop', name], 'privileged'),
    })),
  );
}

/**
 * Whether a service that is stopped now would stay down after a reboot, unless the lease sees to it: a unit that is
 * not enabled, and everything that another supervisor keeps.
 */
export function staysDownAfterReboot(services: InstanceServices): string[] {
  return services.kind === 'commands'
    ? services.services.map((service) => service.name)
    : services.units.filter((unit) => unit.active && !unit.enabled).map((unit) => unit.name);
}

/** Whether the lease can see to a reboot on this host: it needs root and systemd to be started at boot. */
export async function survivesReboot(host: Host): Promise<boolean> {
  const facts = await host.facts();
  return facts.root && facts.systemd;
}

/**
 * Arms the lease for exactly the services that run now (or renews it).
 *
 * @returns the names of those that are up, and whether the health address answered: what is proven at the end.
 * @param lease.first as the login user runs it, before whoever starts the services under this lease.
 * @throws what `armLease` throws; in all cases nothing was stopped.
 */
export async function armServicesLease(
  host: Host,
  instance: ServiceFacts,
  lease: { token: string; seconds: number; first?: readonly string[] },
): Promise<{ running: string[]; wasHealthy: boolean }> {
  const state = await leaseState(host, instance.domain);
  const renewing = state.held && state.token === lease.token;
  const active = renewing
    ? state.services.map((name) => ({ name, up: true }))
    : (await toBeStopped(host, instance.services)).filter((service) => service.active);
  const running = active.filter(({ up }) => up).map(({ name }) => name);
  const services = await commandsOf(
    host,
    instance.services,
    active.map(({ name }) => name),
  );
  const wasHealthy = renewing ? state.wasHealthy : await isHealthy(host, instance);
  // What a boot starts by itself would run on half of a swap.
  const needed = lease.first !== undefined || staysDownAfterReboot(instance.services).length > 0;
  await armLease(host, instance.domain, {
    ...{ ...lease, wasHealthy },
    services: services.map((service) => ({ ...service, proven: running.includes(service.name) })),
    bootUnit: needed && (await survivesReboot(host)),
  });
  return { running, wasHealthy };
}

export { releaseLease, stopUnderLease };

/**
 * Starts what the lease recorded; without a record, the services that belong up.
 *
 * @throws Failure `ServicesDown`, `LeaseLost`.
 */
export async function startServices(host: Host, instance: ServiceFacts, token: string): Promise<void> {
  if (await startUnderLease(host, instance.domain, token)) return;
  const names = belongUp(instance.services, []);
  await startWithoutLease(host, instance.domain, await commandsOf(host, instance.services, names));
}

/**
 * The services that should run when nobody has stopped them for a run: everything that another supervisor keeps; of
 * systemd's units those that come up with the host or ran when a lease was last armed, and all where that is none.
 *
 * @param recorded names in the last lease.
 */
export function belongUp(services: InstanceServices, recorded: readonly string[]): string[] {
  if (services.kind === 'commands') return services.services.map(({ name }) => name);
  const names = services.units.filter(({ name, enabled }) => enabled || recorded.includes(name));
  return (names.length > 0 ? names : services.units).map(({ name }) => name);
}

/**
 * Proves that the services are up: those that the lease recorded are running, and the health address answers if it did
 * before the stop.
 *
 * @param names others than the lease's.
 *
 * Mastodon's `/health` answers OK without looking at the database or Redis (app/controllers/health_controller.rb): it
 * proves that the web process has booted, no more.
 *
 * @throws Failure `ServicesDown` naming what is not up.
 */
export async function proveServicesUp(
  host: Host,
  instance: ServiceFacts,
  names?: readonly string[],
): Promise<void> {
  const recorded = await leaseState(host, instance.domain);
  const states = await serviceStates(host, instance.services);
  // A lease that is held has recorded what was up, be it nothing.
  const leased =
    recorded.held || recorded.services.length > 0 ? recorded.services : belongUp(instance.services, []);
  const wanted = states.filter(({ name }) => (names ?? leased).includes(name));
  const down = wanted.filter((service) => !service.running).map((service) => service.name);
  if (down.length > 0)
    throw notUp(host, instance, `${down.join(', ')} ${down.length === 1 ? 'is' : 'are'} not running`);
  if (recorded.wasHealthy && !(await isHealthy(host, instance))) {
    throw notUp(host, instance, `${instance.health ?? 'the health address'} does not answer`);
  }
}

function notUp(host: Host, instance: ServiceFacts, what: string): Failure {
  return new Failure(
    'ServicesDown',
    `the services of ${instance.domain} on ${host.name} are not up: ${what}`,
    {
      host: host.name,
      next: `look at \`systemctl status\` and the journal there; permafrost services start ${instance.domain} tries at once`,
    },
  );
}

/** Whether the health address, as seen from the host, answers with a 2xx; false when none is configured. */
export async function isHealthy(
  host: Host,
  instance: Pick<ServiceFacts, 'health' | 'domain'>,
): Promise<boolean> {
  if (instance.health === null) return false;
  const { exitCode } = await host.run(
    ['bash', '-c', healthProbe, 'health', instance.health, instance.domain],
    {
      okCodes: anyExitCode,
      timeoutMs: 20_000,
    },
  );
  return exitCode === 0;
}

/** Every host has bash; not every host has curl. Mastodon wants its own name in Host, and to be told of https. */
const healthProbe = `url=$1 domain=$2
if command -v curl > /dev/null; then
  exec curl --silent --fail --max-time 10 --output /dev/null -H "Host: $domain" -H 'X-Forwarded-Proto: https' -- "$url"
fi
rest=\${url#http://}; [ "$rest" != "$url" ] || { echo 'curl is needed for https' >&2; exit 2; }
place=\${rest%%/*} path=/\${rest#*/}; [ "$rest" != "$place" ] || path=/
address=\${place%:*} port=\${place##*:}; [ "$place" != "$address" ] || port=80
exec 3<> "/dev/tcp/$address/$port" || exit 3
printf 'GET %s HTTP/1.0\\r\\nHost: %s\\r\\nX-Forwarded-Proto: https\\r\\n\\r\\n' "$path" "$domain" >&3
read -r -t 10 _ status _ <&3 && [[ $status == 2* ]]`;

/**
 * Brings the services back, whatever holds them: starts, waits until they are proven up, ends the lease. For the
 * guard, the reconciler and operators (`permafrost services start`). A lease says what ran before the stop, and just
 * that is started; where none is held, nobody has stopped them for a run, and all that belong up are.
 *
 * @param patienceMs how long they may take to become healthy.
 * @throws Failure `ServicesDown`.
 */
export async function bringServicesBack(
  host: Host,
  instance: ServiceFacts,
  options: { token?: string; patienceMs?: number; signal?: AbortSignal } = {},
): Promise<ServiceState[]> {
  const token = options.token ?? 'any';
  const lease = await leaseState(host, instance.domain);
  const names = lease.held ? undefined : belongUp(instance.services, lease.services);
  if (names === undefined) await startServices(host, instance, token);
  else await startWithoutLease(host, instance.domain, await commandsOf(host, instance.services, names));
  await untilUp(host, instance, options.patienceMs ?? 120_000, options.signal, names);
  await releaseLease(host, instance.domain, token);
  return serviceStates(host, instance.services);
}

/**
 * Starts those of the services that belong up and do not run, and waits until all of them do and the health address
 * answers, unless it did not when a lease was last armed: after a restore, which may have found them stopped or broken.
 *
 * @param recorded names of services that ran before it.
 * @param options.asBefore just those, and the health address when it answered before: what was there is back in place.
 * @returns what is not up by then, in a sentence; undefined when all is well.
 * @throws Failure `ServicesDown` when a start command fails.
 */
export async function startMissing(
  host: Host,
  instance: ServiceFacts,
  recorded: readonly string[],
  options: { patienceMs: number; signal?: AbortSignal; asBefore?: { healthy: boolean } },
): Promise<string | undefined> {
  const { patienceMs, signal, asBefore } = options;
  const lease = await leaseState(host, instance.domain);
  const names =
    asBefore === undefined ? belongUp(instance.services, [...recorded, ...lease.services]) : recorded;
  const down = async () =>
    (await serviceStates(host, instance.services))
      .filter(({ name, running }) => names.includes(name) && !running)
      .map(({ name }) => name);
  const missing = await down();
  if (missing.length > 0)
    await startWithoutLease(host, instance.domain, await commandsOf(host, instance.services, missing));
  const answers =
    instance.health !== null && (asBefore?.healthy ?? (lease.services.length === 0 || lease.wasHealthy));
  const end = Date.now() + patienceMs;
  for (;;) {
    const still = await down();
    if (still.length === 0 && (!answers || (await isHealthy(host, instance)))) return undefined;
    signal?.throwIfAborted();
    if (Date.now() > end) {
      return still.length > 0
        ? `${still.join(', ')} ${still.length === 1 ? 'is' : 'are'} not running on ${host.name}`
        : `${instance.health ?? 'the health address'} does not answer on ${host.name}`;
    }
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
}

/** Waits until `proveServicesUp` is content with them. @throws its last failure when that takes longer than `patienceMs`. */
export async function untilUp(
  host: Host,
  instance: ServiceFacts,
  patienceMs: number,
  signal?: AbortSignal,
  names?: readonly string[],
): Promise<void> {
  const end = Date.now() + patienceMs;
  for (;;) {
    try {
      await proveServicesUp(host, instance, names);
      return;
    } catch (error) {
      signal?.throwIfAborted();
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
  }
}
