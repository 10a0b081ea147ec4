import { z } from 'zod';
import { Failure } from '../errors.js';
import { anyExitCode } from '../hosts/host.js';
import type { Namespaced } from '../scratch/namespace.js';
import { NotSeen, Wrong } from './check.js';

/** Asks the web process of a drill, from within its namespace. */
export interface Web {
  /** The status alone, or null when there is no answer. */
  status(path: string): Promise<number | null>;
  /** What JSON it answers with. @throws Wrong for another status than 200; `NotSeen` where people must log in first. */
  json<Shape extends z.ZodType>(path: string, shape: Shape): Promise<z.output<Shape>>;
  /** Of what it serves there, in the length that it serves. */
  sha256(path: string): Promise<{ status: number; sha256: string }>;
}

export interface WebGround {
  readonly namespace: Namespaced;
  readonly port: number;
  /** Rails answers to its own names alone (reference/mastodon.md §4.3). */
  readonly domain: string;
  /** LIMITED_FEDERATION_MODE or DISALLOW_UNAUTHENTICATED_API_ACCESS: who has not logged in is not answered. */
  readonly closed: string | null;
  /** The end of its log, fit to be shown. */
  readonly lastWords: () => Promise<string>;
}

/** A body's bytes at most: what is asked for as JSON is far below, and an attachment is hashed where it is. */
const longestBody = 2 << 20;

const exits = { nobody: 3, late: 4, broken: 6 } as const;

/**
 * Every Debian and Ubuntu has perl-base; not every one has curl. HTTP/1.0, so that no answer comes in chunks.
 *
 * $ARGV: port, domain, path, `body` or `sha256`, bytes of body at most, seconds. Prints the status on a line of its own,
 * then what was asked for.
 */
const askScript = `
use strict; use warnings; use IO::Socket::INET;
my ($port, $domain, $path, $what, $most, $seconds) = @ARGV;
$SIG{ALRM} = sub { print STDERR "no answer in $seconds s\\n"; exit ${String(exits.late)} }; alarm $seconds;
my $web = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp') or exit ${String(exits.nobody)};
binmode $web; binmode STDOUT; $| = 1;
print $web "GET $path HTTP/1.0\\r\\nHost: $domain\\r\\nX-Forwarded-Proto: https\\r\\nAccept: */*\\r\\nConnection: close\\r\\n\\r\\n";
my $line = <$web> // exit ${String(exits.nobody)};
my ($status) = $line =~ m{^HTTP/\\d\\.\\d (\\d{3})} or exit ${String(exits.nobody)};
my $length;
while (defined(my $header = <$web>)) { last if $header =~ /^\\r?$/; $length = $1 if $header =~ /^content-length: *(\\d+)/i }
print "$status\\n";
my $out = \\*STDOUT; my $got = 0;
if ($what eq 'sha256') { open($out, '|-', 'sha256sum') or exit 5; binmode $out }
while (my $count = read $web, my $piece, 65536) {
  $got += $count; last if $what eq 'body' && $got > $most;
  print $out $piece;
}
close $out if $what eq 'sha256';
if (defined $length && $got < $length) { print STDERR "the answer broke off\\n"; exit ${String(exits.broken)} }
`;

const secondsToAnswer = 30;

export function webOf({ namespace, port, domain, closed, lastWords }: WebGround): Web {
  const ask = async (path: string, what: 'body' | 'sha256') => {
    const words = [String(port), domain, path, what, String(longestBody), String(secondsToAnswer)];
    const result = await namespace
      .run(['perl', '-e', askScript, ...words], {
        ...{ okCodes: anyExitCode, maxOutputBytes: longestBody * 2 },
        timeoutMs: (secondsToAnswer + 15) * 1000,
      })
      .catch((error: unknown) => {
        if (error instanceof Failure && error.type === 'JobLost') return undefined;
        throw error;
      });
    if (result === undefined) return null;
    const { exitCode, stdout, stderr } = result;
    // Any other: nobody is there, or it has ended with the application just now.
    if (exitCode !== 0 && exitCode !== exits.late && exitCode !== exits.broken) return null;
    if (exitCode !== 0) throw new Wrong(`GET ${path}: ${stderr.trim()}. ${await lastWords()}`);
    const end = stdout.indexOf('\n');
    return { status: Number(stdout.slice(0, end)), body: stdout.slice(end + 1) };
  };
  const answered = async (path: string, what: 'body' | 'sha256') => {
    const answer = await ask(path, what);
    if (answer === null) throw new Wrong(`GET ${path}: nobody answers any more. ${await lastWords()}`);
    if (answer.status < 500) return answer;
    throw new Wrong(`GET ${path} is answered with ${String(answer.status)}. ${await lastWords()}`);
  };
  return {
    async status(path) {
      try {
        return (await ask(path, 'body'))?.status ?? null;
      } catch (error) {
        if (error instanceof Wrong) return null; // late, or broken off
        throw error;
      }
    },
    json: async (path, shape) => {
      const { status, body } = await answered(path, 'body');
      if (closed !== null && [401, 403, 422].includes(status)) {
        throw new NotSeen(`${closed} is set, and who has not logged in gets ${String(status)}`);
      }
      if (status !== 200) throw new Wrong(`GET ${path} is answered with ${String(status)}`);
      return readJson(path, body, shape);
    },
    sha256: async (path) => {
      const { status, body } = await answered(path, 'sha256');
      return { status, sha256: body.slice(0, 64) };
    },
  };
}

function readJson<Shape extends z.ZodType>(path: string, body: string, shape: Shape): z.output<Shape> {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    throw new Wrong(`GET ${path} is answered with something that is no JSON`);
  }
  const read = shape.safeParse(json);
  if (read.success) return read.data;
  throw new Wrong(
    `GET ${path} is answered with another JSON than Mastodon's: ${z.prettifyError(read.error)}`,
  );
}

/** The path and the query of an address that the application shows. */
export function pathOf(url: string): string {
  const { pathname, search } = new URL(url, 'https://localhost');
  return `${pathname}${search}`;
}
