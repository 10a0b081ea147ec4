/**
 * What is done with lists of a million files, on the host that has them: bash, sort, find, and Perl with nothing beyond
 * Debian's `perl-base`. Lists are sorted bytewise and merged line by line, so memory stays flat. A list's lines:
 *
 * ```
 * pool     <sha256> <bytes>
 * wanted   <sha256> <bytes> <mtime> <- | \> <path>        the path as the index has it; `\`: with escapes
 * ```
 */

/** Reads a media index from stdin and prints a line of `wanted` for each file; ends with 65 when it is not whole. */
const readIndex = String.raw`
my ($n, $sum, $end, @meta) = (0, 0, 0);
sub broken { print STDERR "the media index is not whole: $_[0]\n"; exit 65 }
(<STDIN> // '') eq "# permafrost media index 1\n" or broken('its first line is another');
while (<STDIN>) {
    if (/^# (\d+) (-?\d+\.\d+) [0-7]{3,4} \d+ \d+$/) { @meta = ($1, $2) }
    elsif (/^# end (\d+) (\d+)$/) { $end = $1 == $n && $2 == $sum }
    elsif (/^#/) { }
    elsif (@meta && /^(\\?)([0-9a-f]{64})  (.+)$/) {
        print "$2 $meta[0] $meta[1] ", $1 || '-', " $3\n";
        $n++; $sum += $meta[0]; @meta = ();
    } else { broken("line $.") }
}
$end or broken('its end is missing');
close STDOUT or exit 1;`;

/** Makes a line of \`pool\` of each line of a listing; what is not ours is left out. */
const readPool = String.raw`print "$3 $1\n" if m{^(\d+)\t([0-9a-f]{2})/(\2[0-9a-f]{62})$}`;

/** Files `pool` and `wanted`: prints the lines of `wanted` that the pool lacks. */
const lacking = String.raw`
my ($last, $there) = ('', 0);
open(my $pool, '<:raw', $ARGV[0]) && open(my $wanted, '<:raw', $ARGV[1]) or die "a list cannot be read: $!\n";
my $have = <$pool>;
while (my $want = <$wanted>) {
    my ($sha, $size) = $want =~ /^(\S+) (\d+) / or die "a list is not what it should be\n";
    if ($sha ne $last) {
        ($last, $there) = ($sha, 0);
        $have = <$pool> while defined $have && substr($have, 0, 64) lt $sha;
        while (defined $have && substr($have, 0, 64) eq $sha) { $there = 1 if $have eq "$sha $size\n"; $have = <$pool> }
    }
    print $want unless $there;
}
close STDOUT or die "$!\n";`;

/** Says on stderr how many contents there are in lines of `wanted` from stdin, and how many bytes. */
const countContents = String.raw`
my ($files, $bytes, $last) = (0, 0, '');
while (<STDIN>) { my ($sha, $size) = split / /; next if $sha eq $last; $last = $sha; $files++; $bytes += $size }
print STDERR qq({"files":$files,"bytes":$bytes}\n);`;

/**
 * $1 work folder, $2 index, $3 `readIndex`, $4 `readPool`, $5 `lacking`, $6 `countContents`, $7… lists the pool.
 * Leaves `<work>/need`, sorted; says how many files and bytes, each content once.
 */
const findNeed = `
set -e -o pipefail; umask 077; export LC_ALL=C
work=$1 index=$2 read_index=$3 read_pool=$4 lacking=$5 count=$6; shift 6
mkdir -p -- "$work"; cd -- "$work"
sorted() { sort -S 64M -T .; }
perl -e "$read_index" < "$index" | sorted > wanted
"$@" | perl -ne "$read_pool" | sorted > pool
perl -e "$lacking" pool wanted > need.new
# What an attempt before this one may have sent stays needed: its doubtful names have still to be found.
[ ! -e sending ] || { sort -m -u need need.new > both; mv -f both need.new; }
mv -f need.new need; rm -f wanted pool
perl -e "$count" < need`;

export function findNeedArgv(at: { work: string; index: string; listPool: readonly string[] }): string[] {
  return [
    ...['bash', '-c', findNeed, 'bash', at.work, at.index],
    ...[readIndex, readPool, lacking, countContents],
    ...at.listPool,
  ];
}

