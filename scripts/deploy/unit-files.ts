import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Configuration } from '../../src/config/configuration.js';
import { Failure } from '../../src/errors.js';

export type UnitName = 'permafrost' | 'permafrost-worker';

export const unitNames: readonly UnitName[] = ['permafrost', 'permafrost-worker'];

/** The user of the unit where every host is reached over SSH. */
export const OWN_USER = 'permafrost';

const SYSTEM_UNITS = '/etc/systemd/system';

export interface UnitFile {
  /** Absolute, below /etc/systemd/system. */
  readonly path: string;
  readonly text: string;
}

export interface UnitPlan {
  readonly name: UnitName;
  readonly user: string;
  /** Whether an instance is on this machine itself: the unit then has the drop-in that this needs. */
  readonly local: boolean;
  readonly files: readonly UnitFile[];
}

/** Where a unit's file and our drop-in for `host: local` lie. */
export function unitPaths(name: UnitName): { unit: string; dropIns: string; local: string } {
  const dropIns = join(SYSTEM_UNITS, `${name}.service.d`);
  return { unit: join(SYSTEM_UNITS, `${name}.service`), dropIns, local: join(dropIns, 'local-host.conf') };
}

/**
 * The files of a unit for this clone, this Node and this configuration, out of the templates in `deploy/`.
 *
 * @param wanted.user default: root where an instance is local, since services are stopped by root, else a user of its own.
 * @throws Failure `ConfigInvalid` for a worker alone with an embedded server, which nobody would start then.
 */
export function planUnit(
  configuration: Configuration,
  wanted: { readonly worker: boolean; readonly user?: string },
): UnitPlan {
  if (wanted.worker && configuration.temporal.kind === 'embedded') {
    throw new Failure(
      'ConfigInvalid',
      `The Temporal server of ${configuration.file} is embedded: a worker alone would have none`,
      { next: 'Leave --worker out; or name a cluster as "temporal" in the configuration.' },
    );
  }
  const name: UnitName = wanted.worker ? 'permafrost-worker' : 'permafrost';
  const local = Object.values(configuration.instances).some((instance) => instance.host.kind === 'local');
  const user = wanted.user ?? (local ? 'root' : OWN_USER);
  const values = {
    NODE: process.execPath,
    CLONE: cloneFolder(),
    PROGRAM: programFile(),
    CONFIG: configuration.file,
    STATE: configuration.state,
    USER: user,
  };
  const paths = unitPaths(name);
  const files = [{ path: paths.unit, text: fill(readTemplate(`${name}.service`), values) }];
  if (local) files.push({ path: paths.local, text: readTemplate('local-host.conf') });
  return { name, user, local, files };
}

/** Puts values into a template; each is quoted as systemd.syntax(7) and systemd.unit(5) want it. */
export function fill(template: string, values: Readonly<Record<string, string>>): string {
  return template.replaceAll(/@([A-Z]+)@/g, (whole, name: string) => {
    const value = values[name];
    return value === undefined ? whole : word(value);
  });
}

function word(value: string): string {
  if (/[\n"\\$]/.test(value)) {
    throw new Failure('ConfigInvalid', `systemd cannot be given this path: ${JSON.stringify(value)}`, {
      next: 'Use one without quotes, backslashes, dollar signs and line breaks.',
    });
  }
  const plain = value.replaceAll('%', '%%');
  return /[\s']/.test(plain) ? `"${plain}"` : plain;
}

/** What an installed unit file says of itself: the configuration and the state folder that it was made for. */
export function readUnit(text: string): { configFile?: string; state?: string } {
  const value = (key: string) => new RegExp(`^${key}="?(.*?)"?$`, 'm').exec(text)?.[1]?.replaceAll('%%', '%');
  const configFile = value('X-Config');
  const state = value('X-State');
  return { ...(configFile === undefined ? {} : { configFile }), ...(state === undefined ? {} : { state }) };
}

function readTemplate(name: string): string {
  return readFileSync(join(cloneFolder(), 'deploy', name), 'utf8');
}

/** The clone that this program belongs to: the folder with `deploy/`, above `scripts/` and above `dist/scripts/`. */
export function cloneFolder(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'deploy', 'permafrost.service'))) return folder;
    if (folder === dirname(folder))
      throw new Failure('Unexpected', 'deploy/ is missing from this installation.');
  }
}

export function programFile(): string {
  return join(cloneFolder(), 'dist', 'scripts', 'permafrost.js');
}
