import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { openPlace } from '../places/open.js';
import type { Kind, Place } from '../places/place.js';
import { bytesIn, settled } from '../watch/folder.js';
import type { Ground } from './script.js';
import type { Way } from './way.js';

/** The tool alone on the media that Permafrost takes: no index, no read-back, and the services are left alone. */
export function bareTool({ instance, folder }: Ground, kind: Kind): Way {
  const media = join(instance.root, 'public', 'system');
  let opened: Promise<Place> | undefined;
  return {
    async night() {
      opened ??= openPlace(kind, folder);
      const place = await opened;
      const before = await bytesIn(place.folder);
      await settled();
      const began = performance.now();
      await place.copy(media, 'cache');
      const wallMs = performance.now() - began;
      return { wallMs, bytesAdded: (await bytesIn(place.folder)) - before };
    },
    async clear() {
      await (await opened?.catch(() => undefined))?.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
