/**
 * The program that makes a media index on the host that holds the media: Perl with nothing beyond Debian's `perl-base`
 * (no Digest::SHA, no Time::HiRes, no JSON::PP there), GNU find, sort and sha256sum, which every Debian and Ubuntu has.
 *
 * Memory stays flat however many files there are: find's list is sorted by sort (which spills to the output folder),
 * and merged line by line with the previous index and the database's list, both sorted the same way.
 * `media-index.ts` says what goes in and what comes out. No `${` and no backtick in here: this is a template literal.
 */
export const mediaIndexScript = String.raw`# Permafrost: makes a media index. perl FILE --root DIR --out DIR [--previous FILE] [--expected FILE] [--include-cache]
use strict;
use warnings;
use POSIX ();

my $HASHERS      = 2;           # sha256sum processes at once: two use a small server's disk well and leave it air
my $CHUNK_HASHES = 200;         # files on one command line
my $CHUNK_BYTES  = 64 << 20;    # a chunk with a large video holds little else
my $CHUNK_ARGV   = 100_000;     # bytes of names on it
my $CHUNK_LINES  = 1_000;       # unchanged files wait in memory behind those that are being read
my $QUEUE        = 12;          # chunks in memory at most
my $REREADS      = 5;           # of a file that changes while it is read
my $RACY         = 2;           # seconds; see carried()
my $PROBLEMS     = 1_000;       # lines of each kind in media.problems; all are counted
my $PRUNED       = 'lost+found';
my $INCOMING     = '.permafrost-incoming-*';    # where a restore's media wait for their place

my (%opt, %n, %users, %groups);
while (@ARGV) {
    my $name = shift @ARGV;
    if ($name eq '--include-cache') { $opt{cache} = 1 }
    elsif ($name =~ /^--(root|out|previous|expected)$/ && @ARGV) { $opt{$1} = shift @ARGV }
    else { usage("unknown option '$name'") }
}
for (qw(root out)) { usage("--$_ needs an absolute path") unless ($opt{$_} // '') =~ m{^/} }
for (qw(previous expected)) { usage("--$_ needs an absolute path") if defined $opt{$_} && $opt{$_} !~ m{^/} }
sub usage { print STDERR "media index: $_[0]\n"; exit 2 }
sub fail  { print STDERR "media index: $_[0]\n"; exit 1 }

umask 077;
$ENV{LC_ALL} = 'C';
setpriority(0, 0, 10) if getpriority(0, 0) < 10;
for my $tool (qw(find sort sha256sum)) {
    system("command -v $tool >/dev/null 2>&1") == 0 or fail("$tool is not on this host");
}
system("ionice -c 2 -n 7 -p $$ >/dev/null 2>&1");
-d $opt{out} && -w _ or fail("the output folder $opt{out} cannot be written: $!");
chdir $opt{root} or fail("the media folder $opt{root} cannot be opened: $!");

$n{$_} = 0 for qw(files bytes zeroByteFiles hashedFiles hashedBytes carriedFiles carriedBytes newFiles newBytes gone
    vanished reread unsettled unreadable unreadableFolders symlinks otherTypes expected missing missingTolerated sizeDiffers
    previousDamaged);
my $started = time;
my $shown   = $started;
my %problems;

# ---- what comes in: the tree, the previous index, the database's list ----

my @prune = $opt{cache} ? () : ('-path', './cache', '-o');
my $errors = "$opt{out}/media.find-errors";
my $status = "$opt{out}/media.find-status";
my @find   = ('find', '.', '-mindepth', 1,
    '(', @prune, '-type', 'd', '(', '-name', $PRUNED, '-o', '-name', $INCOMING, ')', ')', '-prune',
    '-o', '-type', 'd', '(', '!', '-readable', '-o', '!', '-executable', ')', '-printf', '0 0 0 0 0 d %P\0', '-prune',
    '-o', '-type', 'f', '!', '-readable', '-printf', '%s %T@ %m %U %G u %P\0',
    '-o', '-type', 'f', '-printf', '%s %T@ %m %U %G f %P\0',
    '-o', '-type', 'l', '-printf', '0 0 0 0 0 l %P\0',
    '-o', '!', '-type', 'd', '-printf', '0 0 0 0 0 o %P\0');
# The list is complete before the first file is read: sort says nothing until find has ended.
open(my $tree, '-|', 'sh', '-c',
    'OUT=$1 ERRORS=$2 STATUS=$3; shift 3; { "$@" 2>"$ERRORS"; echo $? >"$STATUS"; } | sort -z -s -S 32M -T "$OUT" -t " " -k 7',
    'sh', $opt{out}, $errors, $status, @find) or fail("find cannot be started: $!");

my $ordinal = 0;
my $previous_started = 0;
my $previous;
my ($previous_files, $previous_whole) = (0, 0);
if (defined $opt{previous}) {
    $previous = -f $opt{previous} && -r _ ? plain_or_gzip($opt{previous}) : undef;
    my $header = $previous ? <$previous> // '' : '';
    # Damaged, by a lost power supply for one: every file is read again, which costs time and nothing else.
    if ($header !~ /^# permafrost media index 1$/) { $previous = undef; $n{previousDamaged} = 1 }
    while ($previous && defined(my $line = <$previous>)) {
        if    ($line =~ /^# started (\d+)$/) { $previous_started = $1 }
        elsif ($line =~ /^# ordinal (\d+)$/) { $ordinal = $1 + 1; last }
        else                                 { last }
    }
}
my $expected = defined $opt{expected} ? plain_or_gzip($opt{expected}) : undef;

sub plain_or_gzip {
    my ($file) = @_;
    open(my $in, '<:raw', $file) or fail("$file cannot be read: $!");
    read($in, my $magic, 2);
    if (($magic // '') eq "\x1f\x8b") {
        close $in;
        open($in, '-|', 'gzip', '-dc', '--', $file) or fail("gzip cannot be started: $!");
    } else { seek($in, 0, 0) }
    binmode $in;
    return $in;
}

# [path, sha256, size, mtime] of the previous index, or undef at its end. A line that is not understood carries nothing over.
sub next_previous {
    return undef unless $previous;
    my @meta;
    while (defined(my $line = <$previous>)) {
        chomp $line;
        if ($line =~ /^# (\d+) (-?\d+\.\d+) [0-7]+ \d+ \d+$/) { @meta = ($1, $2) }
        elsif ($line =~ /^# end (\d+) \d+$/) { $previous_whole = $1 == $previous_files }
        elsif (@meta && $line =~ /^(\\?)([0-9a-f]{64})  (.+)$/s) { $previous_files++; return [$1 ? unescape($3) : $3, $2, @meta] }
        else { @meta = () }
    }
    $n{previousDamaged} = 1 unless $previous_whole;
    return undef;
}

# [path, bytes or undef, tolerated or undef] of the database's list (COPY's text format), or undef at its end.
my $last_expected;
sub next_expected {
    return undef unless $expected;
    my $line = <$expected>;
    return undef unless defined $line;
    chomp $line;
    my ($path, $bytes, $tolerated) = map { $_ eq '\N' ? undef : unescape($_) } split /\t/, $line, -1;
    defined $path && (!defined $bytes || $bytes =~ /^\d+$/) or fail("$opt{expected} is not a list of expected files");
    !defined $last_expected || $last_expected le $path or fail("$opt{expected} is not sorted by its paths' bytes");
    $last_expected = $path;
    $n{expected}++;
    return [$path, $bytes, $tolerated];
}

my %escapes   = (n => "\n", r => "\r", t => "\t", b => "\b", f => "\f", v => "\x0b", '\\' => '\\');
my %unescaped = ("\n" => '\n', "\r" => '\r', '\\' => '\\\\');
# As find quotes names in what it complains about.
sub unquote { my ($s) = @_; $s =~ s{\\([0-7]{3}|.)}{length $1 == 3 ? chr oct $1 : $escapes{$1} // $1}gse; return $s }
sub unescape { my ($s) = @_; $s =~ s{\\(.)}{$escapes{$1} // $1}gse; return $s }

# ---- what goes out ----

my %final = (index => 'media.index', new => 'media.new', missing => 'media.missing', problems => 'media.problems',
    excludes => 'media.excludes');
my %out;
for my $name (keys %final) {
    open($out{$name}, '>:raw', "$opt{out}/$final{$name}.partial") or fail("$opt{out}/$final{$name}.partial: $!");
}
sub put { my $name = shift; print { $out{$name} } @_ or fail("$final{$name} cannot be written: $!") }
for my $name (qw(index new)) {
    put($name, "# permafrost media index 1\n# started $started\n# ordinal $ordinal\n");
}

sub put_record {
    my ($name, $f) = @_;
    my $path = $f->{path};
    my $mark = $path =~ s/([\\\n\r])/$unescaped{$1}/g ? '\\' : '';
    put($name, "# $f->{size} $f->{mtime} ", substr("000$f->{mode}", -4), " $f->{uid} $f->{gid}\n$mark$f->{hash}  $path\n");
}

sub json {
    my ($s) = @_;
    return 'null' unless defined $s;
    my $copy = $s;
    # Not UTF-8: each byte above 127 is shown as U+FFFD. JSON cannot hold it, and the index has the exact name.
    $s =~ s/[\x80-\xff]/\xef\xbf\xbd/g unless utf8::decode($copy);
    $s =~ s/([\x00-\x1f"\\])/sprintf '\u%04x', ord $1/ge;
    return qq("$s");
}

sub problem {
    my ($kind, $path) = @_;
    put('problems', qq({"problem":"$kind","path":), json($path), "}\n") if $problems{$kind}++ < $PROBLEMS;
}

# What cannot be read, as restic's --exclude-file takes it: a glob on each line, with the blanks at its ends cut off.
sub exclude {
    my $path = "$opt{root}/$_[0]" =~ s{//+}{/}gr;
    $path =~ s/([\\*?\[])/\\$1/g;
    $path =~ s/\$/\$\$/g;
    $path =~ s/[\n\r]/?/g;
    $path =~ s/(?:[\xc0-\xff][\x80-\xbf]*|[\x80-\xbf]|\s)\z/?/;
    put('excludes', "$path\n");
}

sub unreadable_folder {
    $n{unreadableFolders}++;
    problem('unreadableFolder', $_[0]);
    exclude($_[0]) if $_[0] ne '.';
}

sub progress {
    my $now = time;
    return if $now - $shown < 2;
    $shown = $now;
    print STDERR qq({"files":$n{files},"bytes":$n{bytes},"hashedFiles":$n{hashedFiles},"hashedBytes":$n{hashedBytes}}\n);
}

# ---- reading files ----

sub hasher {
    my @paths = @_;
    my $pid = open(my $fh, '-|') // fail("fork: $!");
    if (!$pid) {
        open(STDERR, '>', '/dev/null');
        exec('sha256sum', '-z', '--', map { "./$_" } @paths) or POSIX::_exit(127);
    }
    binmode $fh;
    return $fh;
}

sub hashes_in {
    my %hash;
    /^([0-9a-f]{64})  \.\/(.+)$/s and $hash{$2} = $1 for split /\0/, $_[0];
    return \%hash;
}

sub file_of {
    my ($line) = @_;
    my ($size, $mtime, $mode, $uid, $gid, $kind, $path) = split / /, $line, 7;
    $mtime =~ s/(\.\d{9})\d+$/$1/;
    return { size => $size, mtime => $mtime, mode => $mode, uid => $uid, gid => $gid, kind => $kind, path => $path };
}

# What find says of these files now, by path; those that are gone (or no files any more) are not in it.
sub look_again {
    my @paths = @_;
    my $pid = open(my $fh, '-|') // fail("fork: $!");
    if (!$pid) {
        open(STDERR, '>', '/dev/null');
        exec('find', (map { "./$_" } @paths), '-maxdepth', 0, '-type', 'f', '-printf', '%s %T@ %m %U %G f %p\0') or POSIX::_exit(127);
    }
    binmode $fh;
    local $/ = "\0";
    my %now;
    while (my $line = <$fh>) {
        chomp $line;
        my $f = file_of($line);
        $f->{path} =~ s{^\./}{};
        $now{ $f->{path} } = $f;
    }
    close $fh;
    return \%now;
}

sub same { return $_[0]{size} == $_[1]{size} && $_[0]{mtime} eq $_[1]{mtime} }

# A file that was listed in one state and is in another after it was read: read again until it holds still.
sub settle {
    my ($path, $before) = @_;
    for (1 .. $REREADS) {
        my $fh = hasher($path);
        my $text = do { local $/; <$fh> };
        close $fh;
        my $after = look_again($path)->{$path} or return ('vanished');
        my $hash = hashes_in($text // '')->{$path};
        return ('unreadable') unless defined $hash;
        return ('read', { %$after, hash => $hash }) if same($before, $after);
        $before = $after;
        select(undef, undef, undef, 0.2);
    }
    return ('unsettled');
}

# The hash is carried over when size and mtime are those of the previous index, and the mtime lies clearly before that
# index was begun: a file written while it was read could have been written again with the same mtime.
sub carried {
    my ($f, $old) = @_;
    return same($f, { size => $old->[2], mtime => $old->[3] }) && int($f->{mtime}) < $previous_started - $RACY;
}

# ---- the merge: chunks of the sorted list; in each, what must be read goes to one sha256sum ----

my @queue;
my $chunk;
my $old = next_previous();
my $want = next_expected();

sub new_chunk { return { files => [], hash => [], bytes => 0, argv => 0, text => '', fh => undef, done => 0 } }

sub settle_chunk {
    my ($c) = @_;
    my ($hash, $now) = ({}, {});
    if (@{ $c->{hash} }) {
        $hash = hashes_in($c->{text});
        $now  = look_again(@{ $c->{hash} });
    }
    for my $f (@{ $c->{files} }) {
        my $path = $f->{path};
        my $outcome = 'read';
        if ($f->{closed}) { $outcome = 'unreadable' }
        elsif (!$f->{carried}) {
            my $after = $now->{$path};
            if (!$after) { $outcome = 'vanished' }
            elsif (!same($f, $after)) {
                $n{reread}++;
                my ($settled, $again) = settle($path, $after);
                $outcome = $settled;
                $f = { %$f, %$again } if $again;
            }
            elsif (!defined $hash->{$path}) { $outcome = 'unreadable' }
            else { $f = { %$f, %$after, hash => $hash->{$path} } }
        }
        meet_expected($path, $f->{size}) unless $outcome eq 'vanished';
        if ($outcome ne 'read') {
            $n{$outcome}++;
            problem($outcome, $path) unless $outcome eq 'vanished';
            exclude($path) if $outcome eq 'unreadable';
            next;
        }
        $n{files}++;
        $n{bytes} += $f->{size};
        $n{zeroByteFiles}++ if $f->{size} == 0;
        my $way = $f->{carried} ? 'carried' : 'hashed';
        $n{ $way . 'Files' }++;
        $n{ $way . 'Bytes' } += $f->{size};
        $users{ $f->{uid} } = $groups{ $f->{gid} } = 1;
        put_record('index', $f);
        if (!defined $f->{old} || $f->{old} ne $f->{hash}) {
            $n{newFiles}++;
            $n{newBytes} += $f->{size};
            put_record('new', $f);
        }
    }
    progress();
}

# Everything that the database names before this path is missing; this path itself is there.
sub meet_expected {
    my ($path, $size) = @_;
    while ($want && (!defined $path || $want->[0] lt $path)) { miss($want); $want = next_expected() }
    while ($want && defined $path && $want->[0] eq $path) {
        if (defined $want->[1] && $want->[1] != $size) { $n{sizeDiffers}++; problem('size', $path) }
        $want = next_expected();
    }
}

sub miss {
    my ($path, $bytes, $tolerated) = @{ $_[0] };
    $n{missing}++;
    $n{missingTolerated}++ if defined $tolerated;
    put('missing', '{"path":', json($path), ',"bytes":', $bytes // 'null', ',"tolerated":', json($tolerated), "}\n");
}

# Starts what may start, reads what is ready, and settles chunks from the front, so that the order is kept.
sub collect {
    my ($until) = @_;
    while (@queue > $until) {
        if ($queue[0]{done}) { settle_chunk(shift @queue); next }
        my @running = grep { $_->{fh} } @queue;
        for my $c (@queue) {
            last if @running >= $HASHERS;
            next if $c->{done} || $c->{fh};
            $c->{fh} = hasher(@{ $c->{hash} });
            push @running, $c;
        }
        my $bits = '';
        vec($bits, fileno($_->{fh}), 1) = 1 for @running;
        my $ready = select($bits, undef, undef, 5);
        progress();
        next if $ready <= 0;
        for my $c (grep { vec($bits, fileno($_->{fh}), 1) } @running) {
            my $got = sysread($c->{fh}, $c->{text}, 65536, length $c->{text});
            next if $got || (!defined $got && $!{EINTR});
            close $c->{fh};
            my $code = $? >> 8;
            # 1: some file could not be read, and which one is found out by what is not in the output.
            $? & 127 || $code > 1 and fail("sha256sum ended with " . ($? & 127 ? "signal " . ($? & 127) : "exit code $code"));
            $c->{fh} = undef;
            $c->{done} = 1;
        }
    }
}

sub enqueue {
    my $c = $chunk;
    $chunk = undef;
    return unless $c;
    $c->{done} = 1 unless @{ $c->{hash} };
    push @queue, $c;
    collect($QUEUE);
}

{
    local $/ = "\0";
    binmode $tree;
    while (my $line = <$tree>) {
        chomp $line;
        my $f = file_of($line);
        if ($f->{kind} eq 'd') { unreadable_folder($f->{path}); next }
        # Closed since the last index: what it says of the file is nobody's to send any more.
        if ($f->{kind} eq 'u') { $f->{closed} = 1 }
        elsif ($f->{kind} ne 'f') {
            my $kind = $f->{kind} eq 'l' ? 'symlink' : 'otherType';
            $n{ $kind . 's' }++;
            problem($kind, $f->{path});
            next;
        }
        local $/ = "\n";
        while ($old && $old->[0] lt $f->{path}) { $n{gone}++; $old = next_previous() }
        if ($old && $old->[0] eq $f->{path}) {
            $f->{old} = $old->[1];
            if (!$f->{closed} && carried($f, $old)) { $f->{carried} = 1; $f->{hash} = $old->[1] }
            $old = next_previous();
        }
        my $read = !$f->{carried} && !$f->{closed};
        enqueue() if $chunk && $read && @{ $chunk->{hash} } && $chunk->{bytes} + $f->{size} > $CHUNK_BYTES;
        $chunk //= new_chunk();
        push @{ $chunk->{files} }, $f;
        if ($read) {
            push @{ $chunk->{hash} }, $f->{path};
            $chunk->{bytes} += $f->{size};
            $chunk->{argv}  += 3 + length $f->{path};
        }
        enqueue() if @{ $chunk->{files} } >= $CHUNK_LINES || @{ $chunk->{hash} } >= $CHUNK_HASHES || $chunk->{argv} > $CHUNK_ARGV;
    }
}
close $tree or fail('the list of files could not be sorted');
enqueue();
collect(0);
meet_expected(undef);
while ($old) { $n{gone}++; $old = next_previous() }

# ---- what find could not look into ----

open(my $code, '<', $status) or fail('find did not end');
chomp(my $find_code = <$code> // '');
open(my $complaints, '<:raw', $errors) or fail("$errors: $!");
my $explained = 0;
while (my $line = <$complaints>) {
    chomp $line;
    $explained++;
    if ($line =~ /: No such file or directory$/) { $n{vanished}++ }
    elsif ($line =~ /^find: '(.*)': [^']+$/) { unreadable_folder(unquote($1) =~ s{^\./}{}r) }
    else { $n{unreadableFolders}++; problem('unreadableFolder', $line =~ s/^find: //r) }
}
$find_code eq '0' || $explained or fail("find ended with exit code $find_code");
unlink $errors, $status;

# ---- the end: owners, final names, summary ----

for my $name (qw(index new)) {
    for (sort { $a <=> $b } keys %users)  { my $who = getpwuid($_); put($name, "# user $_ $who\n")  if defined $who }
    for (sort { $a <=> $b } keys %groups) { my $who = getgrgid($_); put($name, "# group $_ $who\n") if defined $who }
}
put('index', "# end $n{files} $n{bytes}\n");
put('new', "# end $n{newFiles} $n{newBytes}\n");
for my $name (keys %out) {
    close $out{$name} or fail("$final{$name} cannot be written: $!");
    rename("$opt{out}/$final{$name}.partial", "$opt{out}/$final{$name}") or fail("$final{$name}: $!");
}
my $peak = 0;
if (open(my $self, '<', '/proc/self/status')) { /^VmHWM:\s+(\d+)/ and $peak = $1 while <$self> }
$n{ordinal} = $ordinal;
$n{peakKiB} = $peak;
print '{', join(',', map { qq("$_":) . $n{$_} } sort keys %n), "}\n";
close STDOUT or fail("the summary cannot be written: $!");
`;
