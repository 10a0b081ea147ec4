import { describe, expect, it } from 'vitest';
import { Failure } from '../../../src/errors.js';
import type { HostFacts, Identity } from '../../../src/hosts/host.js';
import { argvAs } from '../../../src/hosts/identity.js';

const facts = (user: string, sudo = false): HostFacts => ({
  user,
  uid: user === 'root' ? 0 : 1000,
  group: user,
  root: user === 'root',
  sudo,
  systemd: false,
  systemdJobs: false,
  arch: 'x86_64',
  folder: '/x',
  bootId: 'b',
});
const become = async (from: HostFacts, as: Identity, runuser = true): Promise<string> =>
  (await argvAs(from, 'h', ['id', '-n'], as, async () => ({ home: '/home/m', gid: 7, runuser }))).join(' ');
const env = 'env -- HOME=/home/m USER=m LOGNAME=m id -n';

describe('a command as somebody else', () => {
  it.each<[string, HostFacts, Identity, string]>([
    ['root as itself', facts('root'), 'privileged', 'id -n'],
    ['root as a user', facts('root'), { user: 'm' }, `runuser -u m -- ${env}`],
    ['root as root', facts('root'), { user: 'root' }, 'id -n'],
    ['a sudo user as root', facts('u', true), 'privileged', 'sudo -n -- id -n'],
    ['a sudo user as another', facts('u', true), { user: 'm' }, 'sudo -n -u m -- id -n'],
    ['a sudo user as itself', facts('u', true), { user: 'u' }, 'id -n'],
    ['a sudo user who logs in', facts('u', true), 'login', 'id -n'],
    ['a plain user as itself', facts('u'), { user: 'u' }, 'id -n'],
    ['a plain user, privileged', facts('u'), 'privileged', 'id -n'],
  ])('%s', async (_, from, as, expected) => {
    expect(await become(from, as)).toBe(expected);
  });

  it('root without runuser', async () => {
    expect(await become(facts('root'), { user: 'm' }, false)).toBe(
      `setpriv --reuid m --regid 7 --init-groups -- ${env}`,
    );
  });

  it('a plain user as another: refused, with the rule that would allow it', async () => {
    const failure = await become(facts('u'), { user: 'm' }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(Failure);
    expect(failure).toMatchObject({
      type: 'AuthFailed',
      next: expect.stringContaining('u ALL=(m) NOPASSWD: ALL'),
    });
  });

  it.each(['', '-u', 'a b', 'a;b', '../x', 'a\nb'])('never as %j, which is no name', async (user) => {
    await expect(become(facts('root'), { user })).rejects.toMatchObject({ type: 'InvalidInput' });
  });
});
