import type { Proof } from '../backups/check.js';
import type { MediaRecord } from '../backups/media-index.js';
import type { PartName } from '../backups/parts.js';
import { sizeText } from '../backups/space.js';
import type { Host } from '../hosts/host.js';
import type { Offsite } from '../offsite/offsite.js';
import type { Received } from '../offsite/receive.js';
import type { Scratch } from '../scratch/scratch.js';
import { firstOf, NotSeen, proveAll, Wrong } from './check.js';
import { mediaIndex, mediaSample } from './files-media.js';
import { redisDump } from './files-redis.js';
import { secretsArchive } from './files-secrets.js';

/** A backup that was fetched from an off-site onto a host. */
export interface FetchedBackup {
  readonly host: Host;
  readonly received: Received;
  readonly scratch: Scratch;
  /** The off-site that it came from, opened on `host`: a sample of the media is read back. */
  readonly copy: Offsite;
  /** Media files to read back at most; default 200. */
  readonly mediaSample?: number;
  /** What it throws, when nobody wants it any more, ends it. */
  readonly tell?: (progress: { subject?: string; files?: number; bytes?: number }) => void;
}

export interface ProvenFiles {
  readonly proof: Proof;
  /** What the sample of the media took: for the forecast. */
  readonly sample: SampleRead;
}

/** What was read back of the media, and how long that took, milliseconds. */
export interface SampleRead {
  files: number;
  bytes: number;
  ms: number;
}

/** What one check leaves to the next. */
export interface FilesAtHand extends FetchedBackup {
  /** Picked while the index was read. */
  chosen: MediaRecord[];
  readonly sample: SampleRead;
}

/**
 * Proves what was fetched: that it is what was sealed, whole, and can be used.
 *
 * @throws Failure when the host or the off-site cannot be reached; what `tell` throws.
 */
export async function proveFiles(given: FetchedBackup): Promise<ProvenFiles> {
  const at: FilesAtHand = { ...given, chosen: [], sample: { files: 0, bytes: 0, ms: 0 } };
  const look = (
    name: string,
    part: PartName | null,
    take: (at: FilesAtHand) => Promise<string> | string,
  ) => ({
    name,
    look: async () => {
      given.tell?.({ subject: name });
      if (part !== null && !given.received.manifest.parts.some((one) => one.name === part))
        throw new NotSeen(`${part} is not in this backup`);
      return take(at);
    },
  });
  const proof = await proveAll([
    look('manifest-signature', null, manifestSignature),
    look('part-hashes', null, partHashes),
    look('media-index', 'media', mediaIndex),
    look('media-sample', 'media', mediaSample),
    look('secrets-archive', 'secrets', secretsArchive),
    look('redis-dump', 'redis', redisDump),
  ]);
  return { proof, sample: at.sample };
}

/** The manifest says what it should, and one of our keys has signed it. */
function manifestSignature({ received, copy }: FilesAtHand): string {
  const { manifest, findings, signature } = received;
  const problems = findings.filter(({ part }) => part === 'manifest').map(({ problem }) => problem);
  if (problems.length > 0) throw new Wrong(`the manifest on ${copy.name} ${problems.join('; it ')}`);
  switch (signature) {
    case 'valid':
      return `signed by ${manifest.signature?.key ?? 'a key'}, which this machine trusts, and not changed since`;
    case 'unsigned':
      throw new NotSeen('it was sealed before this machine signed its manifests');
    case 'not judged':
      throw new NotSeen('no key is known here that manifests are signed with (trustedKeys)');
    default:
      throw new Wrong(`the signature of the manifest is ${signature}`);
  }
}

/** Every small part, read whole, has the SHA-256 that the manifest says. */
function partHashes({ received }: FilesAtHand): string {
  const findings = received.findings.filter(({ part }) => part !== 'manifest' && part !== 'media');
  if (findings.length > 0) {
    const named = findings.map(
      ({ part, path, problem }) => `${part}${path === undefined ? '' : ` (${path})`} ${problem}`,
    );
    throw new Wrong(`what came back is not what was sealed: ${firstOf(named)}`);
  }
  const { files, bytes } = received.checked;
  return `${String(files)} files with ${sizeText(bytes)}, read whole, have the SHA-256 of the manifest`;
}
