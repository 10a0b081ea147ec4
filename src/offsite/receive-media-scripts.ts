import type { MediaRecord } from '../backups/media-index.js';
import { Failure } from '../errors.js';
import type { Host, Identity } from '../hosts/host.js';
import type { Owners } from './received-index.js';

/**
 * What is done with the media on the host that gets them: bash and Perl with nothing beyond Debian's `perl-base`. A
 * million files never pass through memory, and no file is a round trip of its own.
 */

/**
 * Argument: the media's folder. stdin: their index. Prints `<state> <sha256> <bytes> <mtime> <mode> <uid> <gid> <path>` and a
 * NUL for each file of it that is not there as it should be, with the word `all` for each; `- <files> <bytes>`: so many
 * were passed over before.
 *
 * m: it is not there. u: with its size, and another time. d: something else is there. p: it is there.
 */
const compareScript = String.raw`
use Errno qw(ENOENT ENOTDIR);
my ($into, $all) = @ARGV;
my %meant = (n => "\n", r => "\r", '\\' => '\\');
my ($files, $bytes, $told, @meta) = (0, 0, 0);
sub passed { print "- $files $bytes\0" if $files != $told; $told = $files }
while (my $line = <STDIN>) {
    if ($line =~ /^# (\d+) (-?\d+\.\d+) ([0-7]+) (\d+) (\d+)$/) { @meta = ($1, $2, $3, $4, $5); next }
    next if $line =~ /^#/ || !@meta;
    $line =~ /^(\\?)([0-9a-f]{64})  (.+)$/s or die "line $. of the index cannot be read\n";
    my ($escaped, $sha, $path) = ($1, $2, $3);
    chomp $path;
    $path =~ s{\\([nr\\])}{$meant{$1}}ge if $escaped;
    $path !~ m{^/|(?:^|/)\.\.?(?:/|$)} or die "not a path below the media: $path\n";
    my @is = lstat "$into/$path";
    my $in_the_way = !@is && $! == ENOTDIR;
    @is || $in_the_way || $! == ENOENT or die "$into/$path: $!\n";
    my $state = $in_the_way ? 'd' : !@is ? 'm' : !-f _ || $is[7] != $meta[0] ? 'd' : $is[9] != int $meta[1] ? 'u' : 'p';
    if ($state eq 'p') { $files++; $bytes += $meta[0]; passed() if $files - $told >= 10_000 }
    next if $state eq 'p' && !$all;
    passed();
    print "$state $sha @meta $path\0";
    @meta = ();
}
passed();
close STDOUT or die "$!\n";`;

/** @param as who looks into the media's folder; the index is read by the login user. */
export async function compareArgv(
  host: Host,
  as: Identity,
  { index, into, all }: { index: string; into: string; all: boolean },
): Promise<string[]> {
  const compare = await host.argvAs(['perl', '-e', compareScript, into, all ? 'all' : ''], as);
  return ['sh', '-c', 'index=$1; shift; exec "$@" < "$index"', 'sh', index, ...compare];
}

/** Makes a folder and those above it, each as the one that it is in. */
const makeFolders = String.raw`
sub made {
    my ($folder) = @_;
    return if $there{$folder}++ || -d $folder;
    my ($parent) = $folder =~ m{^(.*)/}s;
    made($parent);
    my @of = stat $parent or die "$parent: $!\n";
    mkdir $folder, 0700 or ($! == EEXIST && -d $folder) or die "$folder: $!\n";
    if ($> == 0) { chown $of[4], $of[5], $folder or die "$folder: $!\n" }
    chmod $of[2] & 02775, $folder or die "$folder: $!\n";
}
`;

/** What begins the name of a folder where media wait for their place: indexes pass it over (`mastodon/media-index-script.ts`). */
export const incomingFolder = '.permafrost-incoming-';

/**
 * Arguments: the media's folder, made when it is not there; the name of a folder for what comes, on the same file system,
 * so that a file needs only be renamed: beside the media or, where these are a disk of their own, among them. Prints it.
 */
