import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Host } from '../../../src/hosts/host.js';
import { sshHost, type SshSpec } from '../../../src/hosts/ssh.js';
import { fails } from './conformance.js';
import { addSudoUser, makeKey, type Sshd, startSshd } from './sshd.js';

describe.skipIf(process.getuid?.() !== 0)('a host over SSH', () => {
  let sshd: Sshd;
  let spec: SshSpec;
  const open = new Set<Host>();
  const host = (change: Partial<SshSpec> = {}): Host => {
    const opened = sshHost({ ...spec, ...change });
    open.add(opened);
    return opened;
  };
  const hello = async (change: Partial<SshSpec> = {}): Promise<string> =>
    (await host(change).run(['echo', 'hello'])).stdout;

  beforeAll(async () => {
    sshd = await startSshd({ hostKeys: ['rsa', 'ecdsa', 'ed25519'], settings: ['MaxSessions 3'] });
    const { port, identityFile, knownHosts, folder } = sshd;
    spec = {
      user: 'root',
      address: '127.0.0.1',
      port,
      identityFile,
      knownHosts,
      sudo: false,
      folder: `${folder}/own`,
    };
  });
  afterAll(async () => {
    for (const opened of open) await opened.close();
    await sshd.stop();
  });

  const file = (name: string, content: string): string => {
    writeFileSync(join(sshd.folder, name), content);
    return join(sshd.folder, name);
  };
  const publicKey = (type: string): string => readFileSync(`${sshd.folder}/host_${type}.pub`, 'utf8').trim();

  describe('is known by', () => {
    it('the hashed names that ssh-keyscan -H writes', async () => {
      expect(readFileSync(sshd.knownHosts, 'utf8')).toMatch(/^\|1\|/m);
      expect(await hello()).toBe('hello\n');
    });

    it('names that ssh-keygen -H hashed, plain ones, and patterns', async () => {
      const plain = `# a comment\n\n[127.0.0.1]:${sshd.port} ${publicKey('ed25519')}\n`;
      expect(await hello({ knownHosts: file('plain', plain) })).toBe('hello\n');
      const hashed = file('hashed', plain);
      await execa('ssh-keygen', ['-H', '-f', hashed]);
      expect(readFileSync(hashed, 'utf8')).not.toContain('127.0.0.1');
      expect(await hello({ knownHosts: hashed })).toBe('hello\n');
      const pattern = `![10.*]:*,[127.0.0.*]:${sshd.port} ${publicKey('ed25519')}`;
      expect(await hello({ knownHosts: file('pattern', pattern) })).toBe('hello\n');
    });

    it.each(['rsa', 'ecdsa', 'ed25519'])('its %s key alone, whatever else it has', async (type) => {
      const only = file('only', `[127.0.0.1]:${sshd.port} ${publicKey(type)}`);
      expect(await hello({ knownHosts: only })).toBe('hello\n');
    });
  });

  describe('is refused, always', () => {
    it('when it is unknown, with its fingerprint and what to do', async () => {
      const expected =
        (await execa('ssh-keygen', ['-lf', `${sshd.folder}/host_ed25519.pub`])).stdout.split(' ')[1] ?? '-';
      for (const knownHosts of [
        file('empty', ''),
        join(sshd.folder, 'missing'),
        file('port', `127.0.0.1 ${publicKey('ed25519')}`),
      ]) {
        const failure = await fails(hello({ knownHosts }), 'HostKeyRejected', /is not in/);
        expect(failure.message).toContain(expected);
        expect(failure.next).toContain(`ssh-keyscan -p ${sshd.port} -t ed25519 127.0.0.1 >> ${knownHosts}`);
      }
    });

    it('when its key has changed, with both fingerprints and the line', async () => {
      const other = makeKey(join(sshd.folder, 'other'), 'ed25519');
      const key = readFileSync(`${other}.pub`, 'utf8');
      const knownHosts = file('changed', `# first line\n[127.0.0.1]:${sshd.port} ${key}`);
      const failure = await fails(hello({ knownHosts }), 'HostKeyRejected', /has changed/);
      for (const pub of [`${other}.pub`, `${sshd.folder}/host_ed25519.pub`])
        expect(failure.message).toContain((await execa('ssh-keygen', ['-lf', pub])).stdout.split(' ')[1]);
      expect(failure.message).toContain(`${knownHosts}:2`);
    });

    it('when the key is revoked, also if it is listed', async () => {
      const line = `[127.0.0.1]:${sshd.port} ${publicKey('ed25519')}`;
      const knownHosts = file('revoked', `${line}\n@revoked * ${publicKey('ed25519')}\n`);
      await fails(hello({ knownHosts }), 'HostKeyRejected', /:2 has @revoked/);
    });
  });

  describe('lets us in', () => {
    it('with a key that a passphrase file opens', async () => {
      const identityFile = makeKey(join(sshd.folder, 'locked'), 'ed25519', 'open sesame');
      appendFileSync(`${sshd.folder}/authorized_keys`, readFileSync(`${identityFile}.pub`));
      expect(await hello({ identityFile, passphraseFile: file('passphrase', 'open sesame\n') })).toBe(
        'hello\n',
      );
      const wrong = hello({ identityFile, passphraseFile: file('wrong', 'xyzzy plugh') });
      expect((await fails(wrong, 'AuthFailed', /does not open/)).message).not.toContain('xyzzy');
      await withAgent(undefined, () => fails(hello({ identityFile }), 'AuthFailed', /has a passphrase/));
    });

    it('with an agent, also when the identity file is locked', async () => {
      const agent = await execa('ssh-agent', ['-a', `${sshd.folder}/agent`]);
      const pid = Number(/SSH_AGENT_PID=(\d+)/.exec(agent.stdout)?.[1]);
      try {
        await withAgent(`${sshd.folder}/agent`, async () => {
          await execa('ssh-add', [sshd.identityFile]);
          const { identityFile, ...noFile } = spec;
          const byAgent = sshHost(noFile);
          open.add(byAgent);
          expect((await byAgent.run(['echo', 'hello'])).stdout).toBe('hello\n');
          expect(identityFile).toBeDefined();
          const locked = makeKey(join(sshd.folder, 'locked2'), 'rsa', 'another one');
          expect(await hello({ identityFile: locked })).toBe('hello\n');
        });
      } finally {
        process.kill(pid);
      }
    });

    it('not with another key, and says so', async () => {
      const stranger = makeKey(join(sshd.folder, 'stranger'), 'ed25519');
      await fails(hello({ identityFile: stranger }), 'AuthFailed', /does not accept our key/);
      await fails(hello({ identityFile: '/nonexistent' }), 'AuthFailed', /cannot be read here/);
      await fails(hello({ identityFile: file('garbage', 'no key') }), 'AuthFailed', /not a private key/);
      const { identityFile, ...noFile } = spec;
      expect(identityFile).toBeDefined();
      await withAgent(undefined, () =>
        fails(sshHost(noFile).run(['true']), 'AuthFailed', /no key to log in/),
      );
    });
  });

  it('is unreachable, and says so', async () => {
    await fails(hello({ port: 1 }), 'HostUnreachable', /cannot be reached/);
  });

  it('serves more commands at once than its sshd has sessions', async () => {
    const one = host();
    const results = await Promise.all(Array.from({ length: 30 }, (_, i) => one.run(['echo', String(i)])));
    expect(results.map((result) => result.stdout.trim())).toEqual(results.map((_, i) => String(i)));
  });

  it('hands any argv over as it is', async () => {
    const one = host();
    const word = fc
      .oneof(
        fc.string({ unit: 'binary' }),
        fc.string({ unit: fc.constantFrom(...`'"\`$\\!*?~#;&|<>() \t\n\r-`) }),
      )
      .filter((text) => !text.includes('\0') && !/\p{Surrogate}/u.test(text));
    await fc.assert(
      fc.asyncProperty(fc.array(word), async (argv) => {
        const { stdout } = await one.run(['printf', '%s\\0', ...argv, 'end']);
        expect(stdout).toBe([...argv, 'end'].map((text) => `${text}\0`).join(''));
      }),
      { numRuns: 40 },
    );
  });

  it('is connected anew when the connection was cut, but runs no command twice', async () => {
    const one = host();
    const [ran, pids] = [join(sshd.folder, 'ran'), join(sshd.folder, 'pids')];
    const running = one.run(['bash', '-c', `echo $$ >> ${pids}; echo ran >> ${ran}; exec sleep 60`]);
    const streaming = await one.stream(['bash', '-c', `echo $$ >> ${pids}; exec sleep 60`]);
    const read = async (): Promise<void> => {
      for await (const chunk of streaming.stdout) void chunk;
    };
    // Output that was cut does not look complete.
    const delivered = fails(read(), 'HostUnreachable', /was lost/);
    const caught = fails(running, 'HostUnreachable', /was lost while a command ran/);
    await expect.poll(() => readIfThere(ran), { timeout: 10_000 }).toBe('ran\n');
    await sshd.cut();
    await caught;
    await delivered;
    await fails(streaming.completed, 'HostUnreachable', /was lost/);
    expect((await one.run(['echo', 'again'])).stdout).toBe('again\n');
    expect(readIfThere(ran)).toBe('ran\n');
    for (const pid of readIfThere(pids).trim().split('\n')) process.kill(Number(pid));
  });

  it('says which sudo rule is missing', async () => {
    const { user, remove } = addSudoUser((name) => `${name} ALL=(nobody) NOPASSWD: ALL`);
    try {
      const sudoer = host({ user, sudo: true, folder: `/home/${user}/own` });
      expect((await sudoer.run(['id', '-un'], { as: { user: 'nobody' } })).stdout).toBe('nobody\n');
      const failure = await fails(sudoer.run(['id'], { as: 'privileged' }), 'AuthFailed', /does not let/);
      expect(failure.next).toContain(`${user} ALL=(root) NOPASSWD: ALL`);
      await fails(sudoer.run(['id'], { as: { user: 'daemon' } }), 'AuthFailed', /act as daemon/);
      await fails(sudoer.run(['false'], { as: { user: 'nobody' } }), 'CommandFailed', /exit code 1/);
      await sudoer.close();
    } finally {
      remove();
    }
  });

  it('refuses a command line that is too long for the kernel, before it is sent', async () => {
    await fails(host().run(['echo', 'x'.repeat(140_000)]), 'InvalidInput', /longer than 128 KiB/);
  });
});

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

async function withAgent(socket: string | undefined, action: () => Promise<unknown>): Promise<void> {
  const before = process.env['SSH_AUTH_SOCK'];
  const set = (value: string | undefined): void => {
    if (value === undefined) delete process.env['SSH_AUTH_SOCK'];
    else process.env['SSH_AUTH_SOCK'] = value;
  };
  set(socket);
  try {
    await action();
  } finally {
    set(before);
  }
}
