import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { Failure } from '../../src/errors.js';
import { packageSource } from './packageSource.js';

const packages: Record<string, string> = {
  debootstrap: 'debootstrap',
  'systemd-nspawn': 'systemd-container',
  ip: 'iproute2',
  ssh: 'openssh-client',
  'ssh-keygen': 'openssh-client',
  setpriv: 'util-linux',
  unshare: 'util-linux',
};

/**
 * Why there can be no testbed on this machine, or null when there can be one.
 *
 * @throws Failure `ToolMissing` instead of returning a reason when CI=true: there, a test that is skipped is a failure.
 */
export function testbedAvailable(): string | null {
  const reason = whyNot();
  if (reason !== null && process.env['CI'] === 'true') {
    throw new Failure('ToolMissing', `There can be no testbed here, and this is CI: ${reason}.`, {
      next: 'Run as root on Debian or Ubuntu, with debootstrap and systemd-container.',
    });
  }
  return reason;
}

function whyNot(): string | null {
  if (process.platform !== 'linux') return 'it needs Linux';
  if (process.getuid?.() !== 0) return 'it needs root';
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin'];
  const missing = Object.keys(packages).filter(
    (tool) => !folders.some((folder) => isExecutable(join(folder, tool))),
  );
  if (missing.length > 0) {
    const wanted = [...new Set(missing.map((tool) => packages[tool] ?? tool))];
    return `${missing.join(', ')} is missing: apt-get install ${wanted.join(' ')}`;
  }
  return packageSource() === null
    ? "this machine's apt sources name no mirror of its own distribution"
    : null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
