import type { PartName } from '../backups/parts.js';
import type { PlannedPart } from '../backups/report.js';
import type { Host } from '../hosts/host.js';
import type { Instance } from './instance.js';
import { redisCli } from './redis-cli.js';

/** The parts with their bytes at the source, where they are known without reading everything. @throws what `redisCli` throws. */
export async function sourceSizes(
  host: Host,
  instance: Pick<Instance, 'database' | 'redis'>,
  parts: readonly PartName[],
): Promise<PlannedPart[]> {
  return Promise.all(
    parts.map(async (name) => {
      if (name === 'database') return { name, sourceBytes: instance.database.sizeBytes };
      if (name === 'redis') {
        const info = await redisCli(host, instance.redis, ['INFO', 'memory']);
        return { name, sourceBytes: Number(/^used_memory:(\d+)/m.exec(info)?.[1] ?? 0) };
      }
      return { name };
    }),
  );
}
