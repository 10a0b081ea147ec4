import { type Check, bad, good, type Subject, warning } from '../backups/checks.js';
import type { FoundServices } from '../mastodon/inspect.js';
import { healthAddress } from '../mastodon/inspect.js';
import { isHealthy, serviceStates, staysDownAfterReboot, survivesReboot } from '../mastodon/services.js';
import type { About, Look } from './instance.js';
import { looking, onHost } from './looking.js';

/** Mastodon's services: there, running, coming back after a reboot, and answering. */
export async function lookAtServices(
  look: Look,
  about: About,
  services: FoundServices,
  env: ReadonlyMap<string, string>,
): Promise<Check[]> {
  const units = about('units', 'services');
  const health = about('health', 'health');
  const found = await Promise.all([
    looking(units, () => states(look, units, services)),
    looking(health, () => answers(look, health, healthAddress(look.config, env))),
  ]);
  return found.flat();
}

async function states(
  { host, facts, config }: Look,
  about: Subject,
  services: FoundServices,
): Promise<Check[]> {
  const found = await serviceStates(host, services);
  const names = found.map(({ name }) => name.replace(/\.service$/, ''));
  if (found.length === 0)
    return [bad(about, 'No service is known.', 'Name the units with mastodon.services in the configuration')];
  const findings: Check[] = [];
  const down = found.filter(({ running }) => !running).map(({ name }) => name);
  if (down.length > 0) {
    const detail = `${down.join(', ')} ${down.length === 1 ? 'is' : 'are'} not running; a backup leaves ${down.length === 1 ? 'it' : 'them'} so.`;
    findings.push(warning(about, detail, `permafrost services start ${config.domain}`));
  }
  const stays = staysDownAfterReboot(services);
  if (stays.length > 0 && !(await survivesReboot(host))) {
    const detail = `If the host is restarted while they are stopped, nothing starts ${stays.join(', ')} again.`;
    const fix =
      services.kind === 'systemd'
        ? `${onHost(host)}systemctl enable ${stays.join(' ')}`
        : `See to it that your supervisor starts them at boot${facts.root ? '' : `, or log in to ${host.name} as root`}`;
    findings.push(warning({ ...about, name: 'reboot' }, detail, fix));
  }
  if (down.length === 0) findings.unshift(good(about, `${names.join(', ')}: running`));
  return findings;
}

async function answers({ host, config }: Look, about: Subject, health: string | null): Promise<Check> {
  if (health === null)
    return good(
      about,
      'not asked: Puma listens on a socket; running units have to do (mastodon.health names an address)',
    );
  if (await isHealthy(host, { health, domain: config.domain })) return good(about, `${health} answers`);
  return warning(
    about,
    `${health} does not answer on ${host.name}. A backup then cannot prove by it that the web service is back.`,
    'See whether the web service runs; if it answers elsewhere, say where with mastodon.health in the configuration',
  );
}