/**
 * Arguments: media folder. In the work folder: `need`, and stdin, which has `<sha256> <bytes> <mtime>` of every file that a
 * link of the farm leads to, sorted.
 *
 * The farm, `farm/<2>/<sha256>`, gets a link for each content of `need` that lies unchanged under any of its paths, and
 * loses the others. Those that had been linked to something else while they may have been sent are noted in `doubtful`:
 * what is under their name there need not be what it says.
 */
const tendFarm = String.raw`
my ($root) = @ARGV;
my $sending = -e 'sending';
my ($files, $bytes, $dropped) = (0, 0, 0);
my %meant = (n => "\n", r => "\r", '\\' => '\\');
# A new farm gets its name when it is complete.
my $fresh = !-d 'farm';
my $farm = $fresh ? 'farm.new' : 'farm';
open(my $need, '<:raw', 'need') && open(my $doubtful, '>>:raw', 'doubtful') or die "the work folder cannot be used: $!\n";
my $have = <STDIN>;
my ($line, %made) = (scalar <$need>);
mkdir $farm;
while (defined $line) {
    my ($sha, $size) = $line =~ /^(\S+) (\d+) /;
    my @known;
    while (defined $line && substr($line, 0, 64) eq $sha) {
        my (undef, undef, $mtime, $mark, $path) = split / /, $line, 5;
        chomp $path;
        $path =~ s{\\([nr\\])}{$meant{$1}}ge if $mark eq '\\';
        push @known, [$mtime, "$root/$path"];
        $line = <$need>;
    }
    my $name = substr($sha, 0, 2) . "/$sha";
    $have = <STDIN> while defined $have && substr($have, 0, 64) lt $sha;
    my $good = 0;
    while (defined $have && substr($have, 0, 64) eq $sha) {
        my (undef, $is, $time) = split / /, $have;
        $time =~ s/(\.\d{9})\d*\n?$/$1/;
        $good = 1 if $is == $size && grep { $_->[0] eq $time } @known;
        $have = <STDIN>;
    }
    unless ($good) {
        if (defined readlink "$farm/$name") {
            unlink "$farm/$name" or die "$farm/$name: $!\n";
            print $doubtful "$name\n" if $sending;
        }
        mkdir "$farm/" . substr($sha, 0, 2) unless $made{substr($sha, 0, 2)}++;
        for my $file (@known) {
            next unless unchanged($size, @$file);
            symlink $file->[1], "$farm/$name" or die "$farm/$name: $!\n";
            $good = 1;
            last;
        }
    }
    if ($good) { $files++; $bytes += $size } else { $dropped++ }
}
close $doubtful or die "$!\n";
!$fresh || rename($farm, 'farm') or die "$farm: $!\n";
# Perl's stat has no nanoseconds without Time::HiRes, and find's list is a process for each file: only for those in doubt.
sub unchanged {
    my ($size, $mtime, $path) = @_;
    my @is = lstat $path or return 0;
    return 0 unless -f _ && $is[7] == $size && $is[9] == int $mtime;
    return 1 if $fresh;
    open(my $said, '-|', 'find', $path, '-maxdepth', 0, '-printf', '%T@') or return 0;
    my $time = <$said> // '';
    $time =~ s/(\.\d{9})\d*$/$1/;
    return $time eq $mtime;
}
my ($noted, $again, %seen) = (0, 0);
open(my $notes, '<:raw', 'doubtful') or die "$!\n";
while (my $name = <$notes>) {
    chomp $name;
    next if $seen{$name}++;
    $noted++;
    $again++ if defined readlink "farm/$name";
}
print STDERR qq({"files":$files,"bytes":$bytes,"dropped":$dropped,"doubtful":$noted,"again":$again}\n);`;

/**
 * $1 work folder, $2 media folder, $3 `tendFarm`, $4… sends the farm.
 * The send's exit code; the last line of stderr says how the farm is afterwards.
 */
const sendFarm = `
set -o pipefail; umask 077; export LC_ALL=C
work=$1 root=$2 tend=$3; shift 3
cd -- "$work" && rm -rf farm.new || exit 1
tend() {
  { [ ! -d farm ] || find -L farm -mindepth 2 -type f -printf '%f %s %T@\\n'; } | sort -S 64M -T . > linked &&
    perl -e "$tend" "$root" < linked
}
tend 2> tended || { cat tended >&2; exit 1; }
: > sending
"$@"; code=$?
tend 2> tended || { cat tended >&2; exit 1; }
cat tended >&2
exit $code`;

