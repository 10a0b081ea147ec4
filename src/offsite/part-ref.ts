import type { BackupId } from '../backups/id.js';
import type { ManifestPart } from '../backups/manifest.js';
import { present } from '../present.js';
import type { StoredPartRef } from './offsite.js';

/** Where a part of a backup lies, by its manifest. */
export function refOf(backup: BackupId, part: ManifestPart): StoredPartRef {
  return {
    ...{ backup, name: part.name },
    ...present({ snapshot: part.snapshot, root: part.root, index: part.index, files: part.stored }),
  };
}
