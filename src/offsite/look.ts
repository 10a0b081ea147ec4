import type { OffsiteConfig } from '../config/configuration.js';
import type { Host } from '../hosts/host.js';
import { keyFiles, withKeys } from './keys.js';
import type { Offsite } from './offsite.js';
import { notYet } from './read.js';
import { resticOffsite } from './restic.js';

/**
 * Opens an off-site from a host for a look that leaves nothing there: the keys lie in memory while it lasts, and so does
 * the tool's cache.
 *
 * @param at the host, the tool's program on it, and whose host it is (null: this machine, see `withKeys`).
 * @throws Failure `ConfigInvalid` for a kind that is not supported yet; what `use` throws.
 */
export async function lookAtOffsite<T>(
  at: { readonly host: Host; readonly program: string; readonly instance: string | null },
  offsite: OffsiteConfig,
  domain: string,
  use: (offsite: Offsite) => Promise<T>,
): Promise<T> {
  if (offsite.kind !== 'restic') throw notYet(offsite);
  const { host, program } = at;
  return withKeys(host, at.instance, await keyFiles(offsite), (keys) =>
    use(resticOffsite(offsite, { host, as: 'login', keys, program, cache: `${keys}/cache` }, domain)),
  );
}
