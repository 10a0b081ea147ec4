import { timeOfBackup } from '../backups/id.js';
import { type Manifest, readManifest } from '../backups/manifest.js';
import { type SignatureState, signatureOf } from '../backups/signature.js';
import { Failure } from '../errors.js';
import { damageOf } from './damage.js';
import type { Offsite, StoredBackup } from './offsite.js';
import type { TrustedKeys } from './trusted-keys.js';

/** What is known of a manifest before it is read: where it lies, and who may have made it. */
export interface ManifestPlace {
  readonly offsite: string;
  readonly instance: string;
  readonly stored: Pick<StoredBackup, 'backup' | 'dependsOn'>;
  readonly trusted: TrustedKeys;
}

export interface JudgedManifest {
  /** Undefined when it cannot be read at all. */
  readonly manifest: Manifest | undefined;
  /** What makes it not the manifest of this backup, in words that go on after "the manifest". */
  readonly problems: readonly string[];
  /** What to do about the first of them. */
  readonly next: string;
  readonly signature: SignatureState | 'not judged';
}

/** Versions before this one did not sign. */
const signingSince = [0, 3] as const;

const elsewhere = 'compare it with another off-site: permafrost verify --from NAME';

/** Judges a manifest as it came from an off-site: whether it is one, says what it should, and is signed by one of ours. */
export function judgeManifest(text: string, place: ManifestPlace): JudgedManifest {
  const { offsite, instance, stored, trusted } = place;
  const where = `of ${stored.backup} on ${offsite}`;
  let manifest: Manifest;
  try {
    manifest = readManifest(text, where);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const problem = error.message.replace(`the manifest ${where} `, '');
    return {
      manifest: undefined,
      problems: [problem],
      next: error.next ?? elsewhere,
      signature: 'not judged',
    };
  }
  const signature = trusted.keys.length === 0 ? 'not judged' : signatureOf(JSON.parse(text), trusted.keys);
  const { copy, database } = manifest;
  const problems = [
    ...signatureProblems(signature, manifest, trusted.signsSince),
    ...(manifest.backup === stored.backup ? [] : [`is that of another backup, ${manifest.backup}`]),
    ...(manifest.instance === instance ? [] : [`is that of another instance, ${manifest.instance}`]),
    ...(copy.offsite === offsite ? [] : [`is that of the copy on another off-site, ${copy.offsite}`]),
    ...(database === undefined || database.delta?.full === stored.dependsOn
      ? []
      : [
          `says that its database needs ${database.delta?.full ?? 'no other backup'}, and its mark says ${stored.dependsOn ?? 'none'}`,
        ]),
  ];
  return { manifest, problems, next: nextOf(signature, manifest, offsite), signature };
}

function signatureProblems(
  signature: JudgedManifest['signature'],
  { permafrost, backup, signature: made }: Manifest,
  signsSince: Date | undefined,
): string[] {
  switch (signature) {
    case 'broken':
      return ['was changed after it was sealed: its signature does not fit'];
    case 'unknown key':
      return [`is signed by a key that this machine does not trust (${made?.key ?? ''})`];
    case 'unsigned':
      if (signs(permafrost)) return [`is not signed, although Permafrost ${permafrost} signs`];
      // Whoever takes a signature away can write any version; not a time before the key that we know.
      if (signsSince === undefined)
        return ['is not signed, and since when its maker signs is not known here'];
      return timeOfBackup(backup) < signsSince
        ? []
        : ['is not signed, although this machine signs since before it was made'];
    default:
      return [];
  }
}

function nextOf(signature: JudgedManifest['signature'], { copy }: Manifest, offsite: string): string {
  if (signature === 'unknown key')
    return 'if another machine of yours made it, name a copy of the signing.pub in its state folder in trustedKeys; if none did, somebody else writes to this off-site';
  if (copy.offsite !== offsite)
    return `was ${copy.offsite} renamed in the configuration? Give it its old name back; else ${elsewhere}`;
  return elsewhere;
}

function signs(permafrost: string): boolean {
  const [major = 0, minor = 0] = permafrost.split('.').map(Number);
  return major > signingSince[0] || (major === signingSince[0] && minor >= signingSince[1]);
}

/**
 * Reads and judges the manifest of a sealed backup. What the off-site itself finds broken about it is a problem like any.
 *
 * @param read how its text is got: from the off-site itself, unless said otherwise.
 * @throws Failure when the off-site cannot be asked.
 */
export async function readJudgedManifest(
  copy: Offsite,
  stored: StoredBackup,
  place: Pick<ManifestPlace, 'instance' | 'trusted'>,
  read: () => Promise<string> = () => copy.readManifest(stored),
): Promise<JudgedManifest> {
  const text = await damageOf(async () => ({ text: await read() }));
  if (typeof text === 'string')
    return {
      manifest: undefined,
      problems: [`cannot be read (${text})`],
      next: elsewhere,
      signature: 'not judged',
    };
  return judgeManifest(text.text, { ...place, offsite: copy.name, stored });
}
