import type { OffsiteConfig } from '../config/configuration.js';
import { keyFiles, withKeys } from './keys.js';
import type { Offsite, OffsitePlace } from './offsite.js';
import { openOffsite } from './open.js';

/**
 * Opens an off-site from a host for a look that leaves nothing there: the keys lie in memory while it lasts, and so does
 * the tool's cache.
 *
 * @param at the host, its programs, and whose host it is (null: this machine, see `withKeys`).
 */
export async function lookAtOffsite<T>(
  at: Pick<OffsitePlace, 'host' | 'tool'> & { readonly instance: string | null },
  offsite: OffsiteConfig,
  domain: string,
  use: (offsite: Offsite) => Promise<T>,
): Promise<T> {
  const { host, tool } = at;
  return withKeys(host, at.instance, await keyFiles(offsite), (keys) =>
    use(
      openOffsite(
        offsite,
        {
          ...{ host, as: 'login' as const, keys, tool },
          ...{ cache: `${keys}/cache`, work: `${keys}/work` },
        },
        domain,
      ),
    ),
  );
}