const incomingScript = String.raw`
use Cwd ();
use Errno qw(EEXIST);
my ($into, $name) = @ARGV;
my %there;
${makeFolders}made($into);
my $root = Cwd::realpath($into);
my ($beside) = $root =~ m{^(.*)/[^/]+$}s;
$beside = '/' if $beside eq '';
my $in = (stat $beside)[0] == (stat $root)[0] && -w $beside ? $beside : $root;
mkdir "$in/$name", 0700 or die "$in/$name: $!\n";
print "$in/$name";`;

export function incomingArgv(into: string, name: string): string[] {
  return ['perl', '-e', incomingScript, into, name];
}

/** Prints the folders on the way to the media's that are not there, a NUL after each, the deepest first. */
export function missingArgv(into: string): string[] {
  const script = 'f=$1; until [ -d "$f" ]; do printf "%s\\0" "$f"; f=$(dirname -- "$f"); done';
  return ['sh', '-c', script, 'sh', into];
}

/** Prints the folders that `incomingArgv` may choose, a NUL after each. */
export function incomingPlacesArgv(into: string): string[] {
  const script = '[ ! -d "$1" ] || { realpath -z -- "$1" && realpath -z -- "$1/.."; }';
  return ['sh', '-c', script, 'sh', into];
}

/**
 * Arguments: the folder with what came, the media's folder. stdin: what `sha256sum -z` says of what came. Descriptor 3:
 * `<sha256> <mtime> <mode, octal> <uid> <gid> <path>` and a NUL for each file. What came as it should gets its rights and
 * times, and the group if its owner is in that; from root, also its owner.
 *
 * Prints `<what> <path>` and a NUL. n: it did not come. c: it came as another. r: it is ready for its name, and the path
 * begins with its inode and a space. d: a folder that is going to be made, each after the one that it is in.
 */
const readyScript = String.raw`
my ($from, $into) = @ARGV;
my %numbers = (x86_64 => 280, aarch64 => 88);
my $utimensat = $numbers{(split ' ', qx(uname -m))[0]};
open(my $wanted, '<&=3') or die "$!\n";
local $/ = "\0";
my (%came, %there);
while (my $line = <STDIN>) { chomp $line; $came{$2} = $1 if $line =~ m{^([0-9a-f]{64})  \./(.+)$}s }
sub said { print "$_[0] $_[1]\0" }
sub missing {
    my ($folder) = @_;
    return if $there{$folder}++ || -d "$into/$folder";
    missing($1) if $folder =~ m{^(.*)/}s;
    said('d', $folder);
}
while (defined(my $line = <$wanted>)) {
    chomp $line;
    my ($sha, $mtime, $mode, $uid, $gid, $path) = split / /, $line, 6;
    $path ne '' && $path !~ m{^/|(?:^|/)\.\.?(?:/|$)} or die "not a path below the media: $path\n";
    my $file = "$from/$path";
    unless (defined $came{$path}) { said('n', $path); next }
    if ($came{$path} ne $sha || -l $file) { said('c', $path); next }
    if ($> == 0) { chown $uid, $gid, $file or die "$path: $!\n" } else { chown -1, $gid, $file }
    chmod oct($mode) & 0777, $file or die "$path: $!\n";
    my ($seconds, $nanoseconds) = split /\./, $mtime;
    if ($utimensat) {
        syscall($utimensat, -100, $file, pack('q4', ($seconds, $nanoseconds) x 2), 0) == 0 or die "$path: $!\n";
    } else { system('touch', '-m', '-d', "\@$mtime", '--', $file) == 0 or die "$path: its time cannot be set\n" }
    missing($1) if $path =~ m{^(.*)/}s;
    said('r', (lstat $file)[1] . " $path");
}
close STDOUT or die "$!\n";`;

/** $1 what came, $2 the media's folder, $3 `readyScript`. All is on the disk before it has a name. */
const readyAll = `exec 3<&0 < /dev/null; set -o pipefail; export LC_ALL=C; cd -- "$1" && sync -f . || exit 1
find . -type f -print0 | xargs -0 -r sha256sum -z -- | perl -e "$3" "$1" "$2"`;

