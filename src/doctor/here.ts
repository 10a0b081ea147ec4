import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { bad, type Check, good, type Subject, warning } from '../backups/checks.js';
import { sizeText } from '../backups/space.js';
import type { Configuration, InstanceConfig, OffsiteConfig } from '../config/configuration.js';
import { offsiteFiles } from '../config/offsite-files.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { missingPrograms } from '../hosts/programs.js';
import { freeBytes } from '../hosts/space.js';
import { toolPath } from '../hosts/tools.js';
import { reachedBySsh, toolsFor } from '../offsite/open.js';
import { looking } from './looking.js';

/** Histories, records and remembered manifests need little; a full disk stops the Temporal server. Bytes. */
const stateSpace = { bad: 100e6, warning: 1e9 } as const;

/**
 * This machine, where Permafrost itself runs: its tools, its state folder, the secrets in its files.
 *
 * @param here this machine, opened for looking.
 */
export async function lookHere(
  configuration: Configuration,
  instances: readonly InstanceConfig[],
  here: Host,
): Promise<Check[]> {
  const about = (name: string, subject: string): Subject => ({ name, subject, host: here.name });
  const offsites = [...new Set(instances.flatMap((instance) => instance.offsites))].flatMap(
    (name) => configuration.offsites[name] ?? [],
  );
  const all = await Promise.all([
    looking(about('own-tools', 'own tools'), () =>
      ownTools(about('own-tools', 'own tools'), configuration, offsites, here),
    ),
    looking(about('state', 'state folder'), () =>
      stateFolder(about('state', 'state folder'), configuration, here),
    ),
    looking(about('secret-files', 'secret files'), () =>
      secretFiles(about('secret-files', 'secret files'), secretsOf(configuration, instances, offsites)),
    ),
  ]);
  return all.flat();
}

async function ownTools(
  about: Subject,
  { temporal }: Configuration,
  offsites: readonly OffsiteConfig[],
  here: Host,
): Promise<Check> {
  const wanted = [...new Set(offsites.flatMap(toolsFor))];
  const tools = wanted.map((name) => `${name} ${toolPath(name).version}`);
  if (temporal.kind === 'embedded') tools.push(`Temporal CLI ${toolPath('temporal').version}`);
  const [bySsh] = offsites.filter(reachedBySsh);
  if (bySsh !== undefined && (await missingPrograms(here, ['ssh'])).length > 0)
    return bad(
      about,
      `${bySsh.kind} reaches an off-site by SSH, and there is no ssh here.`,
      'apt-get install openssh-client',
    );
  return good(about, tools.join(', '));
}

async function stateFolder(about: Subject, { state }: Configuration, here: Host): Promise<Check> {
  const { uid } = await here.facts();
  const found = await stat(state).catch(() => undefined);
  const near = await nearestFolder(state);
  if (!(await isWritable(near)))
    return bad(
      about,
      `The user with the number ${String(uid)} may not write in ${near}, and the state is to be in ${state}.`,
      found === undefined
        ? `As root: install -d -m 700 -o ${String(uid)} ${state}; or name another folder (state in the configuration)`
        : `As root: chown -R ${String(uid)} ${state}; or name another folder (state in the configuration)`,
    );
  if (found !== undefined && (found.mode & 0o077) !== 0 && found.uid === uid)
    return warning(
      about,
      `${state} is open to other users of this machine (mode ${octal(found.mode)}); it holds reports and histories.`,
      `chmod 700 ${state}`,
    );
  const free = await freeBytes(here, near);
  const where = found === undefined ? `${state} will be made` : state;
  if (free >= stateSpace.warning) return good(about, `${where}; ${sizeText(free)} free`);
  const detail = `Only ${sizeText(free)} are free for ${state}; a full disk there stops the runs.`;
  const fix = 'Make room on that disk, or name a folder on another one (state in the configuration)';
  return free < stateSpace.bad ? bad(about, detail, fix) : warning(about, detail, fix);
}

/** A file that holds a secret, and which key of the configuration names it. */
interface SecretFile {
  readonly key: string;
  readonly path: string;
}

function secretsOf(
  { temporal }: Configuration,
  instances: readonly InstanceConfig[],
  offsites: readonly OffsiteConfig[],
): SecretFile[] {
  const named: [string, string | undefined][] = [];
  for (const { domain, host } of instances) {
    if (host.kind !== 'ssh') continue;
    named.push([`instances.${domain}.host.identityFile`, host.identityFile]);
    named.push([`instances.${domain}.host.passphraseFile`, host.passphraseFile]);
  }
  for (const offsite of offsites) {
    for (const { key, path, secret } of offsiteFiles(offsite)) {
      if (secret) named.push([`offsites.${offsite.name}.${key}`, path]);
    }
  }
  if (temporal.kind === 'address') {
    named.push(['temporal.apiKeyFile', temporal.apiKeyFile]);
    if (typeof temporal.tls === 'object') named.push(['temporal.tls.keyFile', temporal.tls.keyFile]);
  }
  return named.flatMap(([key, path]) => (path === undefined ? [] : [{ key, path }]));
}

async function secretFiles(about: Subject, files: readonly SecretFile[]): Promise<Check[]> {
  const findings: Check[] = [];
  const seen = new Set<string>();
  for (const { key, path } of files) {
    if (seen.has(path)) continue;
    seen.add(path);
    const found = await stat(path).catch((error: NodeJS.ErrnoException) => error.code ?? 'unknown');
    if (typeof found === 'string') {
      const why = found === 'ENOENT' ? 'is not there' : `cannot be looked at (${found})`;
      findings.push(
        bad(
          about,
          `${path} ${why} (${key}).`,
          'Correct the path in the configuration, or put the file there',
        ),
      );
    } else if (!(await isReadable(path))) {
      findings.push(
        bad(about, `${path} cannot be read by us (${key}).`, `As root: chown ${userHere()} ${path}`),
      );
    } else if ((found.mode & 0o077) !== 0) {
      const detail = `${path} is open to other users of this machine (mode ${octal(found.mode)}), and it holds a secret (${key}).`;
      findings.push(warning(about, detail, `chmod 600 ${path}`));
    }
  }
  if (findings.length > 0) return findings;
  return [good(about, seen.size === 0 ? 'none are named' : `${String(seen.size)}, closed to other users`)];
}

async function nearestFolder(path: string): Promise<string> {
  for (let at = path; ; at = dirname(at)) {
    const found = await stat(at).catch(() => undefined);
    if (found?.isDirectory() === true) return at;
    if (found !== undefined)
      throw new Failure('Refused', `${at} is not a folder.`, {
        next: 'Name another folder for the state (state in the configuration)',
      });
  }
}

async function isWritable(path: string): Promise<boolean> {
  return access(path, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
}

async function isReadable(path: string): Promise<boolean> {
  return access(path, constants.R_OK).then(
    () => true,
    () => false,
  );
}

function userHere(): string {
  return String(process.getuid?.() ?? '');
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0');
}
