import { bad, type Check, good, type Subject, warning } from '../backups/checks.js';
import type { OffsiteConfig } from '../config/configuration.js';
import { printDuration } from '../config/values.js';
import { Failure } from '../errors.js';
import type { Host, HostFacts } from '../hosts/host.js';
import { lackingForDeltas } from '../hosts/delta-tools.js';
import { missingPrograms } from '../hosts/programs.js';
import { findTool } from '../hosts/tools.js';
import { reachedBySsh, toolsFor } from '../offsite/open.js';
import { badly, looking, within, onHost } from './looking.js';

/** A machine that does not answer within this is dead for the doctor. Milliseconds. */
const answerMs = 12_000;

/** The clocks of this machine and a host: half a minute is sloppy, five break certificates and confuse ids. Milliseconds. */
const skewMs = { warning: 30_000, bad: 300_000 } as const;

/** Whether a host can be reached; null when it cannot, and then nothing more of it is known. */
export async function reach(host: Host): Promise<{ checks: Check[]; facts: HostFacts | null }> {
  const about = { name: 'host', subject: 'host', host: host.name };
  let facts: HostFacts | null = null;
  const checks = await looking(about, async () => {
    facts = await within(answerMs, host.facts()).catch((error: unknown) => {
      if (!(error instanceof Failure) || error.type !== 'CommandTimedOut') throw error;
      throw new Failure('HostUnreachable', `${host.name} does not answer.`, {
        next: 'See whether the machine is up, sshd runs there, and no firewall is in between.',
      });
    });
    return good(about, describe(facts, host.name === 'local'));
  });
  return { checks, facts };
}

function describe({ user, root, sudo, systemd, arch }: HostFacts, local: boolean): string {
  const how = root ? 'as root' : sudo ? `as ${user}, with sudo` : `as ${user}, without sudo`;
  return `${local ? 'this machine' : 'reached; its key is known'}; ${how}; ${arch}${systemd ? ', systemd' : ', no systemd'}`;
}

/**
 * What every run needs of the host, whatever instance it is for.
 *
 * @param offsites those that are filled from it.
 * @param needs.deltas the database of one of its instances is sent as a delta on most nights.
 */
export async function lookAtHost(
  host: Host,
  offsites: readonly OffsiteConfig[],
  needs: { deltas: boolean },
): Promise<Check[]> {
  const about = (name: string): Subject => ({ name, subject: name, host: host.name });
  const found = await Promise.all([
    looking(about('tools'), () => tools(about('tools'), host, offsites, needs)),
    looking(about('clock'), () => clock(about('clock'), host)),
  ]);
  return found.flat();
}

async function tools(
  about: Subject,
  host: Host,
  offsites: readonly OffsiteConfig[],
  { deltas }: { deltas: boolean },
): Promise<Check[]> {
  const [missing, optional, lacking] = await Promise.all([
    missingPrograms(host),
    missingPrograms(host, ['redis-check-rdb']),
    deltas ? lackingForDeltas(host) : undefined,
  ]);
  const findings: Check[] = [];
  if (missing.length > 0) {
    const detail = `There is no ${missing.join(', ')} on ${host.name}, which a run calls there.`;
    findings.push(
      bad(about, detail, `${onHost(host)}apt-get install bash perl-base tar findutils coreutils util-linux`),
    );
  }
  if (optional.length > 0) {
    const detail = 'There is no redis-check-rdb, so a copy of Redis is not checked before it is kept.';
    findings.push(warning(about, detail, `${onHost(host)}apt-get install redis-tools`));
  }
  if (lacking !== undefined) {
    findings.push(warning(about, `The database is dumped whole every night: ${lacking.what}.`, lacking.next));
  }
  if (offsites.some(reachedBySsh) && (await missingPrograms(host, ['ssh'])).length > 0) {
    const detail = `There is no ssh on ${host.name}, by which an off-site is reached from there.`;
    findings.push(bad(about, detail, `${onHost(host)}apt-get install openssh-client`));
  }
  const said: string[] = [];
  for (const name of new Set(offsites.flatMap(toolsFor))) {
    try {
      const tool = await findTool(host, name);
      said.push(`${name} ${tool.version}${tool.there ? '' : ' (the first run brings it along)'}`);
    } catch (error) {
      findings.push(badly(about, error));
    }
  }
  return findings.length > 0 ? findings : [good(about, `${said.join(', ')}, perl and the rest`)];
}

async function clock(about: Subject, host: Host): Promise<Check> {
  const asked = Date.now();
  const { stdout } = await host.run(['date', '+%s%3N']);
  // Between asking and hearing, most likely in the middle.
  const skew = Number(stdout.trim()) - (asked + Date.now()) / 2;
  return judgeClock(about, `The clock of ${host.name}`, skew);
}

/** @param skew milliseconds that another clock is ahead of ours. */
export function judgeClock(about: Subject, whose: string, skew: number): Check {
  const off = Math.abs(skew);
  if (off < skewMs.warning) return good(about, 'as here');
  const detail = `${whose} is ${printDuration(Math.round(off / 1000) * 1000)} ${skew > 0 ? 'ahead of' : 'behind'} the one here.`;
  const fix = 'See which of the two is wrong (date -u); there: timedatectl set-ntp true';
  return off < skewMs.bad ? warning(about, detail, fix) : bad(about, detail, fix);
}
