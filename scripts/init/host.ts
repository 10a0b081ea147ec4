import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { sshAddress } from '../../src/config/fields.js';
import { Failure } from '../../src/errors.js';
import { anyExitCode, type Host } from '../../src/hosts/host.js';
import { type HostSpec, openHost } from '../../src/hosts/open.js';
import type { Output } from '../cli/output.js';
import type { Asker } from './ask.js';
import { type NewFile, textOf } from './files.js';
import { trustHost } from './host-keys.js';
import type { InitOptions } from './options.js';

/** The host to look at, and how the configuration names it. */
export interface ChosenHost {
  readonly host: Host;
  readonly configured: 'local' | Readonly<Record<string, unknown>>;
  readonly files: readonly NewFile[];
  /** Its SSH key file, if it has one. */
  readonly identityFile?: string;
}

/**
 * Opens the host for looking: this machine, or the one of `--ssh`. Nothing is written here or there.
 *
 * @throws Failure `ConfigInvalid` for flags that cannot be, `HostKeyRejected`, `HostUnreachable`, `AuthFailed`.
 */
export async function withChosenHost<T>(
  out: Output,
  asker: Asker | undefined,
  options: InitOptions,
  use: (chosen: ChosenHost) => Promise<T>,
): Promise<T> {
  if (options.ssh === undefined) {
    const host = openHost({ kind: 'local' }, { look: true });
    return withHost(host, () => use({ host, configured: 'local', files: [] }));
  }
  const address = sshAddress.safeParse(options.ssh).data ?? null;
  if (address === null) {
    throw new Failure('ConfigInvalid', `--ssh ${options.ssh}: expected user@address.`, {
      next: 'The port has a flag of its own: --port.',
    });
  }
  const { port } = options;
  const identityFile = options.identityFile ?? usualIdentity();
  const trusted = await trustHost(out, asker, {
    ...{ address: address.address, port, knownHosts: options.knownHosts },
    ...{ configFile: options.output, accepted: options.acceptHostKey },
  });
  const scratch = await mkdtemp(join(tmpdir(), 'permafrost-init-'));
  try {
    // What is trusted from now on is written at the end; the look needs it before.
    const knownHosts = join(scratch, 'known_hosts');
    await writeFile(knownHosts, `${(await textOf(trusted.file)) ?? ''}\n${trusted.add?.content ?? ''}`);
    const spec = {
      ...{ kind: 'ssh' as const, ...address, port, knownHosts, sudo: false },
      ...(identityFile === undefined ? {} : { identityFile }),
    };
    const sudo = options.sudo || (await mayUseSudo(spec));
    const host = openHost({ ...spec, sudo }, { look: true });
    const configured = {
      ssh: options.ssh,
      ...(port === 22 ? {} : { port }),
      ...(identityFile === undefined ? {} : { identityFile }),
      knownHosts: trusted.file,
      ...(sudo ? { sudo } : {}),
    };
    const files = trusted.add === undefined ? [] : [trusted.add];
    return await withHost(host, () =>
      use({ host, configured, files, ...(identityFile === undefined ? {} : { identityFile }) }),
    );
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function withHost<T>(host: Host, use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } finally {
    await host.close();
  }
}

/** Whether an ordinary user has sudo rules that ask for no password. */
async function mayUseSudo(spec: HostSpec): Promise<boolean> {
  const host = openHost(spec, { look: true });
  return withHost(host, async () => {
    if ((await host.facts()).root) return false;
    const { exitCode } = await host.run(['sudo', '-n', '-l'], {
      okCodes: anyExitCode,
    });
    return exitCode === 0;
  });
}

/** Where ssh looks. An agent would not be there at night. */
function usualIdentity(): string | undefined {
  const folder = join(homedir(), '.ssh');
  return ['id_ed25519', 'id_ecdsa', 'id_rsa'].map((name) => resolve(folder, name)).find(existsSync);
}