export function sendFarmArgv(at: { work: string; root: string; send: readonly string[] }): string[] {
  return ['bash', '-c', sendFarm, 'bash', at.work, at.root, tendFarm, ...at.send];
}

/**
 * $1 work folder, with `indexes`: a line `<stored name> [<key>]` for each index; $2 folder with what is known by a key;
 * $3 program zstd, $4 `readIndex`, $5 `readPool`, $6 how many words fetch, those words, the words that list the pool.
 * Fetched are the files that `one` names into `fetched`. Leaves `garbage`: names of the pool that no index has.
 */
const findGarbage = `
set -e -o pipefail; umask 077; export LC_ALL=C
work=$1 known=$2 zstd=$3 read_index=$4 read_pool=$5 count=$6; shift 6
fetch=("\${@:1:count}"); shift "$count"
cd -- "$work"
sorted() { sort -u -S 64M -T .; }
: > named
while read -r -u 4 name key; do
  if [ -n "$key" ] && "$zstd" -q -dc 2> /dev/null -- "$known/$key.zst" > more; then
    touch -c -- "$known/$key.zst"
  else
    rm -rf fetched; mkdir fetched; printf '%s\\n' "$name" > one
    "\${fetch[@]}"
    [ -f "fetched/$name" ] || { echo "$name is not there" >&2; exit 65; }
    case $name in *.zst) open=("$zstd" -q -dc) ;; *) open=(cat) ;; esac
    "\${open[@]}" < "fetched/$name" > index || { echo "$name cannot be opened" >&2; exit 65; }
    perl -e "$read_index" < index | cut -d ' ' -f 1 | sorted > more || { echo "$name cannot be read" >&2; exit 65; }
    [ -z "$key" ] || { mkdir -p -- "$known" && "$zstd" -q -f -o "$known/$key.new" more && mv -f -- "$known/$key.new" "$known/$key.zst"; }
  fi
  sort -m -u named more > both; mv -f both named
done 4< indexes
rm -rf fetched index more
[ ! -d "$known" ] || find "$known" -type f -mtime +40 -delete
"$@" > listed
perl -ne "$read_pool" < listed | sorted > pool
cut -d ' ' -f 1 pool | sort -u | comm -23 - named | sed 's/^\\(..\\)/\\1\\/\\1/' > garbage.new
mv -f garbage.new garbage; rm -f listed named pool
printf '{"files":%d}\\n' "$(wc -l < garbage)" >&2`;

export const indexBroken = 65;

export function findGarbageArgv(at: {
  work: string;
  known: string;
  zstd: string;
  fetch: readonly string[];
  listPool: readonly string[];
}): string[] {
  const { work, known, zstd, fetch, listPool } = at;
  return [
    ...['bash', '-c', findGarbage, 'bash', work, known, zstd, readIndex, readPool, String(fetch.length)],
    ...fetch,
    ...listPool,
  ];
}

/**
 * Puts fetched files under their paths. Arguments: the folder with the fetched, by their names in the pool; the folder to
 * put them in. stdin: `<sha256>` NUL `<path>` NUL … One that is wanted under several paths is copied; a file that was not
 * fetched is passed over.
 */
const placeFiles = String.raw`
use File::Path ();
my ($from, $into) = @ARGV;
local $/ = "\0";
my (@want, %left);
while (defined(my $sha = <STDIN>)) {
    my $path = <STDIN> // last;
    chomp($sha, $path);
    $sha =~ /^[0-9a-f]{64}$/ && $path ne '' && $path !~ m{^/|(?:^|/)\.\.?(?:/|$)} or die "not a path below the media: $path\n";
    push @want, [$sha, $path];
    $left{$sha}++;
}
umask 077;
for (@want) {
    my ($sha, $path) = @$_;
    my $file = "$from/" . substr($sha, 0, 2) . "/$sha";
    my $last = --$left{$sha} == 0;
    next unless -f $file;
    my ($folder) = "$into/$path" =~ m{^(.*)/}s;
    File::Path::make_path($folder) unless -d $folder;
    if ($last) { rename($file, "$into/$path") or die "$path: $!\n" }
    else { system('cp', '--', $file, "$into/$path") == 0 or die "$path cannot be copied\n" }
}`;

export function placeFilesArgv(from: string, into: string): string[] {
  return ['perl', '-e', placeFiles, from, into];
}
