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
    if [ -r "$path" ]; then printf '%s\\0%s\\0' "$pattern" "$path"
    elif [ -e "$path" ] || [ -L "$path" ]; then printf 'closed\\0%s\\0' "$path"; fi
  done
done
exit 0`;

const hasPattern = /[*?[]/;

/**
 * Finds the media folder (where the configuration or the env file says) and expands the extra files: nginx's sites and
 * the units' own files under /etc first, then the configured ones.
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
  const { root, extraFiles } = config.mastodon;
  const wanted = mediaFolder(config, env);
  const detected = [
    ...looked.nginx,
    ...units.flatMap((unit) => [...unit.files, ...unit.environmentFiles]),
  ].filter((path) => path.startsWith('/etc/') || path.startsWith(`${root}/`));
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
  const closed = found.filter(([key]) => key === 'closed').map(([, path]) => path);
  const unmatched = extraFiles.filter((pattern) => !found.some(([key]) => key === pattern));
  const hidden = asRoot
    ? [
        ...closed,
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
  const paths = found.filter(([key]) => key !== 'media' && key !== 'closed').map(([, path]) => path);
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
    ],
  };
}

/** Of these, those that are there. */
async function existing(host: Host, paths: readonly string[]): Promise<string[]> {
  if (paths.length === 0) return [];
  const { stdout } = await host.run(['stat', '-c', '%n', '--', ...paths], {
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
function mediaFolder(config: InstanceConfig, env: ReadonlyMap<string, string>): string | null {
  const { media, root } = config.mastodon;
  if (media !== undefined) return media === 'none' ? null : media;
  if (['S3_ENABLED', 'SWIFT_ENABLED', 'AZURE_ENABLED'].some((name) => env.get(name) === 'true')) return null;
  const path = (env.get('PAPERCLIP_ROOT_PATH') ?? '').replace(/^:rails_root/, root);
  if (path === '') return `${root}/public/system`;
  return path.startsWith('/') ? path : `${root}/${path}`;
}
