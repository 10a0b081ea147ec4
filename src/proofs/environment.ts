import { posix } from 'node:path';
import type { Manifest } from '../backups/manifest.js';
import type { Host } from '../hosts/host.js';
import { environmentOf, envSources, webUnit } from '../mastodon/environment.js';
import { archivedTexts } from '../mastodon/secrets-archive.js';
import { readUnitFiles } from './unit-files.js';

/**
 * The environment that the web process would have of the archive of secrets alone; nothing of a living server counts: the
 * env file, what its systemd unit and that one's drop-ins set, and the `EnvironmentFile=`s of these.
 *
 * @param archive `secrets.tar`, absolute on the host, read by the login user.
 * @param envFile as the configuration names it; where it is not in the archive, the one file of its name is taken.
 * @returns null when there is no env file in it. Holds secrets: never log or return it whole.
 */
export async function archivedEnvironment(
  host: Host,
  archive: string,
  manifest: Manifest,
  envFile: string,
): Promise<ReadonlyMap<string, string> | null> {
  const paths = manifest.secrets?.files.map(({ path }) => path) ?? [];
  const alike = paths.filter((path) => posix.basename(path) === posix.basename(envFile));
  const own = paths.includes(envFile) ? envFile : alike.length === 1 ? alike[0] : undefined;
  if (own === undefined) return null;
  const unitFiles = paths.filter((path) => /\.service(?:\.d\/[^/]+\.conf)?$/.test(path));
  const units = readUnitFiles(await archivedTexts(host, archive, unitFiles));
  const web = webUnit(units);
  const named = (web?.environmentFiles ?? []).flatMap((pattern) => matching(paths, pattern));
  const sources = envSources(own, web, named);
  return environmentOf(sources, await archivedTexts(host, archive, [...new Set([own, ...named])]));
}

/** The archived files that a pattern of systemd's stands for (glob(7), which does not cross slashes). */
function matching(paths: readonly string[], pattern: string): string[] {
  const literal = pattern
    .replace(/[.+^${}()|\\]/g, '\\$&')
    .replace(/\*/g, '[^/]*')
    .replace(/\?/g, '[^/]');
  const form = new RegExp(`^${literal}$`);
  return paths.filter((path) => path === pattern || form.test(path)).sort();
}
