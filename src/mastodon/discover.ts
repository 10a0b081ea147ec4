import { posix } from 'node:path';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { readPairs } from './survey.js';
import { parseUnits, type Properties, servedFolder, showAllUnits, value } from './units.js';

/** Where a Mastodon may be, before anybody has looked at it closely. */
export interface Candidate {
  /** Mastodon's folder; where the code lies in a read-only store (NixOS), the folder that its data lie in. */
  readonly root: string;
  readonly foundBy: 'units' | 'process' | 'env file' | 'you';
  /** Where it is not `ROOT/.env.production`. */
  readonly envFile?: string;
  /** The units that run it, with their suffix, where their WorkingDirectory does not say so. */
  readonly units?: readonly string[];
}

export interface Discovery {
  /** Those that run first. */
  readonly candidates: readonly Candidate[];
  /** All services of systemd, as `selectUnits` wants them; empty without systemd. */
  readonly units: ReadonlyMap<string, Properties>;
  /** Homes that the login user may not look into. */
  readonly closed: readonly string[];
  /** Pumas and Sidekiqs that run in containers, by the folder that they work in. */
  readonly contained: readonly string[];
}

/** Places in which the script below looks for an env file: for an operator who wonders why nothing was found. */
export const placesLookedAt = [
  'the WorkingDirectory of all systemd services',
  'the folders that Puma and Sidekiq run in',
  'every home, its live/ and mastodon/, /home/*/*, /var/www, /srv, /opt, /var/lib',
];

/**
 * Prints what it finds as a name and a value, a NUL after each; fields of a value are separated by tabs. `$@`: more
 * folders to look at. Where rights are missing it sees less.
 */
const script = `export LC_ALL=C
say() { printf '%s\\0%s\\0' "$1" "$2"; }
tab=$(printf '\\t')
mark() {
  if [ -f "$1/.env.production" ]; then kind=env
  elif [ -f "$1/lib/mastodon/version.rb" ]; then kind=code
  else return 0; fi
  say "$kind" "$1$tab$(realpath -- "$1")"
}
for given do mark "$given"; done
units=
if [ -d /run/systemd/system ]; then units=$(
${showAllUnits}
); fi
say units "$units"
printf '%s\\n' "$units" | sed -n 's/^WorkingDirectory=!\\{0,1\\}\\(\\/..*\\)$/\\1/p' | sort -u | while IFS= read -r folder; do
  mark "$folder"; mark "\${folder%/*}"
done
getent passwd | cut -d: -f6 | sort -u | while IFS= read -r home; do
  case $home in /|/bin|/dev|/proc|/sys|/usr|'') continue ;; esac
  for folder in "$home" "$home/live" "$home/mastodon" "$home/mastodon/live"; do mark "$folder"; done
done
for folder in /home/*/* /var/www/* /var/www/*/live /srv/* /srv/*/live /opt/* /opt/*/live /var/lib/*/live; do
  mark "$folder"
done
for home in /home/*; do if [ -d "$home" ] && [ ! -x "$home" ]; then say closed "$home"; fi; done
here=$(readlink /proc/self/ns/pid)
ruby=$(grep -lasE '^(puma|sidekiq) ' /proc/[0-9]*/cmdline)
find /proc -maxdepth 2 -path '/proc/[0-9]*/cwd' -printf '%h\\t%l\\n' 2>/dev/null | while IFS=$tab read -r proc cwd; do
  title=
  case "
$ruby
" in *"
$proc/cmdline
"*) title=ruby ;; esac
  case $cwd in /|'') continue ;; esac
  [ -n "$title" ] || [ -f "$cwd/.env.production" ] || continue
  # systemd's sandboxes share our process ids; a container has its own.
  space=$(readlink "$proc/ns/pid"); [ "\${space:-$here}" = "$here" ] && space=here || space=container
  say process "$title$tab$cwd$tab$space$tab$(cat "$proc/cgroup" 2>/dev/null | tr '\\n' ' ')"
  [ -z "$title" ] || mark "$cwd"
done
exit 0`;

/**
 * Looks for Mastodon servers on a host: by the folders that systemd's services work in, by the processes of Puma and
 * Sidekiq, and by a `.env.production` in the usual places. Read-only; one round trip, two where sudo says no.
 *
 * @param roots folders that somebody has named.
 * @throws Failure `NotFound` for a named folder that is none of Mastodon's; what `Host.run` throws.
 */
export async function discover(host: Host, roots: readonly string[] = []): Promise<Discovery> {
  const facts = await host.facts();
  const argv = ['sh', '-c', script, 'sh', ...roots];
  const options = { cwd: '/', maxOutputBytes: 16 << 20 };
  const look = () => host.run(argv, options);
  const { stdout } = await (facts.sudo
    ? host.run(argv, { ...options, as: 'privileged' }).catch((error: unknown) => {
        // sudo may allow no more than a backup needs.
        if (error instanceof Failure && error.type === 'HostUnreachable') throw error;
        return look();
      })
    : look());
  return readDiscovery(stdout, roots);
}

