import type { Host } from './host.js';
import { localHost } from './local.js';
import { sshHost } from './ssh.js';

/** Where an instance's commands run, as the configuration resolves it. Paths are of the machine of the worker. */
export type HostSpec =
  | { kind: 'local'; folder?: string }
  | {
      kind: 'ssh';
      user: string;
      address: string;
      port: number;
      identityFile?: string;
      passphraseFile?: string;
      /** Default: `~/.ssh/known_hosts`. */
      knownHosts?: string;
      sudo: boolean;
      /** Permafrost's own folder on that host. */
      folder?: string;
    };

/**
 * Opens a host. Nothing is connected before the first command; the caller closes it.
 *
 * @param options.look for those who only look: Permafrost's own folder is not made there.
 */
export function openHost(spec: HostSpec, options: { look?: boolean } = {}): Host {
  return spec.kind === 'local' ? localHost({ ...spec, ...options }) : sshHost({ ...spec, ...options });
}
