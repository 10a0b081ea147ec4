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
  if (services.kind === 'systemd') {
    const units = services.units.map((unit) => unit.name);
    if (units.length === 0) return [];
    const { stdout } = await host.run(['systemctl', 'is-active', ...units], { okCodes: [0, 1, 2, 3, 4] });
    const states = stdout.trim().split('\n');
    return units.map((name, at) => ({
      name,
      running: states[at] === 'active' || states[at] === 'reloading',
    }));
  }
  return Promise.all(
    services.services.map(async ({ name, status }) => {
      const { exitCode } = await host.run(status, {
        okCodes: anyExitCode,
      });
      return { name, running: exitCode === 0 };
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
 * Arms the lease for exactly the services that run now (or renews it). Returns their names.
 *
 * @throws what `armLease` throws; in all cases nothing was stopped.
 */
export async function armServicesLease(
  host: Host,
  instance: ServiceFacts,
  lease: { token: string; seconds: number },
): Promise<string[]> {
  const state = await leaseState(host, instance.domain);
  const renewing = state.held && state.token === lease.token;
  const running = renewing
    ? [...state.services]
    : (await serviceStates(host, instance.services))
        .filter((service) => service.running)
        .map(({ name }) => name);
  await armLease(host, instance.domain, {
    ...lease,
    services: await commandsOf(host, instance.services, running),
    wasHealthy: renewing ? state.wasHealthy : await isHealthy(host, instance),
    bootUnit: staysDownAfterReboot(instance.services).length > 0 && (await survivesReboot(host)),
  });
  return running;
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
  const leased = recorded.services.length > 0 ? recorded.services : belongUp(instance.services, []);
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
