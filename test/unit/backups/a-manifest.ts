import type { Manifest } from '../../../src/backups/manifest.js';

/** A small manifest, of Redis alone, unsigned. */
export const aManifest: Manifest = {
  ...{ version: 1, permafrost: '0.3.0', backup: '20261122T031700Z', instance: 'example.social' },
  ...{ startedAt: '2026-11-22T03:17:00Z', sealedAt: '2026-11-22T03:19:00Z' },
  quiesce: { mode: 'brief', services: ['web'], downtimeMs: 812.5 },
  versions: { mastodon: '4.5.2', schema: null, postgresql: null, pgDump: null, redis: null },
  parts: [
    { name: 'redis', bytes: 1, files: 1, entries: [{ path: 'dump.rdb', bytes: 1, sha256: '0'.repeat(64) }] },
  ],
  omitted: [],
  copy: {
    ...{ offsite: 'vault', kind: 'restic', verifiedAt: '2026-11-22T03:18:00Z' },
    ...{ checked: { files: 1, bytes: 1 }, bytesAdded: 1 },
  },
  ...{ timings: [], warnings: ['ünïcode \u2028 and "quotes"'] },
};
