import type { OffsiteConfig } from '../config/configuration.js';
import type { ToolName } from '../hosts/tools.js';
import type { Offsite, OffsitePlace } from './offsite.js';
import { rcloneTransport } from './rclone.js';
import { resticOffsite } from './restic.js';
import { rsyncTransport } from './rsync.js';
import { treeOffsite } from './tree.js';

/**
 * An off-site of whichever kind, at a place where it is filled or read. A kind of one's own is a case here and a file
 * beside this one: docs/adding-an-offsite.md.
 *
 * @param opens the key that opens what is encrypted for others (age) is at that place.
 */
export function openOffsite(
  config: OffsiteConfig,
  place: OffsitePlace,
  domain: string,
  { opens = false }: { opens?: boolean } = {},
): Offsite {
  switch (config.kind) {
    case 'restic':
      return resticOffsite(config, place, domain);
    case 'rclone':
      return treeOffsite(config.name, place, rcloneTransport(config, place, domain), { recipients: [] });
    case 'rsync':
      return treeOffsite(config.name, place, rsyncTransport(config, place, domain), {
        recipients: config.encrypted ? config.recipients : [],
        ...(opens && config.ageIdentityFile !== undefined
          ? { identity: `${place.keys}/${config.name}.age-identity` }
          : {}),
      });
  }
}

/** The programs that a host needs to fill an off-site, or to read it. */
export function toolsFor(config: OffsiteConfig): ToolName[] {
  switch (config.kind) {
    case 'restic':
      return ['restic'];
    case 'rclone':
      return ['rclone', 'zstd'];
    case 'rsync':
      return ['rsync', 'zstd', ...(config.encrypted ? (['age'] as const) : [])];
  }
}

/** Whether the tool calls the `ssh` of the machine that it runs on. */
export function reachedBySsh(config: OffsiteConfig): boolean {
  return config.kind === 'rsync' || (config.kind === 'restic' && config.repository.startsWith('sftp:'));
}
