import type { Manifest, ManifestEntry } from '../backups/manifest.js';
import type { MediaRecord } from '../backups/media-index.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { fetchEntry } from './dump-files.js';
import { hashFolder } from './hash-folder.js';
import { readJudgedManifest } from './manifest-check.js';
import type { Offsite, StoredPartRef } from './offsite.js';

/** Taking a backup out of one off-site so that it can be put on another: nothing goes on that is not what it was. */

/** Where the files come together; the off-site that they come from is read there too. */
export interface Stage {
  readonly host: Host;
  readonly source: Offsite;
  readonly report: (bytes: number) => void;
}

/**
 * The manifest of a sealed backup, when it is to be trusted.
 *
 * @returns `signed`: by a key that this machine trusts.
 * @throws Failure `NotFound` when it is not sealed there, `VerifyFailed` when its manifest is not what it should be,
 *   `Refused` when it is signed and no key is known here.
 */
export async function trustedManifest(
  source: Offsite,
  backup: string,
  place: Parameters<typeof readJudgedManifest>[2],
): Promise<{ manifest: Manifest; signed: boolean }> {
  const { sealed } = await source.list();
  const stored = sealed.find((one) => one.backup === backup);
  if (stored === undefined) {
    throw new Failure(
      'NotFound',
      `there is no sealed backup ${backup} of ${place.instance} on ${source.name}`,
      {
        next: `permafrost list ${place.instance} shows what is where`,
      },
    );
  }
  const { manifest, problems, next, signature } = await readJudgedManifest(source, stored, place);
  const [problem] = problems;
  if (manifest === undefined || problem !== undefined)
    throw damaged(source, `the manifest of ${backup} ${problem ?? 'cannot be read'}`, next);
  if (signature === 'not judged' && manifest.signature !== undefined)
    throw new Failure(
      'Refused',
      `the manifest of ${backup} on ${source.name} is signed, and this machine knows no key to judge it by: what it copies it would sign unseen`,
      {
        next: `copy it on the machine that made it, or name a copy of the signing.pub in that machine's state folder in trustedKeys`,
      },
    );
  return { manifest, signed: signature === 'valid' };
}

/** Puts entries of a part into a folder, each compared with the manifest. @throws Failure `VerifyFailed` */
export async function stageEntries(
  { host, source, report }: Stage,
  ref: StoredPartRef,
  entries: readonly ManifestEntry[],
  folder: string,
): Promise<void> {
  for (const entry of entries) {
    const file = `${folder}/${entry.path}`;
    await host.run(['sh', '-c', 'umask 077; mkdir -p -- "$(dirname -- "$1")"', 'sh', file]);
    const problem = await fetchEntry(source, { ref, entry }, host, file, report);
    if (problem !== undefined)
      throw damaged(source, `${entry.path} of ${ref.backup} (${ref.name}) ${problem}`);
  }
}

/**
 * Puts media into a folder, each compared with the index, with the times and rights that the index gives them, and its
 * owner where we are root.
 *
 * @throws Failure `VerifyFailed` when one does not come, or comes as another.
 */
export async function stageMedia(
  { host, source, report }: Stage,
  ref: StoredPartRef,
  wanted: readonly MediaRecord[],
  folder: string,
): Promise<void> {
  if (wanted.length === 0) return;
  await source.fetchMedia(ref, wanted, folder);
  const left = new Map(wanted.map((record) => [record.path, record]));
  for await (const { path, sha256 } of hashFolder(host, 'login', folder)) {
    const record = left.get(path);
    if (record?.sha256 !== sha256) continue;
    left.delete(path);
    report(record.size);
  }
  const [missing] = left.keys();
  if (missing !== undefined) {
    const more = left.size > 1 ? ` and ${String(left.size - 1)} more media files` : '';
    throw damaged(source, `${missing}${more} of ${ref.backup} (media) did not come, or came back changed`);
  }
  const stdin = Buffer.concat(
    wanted.flatMap(({ mtime, mode, uid, gid, pathBytes }) => [
      Buffer.from(`${mtime} ${mode.toString(8)} ${String(uid)} ${String(gid)} `),
      ...[pathBytes, Buffer.from('\0')],
    ]),
  );
  await host.run(['perl', '-e', setAttributes, folder], { stdin, timeoutMs: 3_600_000 });
}

function damaged(source: Offsite, what: string, next?: string): Failure {
  return new Failure('VerifyFailed', `off-site ${source.name}: ${what}`, {
    next: next ?? 'nothing was sealed; copy it from another off-site that has it (--from NAME)',
  });
}

/**
 * Argument: folder. stdin: `<mtime> <mode, octal> <uid> <gid> <path>` NUL … Perl's own utime knows no nanoseconds, so
 * utimensat(2) is called by its number, and touch(1) where that is not known.
 */
const setAttributes = String.raw`
chdir $ARGV[0] or die "$ARGV[0]: $!\n";
my %numbers = (x86_64 => 280, aarch64 => 88);
my $utimensat = $numbers{(split ' ', qx(uname -m))[0]};
local $/ = "\0";
while (defined(my $line = <STDIN>)) {
    chomp $line;
    my ($mtime, $mode, $uid, $gid, $path) = split / /, $line, 5;
    $mode = oct $mode;
    if ($> == 0) { chown $uid, $gid, $path or die "$path: $!\n" } else { $mode |= 0600 }
    chmod $mode, $path or die "$path: $!\n";
    my ($seconds, $nanoseconds) = split /\./, $mtime;
    if ($utimensat) {
        syscall($utimensat, -100, $path, pack('q4', ($seconds, $nanoseconds) x 2), 0) == 0 or die "$path: $!\n";
    } else { system('touch', '-m', '-d', "\@$mtime", '--', "./$path") == 0 or die "$path: its time cannot be set\n" }
}`;
