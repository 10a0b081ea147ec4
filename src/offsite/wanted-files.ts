import type { Manifest, ManifestEntry, ManifestPart } from '../backups/manifest.js';
import type { PartName } from '../backups/parts.js';
import { deltaEntry, dumpEntry } from './dump-files.js';
import { indexEntry } from './tree-layout.js';

/** Which files a part of a backup gives on its way out, and what each is called where it comes to. Pure. */

/** A file that is to come. */
export interface WantedFile {
  readonly as: 'dump' | 'roles' | 'secrets' | 'rdb' | 'mediaIndex';
  readonly part: ManifestPart;
  /** As it must be in the end: a dump that comes as a delta is put together. */
  readonly entry: ManifestEntry;
  /** Below the folder that all of it comes to. */
  readonly file: string;
}

/** The file that a part cannot be without. */
export const mainFile = {
  database: 'dump',
  secrets: 'secrets',
  media: 'mediaIndex',
  redis: 'rdb',
} as const satisfies Record<PartName, WantedFile['as']>;

/** Names of entries come from the off-site, and none of them may lead out of its folder. */
const plainName = /^[\w-][\w.-]*$/;

/** Those that the manifest names. */
export function wantedOf({ database }: Manifest, part: ManifestPart): WantedFile[] {
  const named = part.entries.filter(({ path }) => plainName.test(path));
  switch (part.name) {
    case 'database': {
      const delta = database?.delta;
      const sent = named.find(({ path }) => path === (delta === undefined ? dumpEntry : deltaEntry));
      const roles = named.find(({ path }) => path !== dumpEntry && path !== deltaEntry);
      const whole =
        delta === undefined ? sent : { path: dumpEntry, bytes: delta.dumpBytes, sha256: delta.dumpSha256 };
      return [
        ...(sent === undefined || whole === undefined
          ? []
          : [{ as: 'dump' as const, part, entry: whole, file: `database/${dumpEntry}` }]),
        ...(roles === undefined
          ? []
          : [{ as: 'roles' as const, part, entry: roles, file: `database/${roles.path}` }]),
      ];
    }
    case 'media': {
      const index = named.find(({ path }) => path === indexEntry);
      return index === undefined ? [] : [{ as: 'mediaIndex', part, entry: index, file: indexEntry }];
    }
    case 'secrets':
      return named.slice(0, 1).map((entry) => ({ as: 'secrets', part, entry, file: 'secrets/secrets.tar' }));
    case 'redis':
      return named.slice(0, 1).map((entry) => ({ as: 'rdb', part, entry, file: 'redis/dump.rdb' }));
  }
}