/** Reads what the script printed. Pure. */
export function readDiscovery(output: string, roots: readonly string[] = []): Discovery {
  const found = readPairs(output);
  const all = (name: string) => found.filter(([key]) => key === name).map(([, text]) => text.split('\t'));
  const units = parseUnits(found.find(([key]) => key === 'units')?.[1] ?? '');
  const folders = new Folders([...all('env'), ...all('code')]);
  const processes = all('process').map(([title = '', folder = '', space = '', cgroup = '']) => ({
    ruby: title !== '',
    folder,
    contained: space === 'container',
    unit: space === 'container' ? null : unitOf(cgroup),
  }));
  const named = roots.length === 0 ? undefined : roots.map((root) => root.replace(/(?<=.)\/+$/, ''));
  const candidates = new Map<string, Candidate>();
  const add = (candidate: Candidate) => {
    const key = folders.real(candidate.root);
    if (!candidates.has(key)) candidates.set(key, candidate);
  };
  for (const candidate of servedRoots(units, folders)) add(candidate);
  for (const { ruby, folder, contained } of processes) {
    if (ruby && !contained && folders.has(folder)) add({ root: folder, foundBy: 'process' });
  }
  for (const [folder = ''] of all('env')) add({ root: folder, foundBy: 'env file' });
  const chosen = named?.map((root): Candidate => {
    const found = candidates.get(folders.real(root));
    return found === undefined || found.foundBy === 'env file' ? { root, foundBy: 'you' } : found;
  }) ?? [...candidates.values()];
  return {
    candidates: chosen.map((candidate) => withUnits(candidate, processes, folders, units)),
    units,
    closed: all('closed').map(([home = '']) => home),
    contained: [...new Set(processes.flatMap((one) => (one.ruby && one.contained ? [one.folder] : [])))],
  };
}

/** Folders that hold an env file or Mastodon's code, by all their names. */
class Folders {
  readonly #real: ReadonlyMap<string, string>;

  constructor(marked: readonly (readonly string[])[]) {
    this.#real = new Map(marked.map(([name = '', real = '']) => [name, real]));
  }

  has(folder: string): boolean {
    return this.#real.has(folder) || [...this.#real.values()].includes(folder);
  }

  real(folder: string): string {
    return this.#real.get(folder) ?? folder;
  }
}

/** Folders that services work in: those that are Mastodon's, and closed ones of services that are named like it. */
function servedRoots(units: ReadonlyMap<string, Properties>, folders: Folders): Candidate[] {
  return [...units].flatMap(([name, unit]): Candidate[] => {
    const folder = servedFolder(unit);
    if (folder === null || !folder.startsWith('/') || value(unit, 'LoadState') !== 'loaded') return [];
    const root = [folder, posix.dirname(folder)].find((place) => folders.has(place));
    const named = /mastodon/.test(name) ? folder.replace(/\/streaming$/, '') : undefined;
    const found = root ?? named;
    if (found === undefined) return [];
    return [isStore(found) ? storedInstance(found, unit, units) : { root: found, foundBy: 'units' }];
  });
}

/** A store holds read-only code under a path that changes with every version. */
function isStore(folder: string): boolean {
  return /^\/(?:nix|gnu)\/store\//.test(folder);
}

/**
 * NixOS: the units work in the store, and what is backed up lies in their state folder, with the env file that NixOS
 * makes from the secrets (nixpkgs nixos/modules/services/web-apps/mastodon.nix).
 */
function storedInstance(store: string, unit: Properties, units: ReadonlyMap<string, Properties>): Candidate {
  const state = value(unit, 'StateDirectory').split(' ')[0] ?? '';
  const envFile = value(unit, 'EnvironmentFiles').replace(/ \(ignore_errors=\w+\)$/, '');
  const members = [...units].filter(([, other]) => servedFolder(other) === store).map(([name]) => name);
  return {
    root: posix.join('/var/lib', state === '' ? 'mastodon' : state),
    foundBy: 'units',
    ...(envFile === '' ? {} : { envFile }),
    units: members.sort(),
  };
}

/** Units that only say `cd` somewhere inside their command have no WorkingDirectory: their processes tell. */
function withUnits(
  candidate: Candidate,
  processes: readonly { folder: string; unit: string | null }[],
  folders: Folders,
  units: ReadonlyMap<string, Properties>,
): Candidate {
  if (candidate.foundBy === 'units') return candidate;
  const real = folders.real(candidate.root);
  const running = processes.flatMap(({ folder, unit }) =>
    unit !== null && units.has(unit) && [candidate.root, real].includes(folder) ? [unit] : [],
  );
  const found = [...new Set(running)].sort();
  return found.length === 0 ? candidate : { ...candidate, units: found };
}

/** `0::/system.slice/mastodon-web.service`; sessions and users' own services are none that a backup may stop. */
function unitOf(cgroup: string): string | null {
  if (cgroup.includes('/user.slice/')) return null;
  return /\/([^/\s]+\.service)(?:[/\s]|$)/.exec(cgroup)?.[1] ?? null;
}