/**
 * Arguments: as above. stdin: paths, a NUL after each. Gives what is ready its name, which nothing else may have by then:
 * prints `e <path>` and a NUL where something has.
 */
const placeScript = String.raw`
use Errno qw(EEXIST EPERM EOPNOTSUPP EMLINK ENOSYS);
my ($from, $into) = @ARGV;
my %there;
${makeFolders}
local $/ = "\0";
sub said { print "$_[0] $_[1]\0" }
while (defined(my $path = <STDIN>)) {
    chomp $path;
    my ($file, $final) = ("$from/$path", "$into/$path");
    made($final =~ m{^(.*)/}s);
    next if link $file, $final;
    if ($! == EEXIST) { said('e', $path); next }
    # A file system without hard links; nobody else makes files of these names.
    grep { $! == $_ } EPERM, EOPNOTSUPP, EMLINK, ENOSYS or die "$final: $!\n";
    if (lstat $final) { said('e', $path); next }
    rename $file, $final or die "$final: $!\n";
}
close STDOUT or die "$!\n";`;

/**
 * Gives media that came their names.
 *
 * @param given.owners see `MediaToReceive`.
 * @param given.note is told what is going to be added before it is: see `MediaToReceive.noteAdded`.
 */
export async function placeMedia(
  host: Host,
  as: Identity,
  given: {
    from: string;
    into: string;
    records: readonly MediaRecord[];
    owners: Owners;
    note: (added: readonly Buffer[]) => Promise<void>;
  },
): Promise<Map<string, 'n' | 'c' | 'e'>> {
  const { from, into, records, owners, note } = given;
  const wanted = records.flatMap(({ sha256, mtime, mode, uid, gid, pathBytes }) => {
    const owner = owners(uid, gid);
    const words = [sha256, mtime, mode.toString(8), owner.uid, owner.gid].join(' ');
    return [Buffer.from(`${words} `), pathBytes, Buffer.from('\0')];
  });
  const problems = new Map<string, 'n' | 'c' | 'e'>();
  const told = await run(host, as, into, ['bash', '-c', readyAll, 'bash', from, into, readyScript], wanted);
  const ready: string[] = [];
  const added: Buffer[] = [];
  for (const line of told) {
    const [what, said] = [line[0], line.slice(2)];
    const path = what === 'r' ? said.slice(said.indexOf(' ') + 1) : said;
    const whole = Buffer.concat([Buffer.from(`${into}/`), Buffer.from(path, 'latin1')]);
    if (what === 'n' || what === 'c') problems.set(path, what);
    else if (what === 'd') added.push(addedFolder(whole));
    else if (what === 'r') {
      ready.push(path);
      added.push(Buffer.concat([Buffer.from(said.slice(0, said.indexOf(' ') + 1)), whole]));
    }
  }
  if (ready.length === 0) return problems;
  await note(added);
  const paths = ready.map((path) => Buffer.from(`${path}\0`, 'latin1'));
  for (const line of await run(host, as, into, ['perl', '-e', placeScript, from, into], paths))
    if (line.startsWith('e ')) problems.set(line.slice(2), 'e');
  return problems;
}

/** How a folder is noted that was not there. */
export function addedFolder(path: Buffer): Buffer {
  return Buffer.concat([Buffer.from('folder '), path]);
}

/** @returns what it says, in Latin-1, so that all of its bytes count. */
async function run(
  host: Host,
  as: Identity,
  into: string,
  argv: readonly string[],
  stdin: readonly Buffer[],
): Promise<string[]> {
  const program = await host.stream(argv, { as, stdin: Buffer.concat(stdin) });
  const chunks: Buffer[] = [];
  for await (const chunk of program.stdout as AsyncIterable<Buffer>) chunks.push(chunk);
  const { exitCode, stderr } = await program.completed;
  if (exitCode !== 0)
    throw new Failure(
      'CommandFailed',
      `media could not be put into ${into} on ${host.name}: ${stderr.trim().slice(-500)}`,
      { host: host.name, next: 'see the message; what is in place stays, and the next attempt goes on' },
    );
  return Buffer.concat(chunks).toString('latin1').split('\0').slice(0, -1);
}
