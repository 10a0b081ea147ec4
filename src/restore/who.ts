import type { Host, Identity } from '../hosts/host.js';

/** Who replaces files on a host: root, by login or through sudo; else the login user. */
export async function whoReplaces(host: Host): Promise<Identity> {
  const { root, sudo } = await host.facts();
  if (root || !sudo) return 'login';
  // Nothing is run: sudo says whether it would allow it.
  const { exitCode } = await host.run(['sudo', '-n', '-l', '--', 'bash', '-c', ':'], { okCodes: [0, 1] });
  return exitCode === 0 ? 'privileged' : 'login';
}

/** Whether `whoReplaces` has found root. */
export async function isRoot(host: Host, as: Identity): Promise<boolean> {
  return as === 'privileged' || (await host.facts()).root;
}

/**
 * The argv that runs `argv` as a user, for what runs as `as`: where that is root through sudo, also the login user is
 * somebody else.
 */
export async function argvFrom(
  host: Host,
  as: Identity,
  argv: readonly string[],
  user: string,
): Promise<string[]> {
  if (as === 'privileged' && user === (await host.facts()).user)
    return ['sudo', '-n', '-u', user, '--', ...argv];
  return host.argvAs(argv, { user });
}
