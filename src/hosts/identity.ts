import { Failure } from '../errors.js';
import type { HostFacts, Identity } from './host.js';

/** What an account's home is: asked only where root becomes somebody else. */
export interface Account {
  readonly home: string;
  readonly gid: number;
  /** `runuser` is on the host (util-linux, on every Debian and Ubuntu); else `setpriv` is used. */
  readonly runuser: boolean;
}

/** Whether the command of this identity passes through sudo, so that the login user cannot signal it. */
export function throughSudo(facts: HostFacts, as: Identity): boolean {
  if (as === 'login' || facts.root || !facts.sudo) return false;
  return as === 'privileged' || as.user !== facts.user;
}

/** Whether the command runs as another user than the one who logs in. */
export function isOther(facts: HostFacts, as: Identity): as is { readonly user: string } {
  return typeof as === 'object' && as.user !== facts.user;
}

/**
 * The argv that runs `argv` as `as`.
 *
 * `sudo -n` never asks for a password: it fails where none of its rules allows the command. runuser keeps the
 * environment of root (runuser(1), `-u`), so the other user's HOME, USER and LOGNAME are set here, as sudo does.
 *
 * @throws Failure `InvalidInput` for a name that is none, `AuthFailed` when the login user cannot become that user.
 */
export async function argvAs(
  facts: HostFacts,
  host: string,
  argv: readonly string[],
  as: Identity,
  account: (user: string) => Promise<Account>,
): Promise<string[]> {
  if (typeof as === 'object') checkUserName(as.user);
  if (throughSudo(facts, as))
    return typeof as === 'object'
      ? ['sudo', '-n', '-u', as.user, '--', ...argv]
      : ['sudo', '-n', '--', ...argv];
  if (!isOther(facts, as)) return [...argv];
  const { user } = as;
  if (!facts.root) throw cannotBecome(facts.user, user, host);
  const { home, gid, runuser } = await account(user);
  const become = runuser
    ? ['runuser', '-u', user, '--']
    : ['setpriv', '--reuid', user, '--regid', String(gid), '--init-groups', '--'];
  return [...become, 'env', '--', `HOME=${home}`, `USER=${user}`, `LOGNAME=${user}`, ...argv];
}

/** sudo says no: which rule is missing. */
export function sudoRefused(facts: HostFacts, host: string, as: Identity, said: string): Failure {
  const target = typeof as === 'object' ? as.user : 'root';
  return new Failure('AuthFailed', `sudo on ${host} does not let ${facts.user} act as ${target}: ${said}`, {
    host,
    next: `Allow it there in a file of /etc/sudoers.d: ${facts.user} ALL=(${target}) NOPASSWD: ALL`,
  });
}

function cannotBecome(login: string, user: string, host: string): Failure {
  return new Failure('AuthFailed', `${login} on ${host} cannot run commands as ${user}.`, {
    host,
    next:
      `Use root on this host, or an SSH host with "sudo: true" and this rule in its /etc/sudoers.d: ` +
      `${login} ALL=(${user}) NOPASSWD: ALL`,
  });
}

function checkUserName(user: string): void {
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\$?$/.test(user))
    throw new Failure('InvalidInput', `Not a user's name: ${JSON.stringify(user.slice(0, 80))}.`);
}
