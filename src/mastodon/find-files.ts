import type { InstanceConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { readPairs, type Survey } from './survey.js';
import type { Unit } from './units.js';

/** The media folder and the extra files, as they are on the host. */
export interface FoundFiles {
  /** Without symbolic links; null when there is no media on this host. */
  readonly media: string | null;
  readonly extraFiles: string[];
  readonly warnings: string[];
}

/** With IFS empty an unquoted variable is expanded as one pattern, spaces and all. */
const script = `IFS=
media=$1; shift
if [ -n "$media" ] && [ -d "$media" ]; then printf 'media\\0%s\\0' "$(realpath -- "$media")"; fi
for pattern do
  for path in $pattern; do
    if [ -r "$path" ]; then
      printf '%s\\0%s\\0' "$pattern" "$path"
      [ ! -d "$path" ] || find -H "$path" -type l ! -xtype f -printf 'loose\\0%p\\0'
    elif [ -e "$path" ] || [ -L "$path" ]; then printf 'closed\\0%s\\0' "$path"; fi
  done
done
exit 0`;

const hasPattern = /[*?[]/;

/**
 * Finds the media folder (where the configuration or the env file says) and expands the extra files: nginx's sites, the
 * units' own files and their environment files first, wherever they lie, then the configured ones.
 *
 * @throws Failure `Refused` when the media folder or a configured file is not there; what `Host.run` throws.
 */
export async function findFiles(
  host: Host,
  config: InstanceConfig,
  looked: Pick<Survey, 'appUser' | 'nginx'>,
  env: ReadonlyMap<string, string>,
  units: readonly Unit[],
): Promise<FoundFiles> {
  const { extraFiles } = config.mastodon;
  const wanted = mediaFolder(config, env);
  const detected = [...looked.nginx, ...units.flatMap((unit) => [...unit.files, ...unit.environmentFiles])];
  const { stdout } = await host.run(['sh', '-c', script, 'sh', wanted ?? '', ...detected, ...extraFiles], {
    as: { user: looked.appUser },
    cwd: '/',
  });
  const found = readPairs(stdout);
  const media = found[0]?.[0] === 'media' ? found[0][1] : null;
  if (wanted !== null && media === null) {
    throw new Failure('Refused', `There is no media folder ${wanted} on ${host.name}.`, {
      host: host.name,
      next: 'Say where it is with mastodon.media in the configuration, or `media: none` when it lives in object storage.',
    });
  }
  // Root reads what is closed to Mastodon's user; any other login reads as that user.
  const { root: asRoot } = await host.facts();
  const all = (name: string) => found.filter(([key]) => key === name).map(([, path]) => path);
  const closed = all('closed');
  const reached = asRoot ? await existing(host, closed) : [];
  const dangling = asRoot ? closed.filter((path) => !reached.includes(path)) : [];
  const unmatched = extraFiles.filter((pattern) => !found.some(([key]) => key === pattern));
  const hidden = asRoot
    ? [
        ...reached,
        ...(await existing(
          host,
          unmatched.filter((pattern) => !hasPattern.test(pattern)),
        )),
      ]
    : [];
  const absent = unmatched.filter((path) => !hasPattern.test(path) && !hidden.includes(path));
  if (absent.length > 0) {
    throw new Failure('Refused', `There is no ${absent.join(', ')} on ${host.name} that can be read.`, {
      host: host.name,
      next: `Correct mastodon.extraFiles in the configuration${asRoot ? '' : `, or let ${looked.appUser} read it`}.`,
    });
  }
  const paths = found.filter(([key]) => !['media', 'closed', 'loose'].includes(key)).map(([, path]) => path);
  return {
    media,
    extraFiles: withoutNested([...paths, ...hidden]),
    warnings: [
      ...unmatched
        .filter((pattern) => hasPattern.test(pattern) && !(asRoot && closed.length > 0))
        .map((pattern) => `Nothing on ${host.name} matches ${pattern} (mastodon.extraFiles).`),
      ...(asRoot ? [] : closed).map(
        (path) => `${path} on ${host.name} is closed to ${looked.appUser} and is not in the backup.`,
      ),
      ...dangling.map((path) => `${path} on ${host.name} is a link that leads nowhere.`),
      ...all('loose').map(
        (path) =>
          `${path} on ${host.name} is a link to no file and is not in the backup; what it leads to can be named in mastodon.extraFiles.`,
      ),
    ],
  };
}

/** Of these, those that are there, and lead somewhere where they are links. */
async function existing(host: Host, paths: readonly string[]): Promise<string[]> {
  if (paths.length === 0) return [];
  const { stdout } = await host.run(['stat', '-L', '-c', '%n', '--', ...paths], {
    okCodes: [0, 1],
  });
  return stdout.split('\n').filter((line) => line !== '');
}

function withoutNested(paths: readonly string[]): string[] {
  const unique = [...new Set(paths)].sort();
  return unique.filter((path) => !unique.some((folder) => folder !== path && path.startsWith(`${folder}/`)));
}

/**
 * S3 before Swift before Azure before the file system (mastodon/mastodon config/initializers/paperclip.rb); there
 * PAPERCLIP_ROOT_PATH may begin with `:rails_root`.
 */
export function mediaFolder(config: InstanceConfig, env: ReadonlyMap<string, string>): string | null {
  const { media, root } = config.mastodon;
  if (media !== undefined) return media === 'none' ? null : media;
  if (['S3_ENABLED', 'SWIFT_ENABLED', 'AZURE_ENABLED'].some((name) => env.get(name) === 'true')) return null;
  const path = (env.get('PAPERCLIP_ROOT_PATH') ?? '').replace(/^:rails_root/, root);
  if (path === '') return `${root}/public/system`;
  return path.startsWith('/') ? path : `${root}/${path}`;
}
