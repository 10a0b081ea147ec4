import type { OffsiteConfig } from './configuration.js';

/**
 * The files on this machine that an off-site's configuration names, by their key there.
 *
 * @returns `secret` for what nobody else may read; `opens` for what only a reader of backups needs.
 */
export function offsiteFiles(
  offsite: OffsiteConfig,
): { key: string; path: string; secret: boolean; opens: boolean }[] {
  const secret: Record<string, string | undefined> = {};
  const open: Record<string, string | undefined> = {};
  switch (offsite.kind) {
    case 'restic':
      secret['passwordFile'] = offsite.passwordFile;
      secret['identityFile'] = offsite.identityFile;
      secret['environmentFile'] = offsite.environmentFile;
      open['knownHosts'] = offsite.knownHosts;
      break;
    case 'rclone':
      secret['configFile'] = offsite.configFile;
      secret['configPasswordFile'] = offsite.configPasswordFile;
      break;
    case 'rsync':
      secret['identityFile'] = offsite.identityFile;
      secret['ageIdentityFile'] = offsite.ageIdentityFile;
      open['knownHosts'] = offsite.knownHosts;
      break;
  }
  return [...Object.entries(secret), ...Object.entries(open)].flatMap(([key, path]) =>
    path === undefined ? [] : [{ key, path, secret: key in secret, opens: key === 'ageIdentityFile' }],
  );
}
