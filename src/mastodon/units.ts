import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';

/** A systemd service that runs an instance. */
export interface Unit {
  /** With its suffix: `mastodon-streaming@4000.service`. */
  readonly name: string;
  /** Running now; for an umbrella: started. */
  readonly active: boolean;
  /** Comes back by itself after a boot: enabled, or wanted by one of the found that is. */
  readonly enabled: boolean;
  /** Variables of `Environment=`, which win over Mastodon's env file. Their values may be secret. */
  readonly environment: ReadonlyMap<string, string>;
  /** Paths of `EnvironmentFile=`. */
  readonly environmentFiles: readonly string[];
  /** The unit file and its drop-ins. */
  readonly files: readonly string[];
}

/** One service as `systemctl show` prints it: a property may be printed several times. */
export type Properties = ReadonlyMap<string, readonly string[]>;

const shown =
  'Id,LoadState,ActiveState,UnitFileState,Type,RemainAfterExit,WorkingDirectory,' +
  'Wants,Requires,ConsistsOf,Environment,EnvironmentFiles,FragmentPath,DropInPaths,User,StateDirectory';

const showNames = `xargs -d '\\n' sh -c 'systemctl show --no-pager -p ${shown} -- "$@"; echo' sh`;

/** Every service, template instances included; a template itself cannot be shown. Needs no rights. `parseUnits` reads it. */
export const showAllUnits = `export LC_ALL=C SYSTEMD_COLORS=0
{ systemctl list-unit-files --type=service --no-legend --no-pager --plain
  systemctl list-units --all --type=service --no-legend --no-pager --plain
} | sed 's/^[[:space:]]*//; s/[[:space:]].*//' | grep '[.]service$' | grep -v '@[.]service$' | sort -u | ${showNames}`;

/**
 * The systemd services that run the instance in one of `roots` (the same folder by all its names): those that work in
 * it, instances of templates included (`mastodon-streaming@4000`), and umbrella services that only want these. With
 * `named`, those of the configuration instead (`.service` may be left out), and what they want of the instance.
 *
 * A one-shot service without RemainAfterExit (a nightly `tootctl`) does not run the instance and is left out.
 *
 * @returns by name; empty when none was found.
 * @throws Failure `Refused` when a named unit does not exist; what `Host.run` throws.
 */
export async function findUnits(
  host: Host,
  roots: readonly string[],
  named?: readonly string[],
): Promise<Unit[]> {
  const all = parseUnits((await host.run(['sh', '-c', showAllUnits], { okCodes: [0, 1, 123] })).stdout);
  const names = named?.map((name) => (/\.[a-z]+$/.test(name) ? name : `${name}.service`));
  const wanted = [...all]
    .filter(([name]) => names?.includes(name) ?? name.startsWith('mastodon'))
    .flatMap(([, unit]) => relatives(unit));
  const unseen = [...new Set([...wanted, ...(names ?? [])])].filter(
    (name) => name.endsWith('.service') && !all.has(name),
  );
  if (unseen.length > 0) {
    const more = await host.run(['sh', '-c', showNames], {
      stdin: unseen.join('\n') + '\n',
      okCodes: [0, 1, 123],
    });
    for (const [name, unit] of parseUnits(more.stdout)) all.set(name, unit);
  }
  const absent = names?.filter((name) => value(all.get(name), 'LoadState') !== 'loaded') ?? [];
  if (absent.length > 0) {
    throw new Failure('Refused', `There is no systemd unit ${absent.join(', ')} on ${host.name}.`, {
      host: host.name,
      next: 'Correct mastodon.services.units in the configuration, or leave it out: the units are found by the folder that they work in.',
    });
  }
  return selectUnits(all, roots, names);
}

/** Reads what `systemctl show` printed for several units (blank lines between them). */
export function parseUnits(output: string): Map<string, Properties> {
  const units = new Map<string, Properties>();
  for (const block of output.split(/\n{2,}/)) {
    const properties = new Map<string, string[]>();
    for (const line of block.split('\n')) {
      const [, name, text] = /^([A-Za-z]+)=(.*)$/.exec(line) ?? [];
      if (name === undefined || text === undefined) continue;
      properties.set(name, [...(properties.get(name) ?? []), text]);
    }
    const id = value(properties, 'Id');
    if (id !== '') units.set(id, properties);
  }
  return units;
}

