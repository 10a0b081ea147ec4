import type { BackupId } from '../backups/id.js';
import type { PartName } from '../backups/parts.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import type { Offsite } from '../offsite/offsite.js';
import { withOwnScratch } from '../offsite/own-scratch.js';
import { type Checked, type Finding, verifyCopy as verify } from '../offsite/verify.js';
import { tell } from './activity.js';
import { mediaFacts } from './media.js';
import { capturedEntries, storedParts } from './offsites.js';
import { changedAtSource, capturedMedia } from './captured-media.js';
import { needFacts, type Spool } from './spool.js';
import { walkTonight } from './walk.js';

export interface Verification {
  copy: Offsite;
  domain: string;
  backup: BackupId;
  /** The machine that reads, and a private folder there. */
  reader: { host: Host; scratch: string };
  /** The instance's. */
  host: Host;
  spool: Spool;
  parts: readonly PartName[];
  /** Shares of the media to read back, 0 to 1. */
  share: { new: number; old: number };
}

/** Findings that a message names; more are counted. */
const namedFindings = 5;

/**
 * Reads a copy back right after it was sent and compares it with what was captured on the host.
 *
 * @returns what was read, and the media that users deleted or changed before they could be copied.
 * @throws Failure `VerifyFailed` naming parts and paths that are not what was sent.
 */
export async function verifyCopy(
  verification: Verification,
): Promise<{ checked: Checked; changedMeanwhile: readonly string[] }> {
  const { copy, host, spool, parts, backup, domain, reader } = verification;
  const stored = await storedParts(host, spool, backup, copy.name, parts);
  const entries = await Promise.all(
    [...stored].map(async ([part, { ref }]) =>
      (await capturedEntries(host, spool, part)).map((entry) => ({ ref, entry })),
    ),
  );
  const media = stored.get('media')?.ref;
  const database = stored.get('database')?.ref;
  const expected = {
    entries: entries.flat(),
    ...(media === undefined ? {} : { media: await expectedMedia(verification, media) }),
  };
  const { checked, findings, changedMeanwhile, damaged } = await withOwnScratch(reader, (scratch) =>
    verify(copy, expected, {
      scratch,
      tell: (progress) => {
        tell({ subject: copy.name, ...progress });
      },
    }),
  );
  const mended = media !== undefined && damaged.length > 0 && (await mend(copy, media, damaged));
  const report = () => {
    tell({});
  };
  const walk =
    database && (await walkTonight({ ...{ host, spool, domain, copy, reader, report }, ref: database }));
  const all = [...findings, ...(walk?.findings ?? [])];
  if (all.length > 0) throw verifyFailed(copy.name, all, mended);
  const { files = 0, bytes = 0 } = walk?.checked ?? {};
  return { checked: { files: checked.files + files, bytes: checked.bytes + bytes }, changedMeanwhile };
}

async function expectedMedia(verification: Verification, ref: Parameters<Offsite['listMedia']>[0]) {
  const { host, spool } = verification;
  const { root } = await needFacts(host, spool, 'media', mediaFacts);
  return {
    ref,
    files: await capturedMedia(verification),
    changedAtSource: changedAtSource(host, spool, root),
  };
}

/** Takes damaged files of a pool away, so that the next night sends them again. What that fails with hides no finding. */
async function mend(
  copy: Offsite,
  ref: Parameters<Offsite['listMedia']>[0],
  damaged: readonly string[],
): Promise<boolean> {
  if (copy.mend === undefined) return false;
  try {
    await copy.mend(ref, damaged);
    return true;
  } catch (error) {
    if (error instanceof Failure) return false;
    throw error;
  }
}

function verifyFailed(offsite: string, findings: readonly Finding[], mended: boolean): Failure {
  const named = findings
    .slice(0, namedFindings)
    .map(({ part, path, problem }) => `${part}: ${path === undefined ? '' : `${path} `}${problem}`);
  const more = findings.length - named.length;
  return new Failure(
    'VerifyFailed',
    `what came back from ${offsite} is not what was sent: ${named.join('; ')}${more > 0 ? ` and ${String(more)} more` : ''}`,
    {
      next: `nothing was sealed on ${offsite}; check the off-site (a disk, a provider), then run the backup again${mended ? ': it sends the damaged media anew' : ''}`,
    },
  );
}
