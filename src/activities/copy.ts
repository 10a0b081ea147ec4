import type { CopiedBackup, CopyPlan } from '../backups/copy-report.js';
import type { Manifest, ManifestPart } from '../backups/manifest.js';
import { signManifest } from '../backups/signature.js';
import { gigabytes } from '../backups/space.js';
import type { OffsiteConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { freeBytes } from '../hosts/space.js';
import type { Offsite, StoredPartRef } from '../offsite/offsite.js';
import { chooseBackup, offsiteOf, withOffsite } from '../offsite/read.js';
import { trustedManifest } from '../offsite/stage.js';
import { trustedKeys } from '../offsite/trusted-keys.js';
import { findFull } from '../offsite/whole-dump.js';
import { present } from '../present.js';
import { signingKey } from '../records/signing-key.js';
import { activity, report } from './activity.js';
import { copyMedia, copySmall, leastBatchBytes, readBack } from './copy-parts.js';
import {
  copyInput,
  needNote,
  readNote,
  requireHere,
  sourceOf,
  stageFolder,
  sweepStage,
  withSource,
  withTarget,
  writeNote,
} from './copy-stage.js';
import { type Ground, refuse } from './ground.js';
import { backupWordInput, instanceInput } from './inputs.js';
import { storedFacts, verifiedFacts } from './offsites.js';

/** Bringing a sealed backup from one off-site to another, through a private folder on this machine. */
export function copyActivities(ground: Ground) {
  return {
    /** What has to be copied. Refuses here, before anything was fetched or sent. */
    findForCopy: activity(
      copyInput.extend({ backup: backupWordInput }),
      async ({ instance, backup: word, ...names }): Promise<CopyPlan> => {
        const { configuration, config } = await ground.open(instance);
        const [from, to] = [offsiteOf(configuration, names.from), offsiteOf(configuration, names.to)];
        if (from.name === to.name)
          throw refuse(`${from.name} is both off-sites`, 'give another one with --to');
        const place = { instance, trusted: await trustedKeys(configuration) };
        const open = <T>(offsite: OffsiteConfig, use: (offsite: Offsite, host: Host) => Promise<T>) =>
          withOffsite(configuration, config, offsite, (opened, { host }) => use(opened, host), 'copy');

        return open(from, async (source, host) => {
          requireHere(source, host);
          const listed = (await source.list()).sealed.map((stored) => stored.backup);
          const backup = chooseBackup(listed, word, { domain: instance, unread: [] });
          return open(to, async (target, targetHost) => {
            requireHere(target, targetHost);
            await target.check();
            const there = new Set((await target.list()).sealed.map((stored) => stored.backup));
            if (there.has(backup)) return { backup, copies: [] };
            if (!source.opens) throw closed(source);
            const { manifest } = await trustedManifest(source, backup, place);
            const full = await fullFor(manifest, there, source, target, place);
            const manifests = full === undefined ? [manifest] : [full, manifest];
            await requireRoom(host, await stageFolder(host, instance), manifests, to);
            return {
              backup,
              copies: manifests.map((one) => one.backup),
            };
          });
        });
      },
    ),

    /** Fetches the parts, compares them with the manifest, and puts them there. What has arrived is not sent again. */
    copyParts: activity(copyInput, async (step) =>
      withTarget(ground, step, (target) =>
        withSource(target, async (copy) => {
          for (const part of copy.manifest.parts) {
            report({ subject: `${part.name} to ${step.to}` });
            if ((await readNote(copy, `stored-${part.name}`, storedFacts)) !== undefined) continue;
            const stored = await (part.name === 'media' ? copyMedia(copy, part) : copySmall(copy, part));
            await writeNote(copy, `stored-${part.name}`, stored);
          }
        }),
      ),
    ),

    /** Reads the copy back: all that was sent, and of the media that had been there before the usual share. */
    verifyCopied: activity(copyInput, async (step): Promise<CopiedBackup['checked']> =>
      withTarget(ground, step, async (copy) => {
        report({ subject: step.to });
        const { manifest } = await sourceOf(copy);
        const checked = await readBack(copy, manifest);
        await writeNote(copy, 'verified', { verifiedAt: new Date().toISOString(), checked });
        return checked;
      }),
    ),

    /** Writes the manifest, the last act: from here on the backup exists there. */
    sealCopied: activity(copyInput, async (step): Promise<{ bytesAdded: number }> =>
      withTarget(ground, step, async (copy) => {
        const { target, configuration } = copy;
        report({ subject: step.to });
        const { manifest, signed } = await sourceOf(copy);
        const { verifiedAt, checked } = await needNote(copy, 'verified', verifiedFacts);
        const { changedMeanwhile } = manifest.copy;
        const parts: ManifestPart[] = [];
        let bytesAdded = 0;
        for (const part of manifest.parts) {
          const stored = await needNote(copy, `stored-${part.name}`, storedFacts);
          parts.push(withRef(part, present(stored.ref)));
          bytesAdded += stored.bytesAdded;
        }
        const copied: Manifest = {
          ...manifest,
          ...{ sealedAt: new Date().toISOString(), parts },
          copy: {
            ...{ offsite: target.name, kind: target.kind, copiedFrom: step.from },
            ...{ verifiedAt, checked, bytesAdded },
            ...present({ changedMeanwhile }),
          },
        };
        delete copied.signature; // of the copy on the other off-site
        // What nobody had signed must not look as if we had.
        const sealed = signed ? signManifest(copied, await signingKey(configuration.state)) : copied;
        return { bytesAdded: bytesAdded + (await target.seal(sealed, true)) };
      }),
    ),

    /** Removes what a copy has left on this machine. */
    sweepCopy: activity(instanceInput, async ({ instance }) =>
      sweepStage(await ground.configuration(), instance),
    ),
  };
}

/** The full dump's backup, when the database is a delta and the other off-site lacks what it needs. */
async function fullFor(
  { backup, database }: Manifest,
  there: ReadonlySet<string>,
  source: Offsite,
  target: Offsite,
  place: Parameters<typeof trustedManifest>[2],
): Promise<Manifest | undefined> {
  const delta = database?.delta;
  if (delta === undefined) return undefined;
  if (!there.has(delta.full)) return (await trustedManifest(source, delta.full, place)).manifest;
  const found = await findFull(target, delta);
  if (!('finding' in found)) return undefined;
  throw new Failure(
    'VerifyFailed',
    `off-site ${target.name}: ${backup} needs the full dump of ${delta.full}, which ${found.finding.problem}`,
    { next: `copy a backup with a full dump (permafrost show BACKUP says which), or wait for the next one` },
  );
}

/** The part as it lies on another off-site. */
function withRef(
  part: ManifestPart,
  { snapshot, root, index, files }: Omit<StoredPartRef, 'backup' | 'name'>,
): ManifestPart {
  const { name, bytes, files: count, sha256, entries } = part;
  return {
    ...{ name, bytes, files: count, entries },
    ...present({ sha256, snapshot, root, index, stored: files === undefined ? undefined : [...files] }),
  };
}

function closed({ name }: Offsite): Failure {
  return refuse(
    `${name} is encrypted, and there is no key here that opens it`,
    `give ageIdentityFile of ${name}, the private key of age, in the configuration on this machine`,
  );
}

async function requireRoom(
  host: Host,
  folder: string,
  manifests: readonly Manifest[],
  { kind, name }: OffsiteConfig,
): Promise<void> {
  // Where files are encrypted one by one, what is sent lies beside what was fetched; media go to a pool by batches.
  const pooled = kind !== 'restic';
  const needs = manifests.flatMap(({ parts }) =>
    parts.map((part) => {
      if (part.name !== 'media') return part.bytes * (pooled ? 2 : 1);
      return pooled ? Math.min(part.bytes, leastBatchBytes) : part.bytes;
    }),
  );
  const need = Math.max(0, ...needs) + (64 << 20);
  const free = await freeBytes(host, folder);
  if (free >= need) return;
  throw refuse(
    `${gigabytes(need)} are needed under ${folder} to copy to ${name}, and ${gigabytes(free)} are free there`,
    'make room there, or put the state folder on another disk',
    host,
  );
}
