import { hostname } from 'node:os';
import { version } from '../version.js';

/** What a worker calls itself to Temporal: whose it is, of which version, and which process of which machine. */
export function workerIdentity(): string {
  return `permafrost ${version()} ${String(process.pid)}@${hostname()}`;
}

/** The version in a worker's identity; null for one that is not Permafrost's, or older than this. */
export function versionOfWorker(identity: string): string | null {
  return /^permafrost (\S+) \d+@/.exec(identity)?.[1] ?? null;
}
