import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import type { SampleInstance } from '../../sample/instance.js';
import { bytesIn, settled } from '../watch/folder.js';
import { ServicesWatch, startServices, stopServices } from '../watch/services.js';
import type { Way } from './way.js';

/** Where a script works, and on what. */
export interface Ground {
  readonly instance: SampleInstance;
  /** The way's own. */
  readonly folder: string;
}

/** A script that stops the services, does its work, and starts them again. */
export function scriptedWay(
  { instance, folder }: Ground,
  steps: { prepare?: () => Promise<unknown>; work: () => Promise<unknown> },
  /** Where its backups are. */
  place: string,
): Way {
  let isPrepared = false;
  return {
    async night() {
      if (!isPrepared) {
        await mkdir(place, { recursive: true });
        await steps.prepare?.();
        isPrepared = true;
      }
      const before = await bytesIn(place);
      await settled();
      const watch = new ServicesWatch(instance);
      const began = performance.now();
      let [wallMs, outageMs] = [0, 0];
      try {
        await stopServices(instance);
        await steps.work().finally(() => startServices(instance));
        wallMs = performance.now() - began;
      } finally {
        outageMs = await watch.end();
      }
      return { wallMs, outageMs, bytesAdded: (await bytesIn(place)) - before };
    },
    clear: () => rm(folder, { recursive: true, force: true }),
  };
}

/** `pg_dump -Fc`, as everybody writes it. */
export async function dumpTo(file: string, { database, servers }: SampleInstance): Promise<void> {
  const { host, port, user, name, password } = database;
  const words = ['-Fc', '-h', host, '-p', String(port), '-U', user, '-f', file, name];
  await execa(join(servers.postgres.binaries, 'pg_dump'), words, { env: { PGPASSWORD: password } });
}