/** Which of the units run the instance in one of `roots`: see `findUnits`. Pure. */
export function selectUnits(
  all: ReadonlyMap<string, Properties>,
  roots: readonly string[],
  named?: readonly string[],
): Unit[] {
  const loaded = [...all].filter(([, unit]) => value(unit, 'LoadState') === 'loaded');
  const workers = new Set(loaded.filter(([, unit]) => serves(unit, roots)).map(([name]) => name));
  const chosen = new Set<string>();
  for (const [name, unit] of loaded) {
    const members = relatives(unit).filter((member) => workers.has(member));
    if (named ? named.includes(name) : workers.has(name) || isUmbrella(name, unit, members)) {
      chosen.add(name);
      members.forEach((member) => chosen.add(member));
    }
  }
  const found = loaded.filter(([name]) => chosen.has(name));
  const enabled = new Set(found.filter(([, unit]) => isEnabled(unit)).map(([name]) => name));
  const wantedByEnabled = new Set(
    found.filter(([name]) => enabled.has(name)).flatMap(([, unit]) => relatives(unit, ['Wants', 'Requires'])),
  );
  return found
    .map(([name, unit]) => ({
      name,
      active: /^(?:active|activating|reloading)$/.test(value(unit, 'ActiveState')),
      enabled: enabled.has(name) || wantedByEnabled.has(name),
      environment: environmentOf(unit),
      environmentFiles: texts(unit, 'EnvironmentFiles').map((text) =>
        text.replace(/ \(ignore_errors=\w+\)$/, ''),
      ),
      files: [value(unit, 'FragmentPath'), ...words(value(unit, 'DropInPaths'))].filter(
        (path) => path !== '',
      ),
    }))
    .sort((one, other) => (one.name < other.name ? -1 : 1));
}

function serves(unit: Properties, roots: readonly string[]): boolean {
  const folder = servedFolder(unit);
  return folder !== null && roots.some((root) => folder === root || folder.startsWith(`${root}/`));
}

/** The folder that a service works in; null for one that has none, and for a one-shot task (a nightly `tootctl`). */
export function servedFolder(unit: Properties): string | null {
  if (value(unit, 'Type') === 'oneshot' && value(unit, 'RemainAfterExit') !== 'yes') return null;
  const folder = value(unit, 'WorkingDirectory')
    .replace(/^!/, '')
    .replace(/(?<=.)\/+$/, '');
  return folder === '' ? null : folder;
}

/**
 * `mastodon-streaming.service` does nothing but want `mastodon-streaming@4000.service`, which is part of it
 * (mastodon/mastodon dist/mastodon-streaming.service). A service of another name that wants Mastodon (a proxy) is not
 * of the instance.
 */
function isUmbrella(name: string, unit: Properties, members: readonly string[]): boolean {
  if (members.length === 0 || value(unit, 'WorkingDirectory') !== '') return false;
  const stem = name.replace(/\.service$/, '');
  return stem.startsWith('mastodon') || members.some((member) => member.startsWith(`${stem}@`));
}

function isEnabled(unit: Properties): boolean {
  return /^enabled/.test(value(unit, 'UnitFileState'));
}

function relatives(unit: Properties, kinds = ['Wants', 'Requires', 'ConsistsOf']): string[] {
  return kinds.flatMap((name) => words(value(unit, name)));
}

function environmentOf(unit: Properties): Map<string, string> {
  return new Map(
    words(value(unit, 'Environment')).map((assignment) => {
      const at = assignment.indexOf('=');
      return [assignment.slice(0, at), assignment.slice(at + 1)];
    }),
  );
}

/** Splits a list as systemctl prints it: separated by spaces, an entry with odd characters in double quotes. */
function words(text: string): string[] {
  return [...text.matchAll(/"((?:\\.|[^"\\])*)"|(\S+)/g)].map(([, quoted, bare]) =>
    quoted === undefined ? (bare ?? '') : quoted.replace(/\\(.)/g, '$1'),
  );
}

function texts(unit: Properties | undefined, name: string): readonly string[] {
  return (unit?.get(name) ?? []).filter((text) => text !== '');
}

/** The first value of a property; '' when there is none. */
export function value(unit: Properties | undefined, name: string): string {
  return texts(unit, name)[0] ?? '';
}
