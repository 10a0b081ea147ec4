import type { Host } from '../hosts/host.js';
import type { Namespaced } from '../scratch/namespace.js';
import { listenersScript } from '../scratch/namespace-scripts.js';
import { firstOf, Wrong } from './check.js';

/**
 * Outside addresses that are tried: documentation's own, so that nobody is rung at where there is a way out after all
 * (RFC 5737, RFC 3849).
 */
const outside = ['192.0.2.1', '2001:db8::1'];

/**
 * Tries the addresses up to \`--\`, then the sockets after it, and prints those that let it in. What is not reached at
 * once (no route) is not reached: nobody waits for a packet that comes back.
 */
const triesScript = `
use strict; use warnings; use Socket qw(:DEFAULT inet_pton AF_INET6 pack_sockaddr_in6);
my @addresses; while (defined(my $next = shift)) { last if $next eq '--'; push @addresses, $next }
$SIG{ALRM} = sub { die "waited\\n" };
for my $address (@addresses) {
  my $six = $address =~ /:/;
  socket(my $socket, $six ? AF_INET6 : AF_INET, SOCK_STREAM, 0) or next;
  my $where = $six ? pack_sockaddr_in6(443, inet_pton(AF_INET6, $address)) : pack_sockaddr_in(443, inet_aton($address));
  # A route that leads nowhere is a route all the same.
  my $ended = eval { alarm 3; my $in = connect $socket, $where; alarm 0; $in ? 'in' : 'out' } // 'waited';
  alarm 0;
  print "$address\\0" if $ended ne 'out';
}
for my $path (@ARGV) {
  socket(my $socket, AF_UNIX, SOCK_STREAM, 0) or next;
  print "$path\\0" if length $path < 108 and connect $socket, pack_sockaddr_un($path);
}`;

/** The paths of the sockets that the host's own services listen at: to be asked for before the namespace is made. */
export async function listeningSockets(host: Host): Promise<string[]> {
  const { stdout } = await host.run(['bash', '-c', listenersScript]);
  return stdout.split('\0').filter((path) => path !== '');
}

/**
 * Looks for a way out of a namespace: an interface besides loopback, a route, an outside address that answers or is
 * waited for, a socket of the host's own services.
 *
 * @param sockets of the host, but not those of the scratch.
 * @returns what was tried. @throws Wrong with the ways out.
 */
export async function provenCutOff(namespace: Namespaced, sockets: readonly string[]): Promise<string> {
  const found = await namespace.waysOut();
  const tried = await namespace.run(['perl', '-e', triesScript, ...outside, '--', ...sockets]);
  const reached = tried.stdout.split('\0').filter((one) => one !== '');
  const ways = [...found, ...reached.map((one) => `${one} is reached`)];
  if (ways.length > 0) throw new Wrong(`the namespace is not closed: ${firstOf(ways)}`);
  return `nothing but loopback and no route; ${String(outside.length)} outside addresses and ${String(sockets.length)} sockets of the host's services are not reached`;
}
