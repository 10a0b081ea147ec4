import type { RsyncConfig } from '../config/configuration.js';
import { Failure, type FailureType } from '../errors.js';
import type { OffsitePlace } from './offsite.js';

/** rsync as it is called for one target at one place: with its keys in files, and its exit codes understood. */
export function rsyncCommand(config: RsyncConfig, place: OffsitePlace) {
  const key = (file: string) => `${place.keys}/${config.name}.${file}`;
  const where = { host: place.host.name };
  /** The folder there; with its slash, so that what is in it is meant. */
  const target = `${config.target.replace(/\/+$/, '')}/`;

  /** The beginning of every call. */
  async function argv(): Promise<string[]> {
    const ssh = [
      ...['ssh', '-p', String(config.port), '-i', key('identity'), '-o', 'IdentitiesOnly=yes'],
      ...['-o', `UserKnownHostsFile=${key('known-hosts')}`, '-o', 'StrictHostKeyChecking=yes'],
      ...['-o', 'BatchMode=yes', '-o', 'ConnectTimeout=30', '-o', 'ServerAliveInterval=15'],
    ];
    // rsync counts in KiB a second, in whole numbers; 0 would be no limit.
    const limit =
      config.bandwidth === undefined
        ? []
        : [`--bwlimit=${String(Math.max(1, Math.floor(config.bandwidth / 1024)))}`];
    // What is dead ssh notices; the limit is for an rsync on the other side that hangs.
    return [await place.tool('rsync'), '-e', ssh.map(quoted).join(' '), '--timeout=600', '--no-h', ...limit];
  }

  /** What is told of a call that failed. */
  function failureOf(exitCode: number, output: string): Failure {
    const said = saidBy(output);
    const at = `off-site ${config.name}`;
    const meanings: [RegExp, FailureType, message: string, next: string][] = [
      [
        /Host key verification failed|HOST IDENTIFICATION HAS CHANGED/i,
        'HostKeyRejected',
        `${config.target} shows another key than ${config.knownHosts} has`,
        `ask its provider for the key's fingerprint; when it is right: ssh-keyscan -p ${String(config.port)} HOST >> ${config.knownHosts}`,
      ],
      [
        /Permission denied \(.*publickey|Permission denied, please try again|Too many authentication failures/i,
        'AuthFailed',
        `${config.target} does not accept the key of ${config.identityFile}`,
        'put its public half into authorized_keys there; a key with a passphrase cannot be used',
      ],
      [
        /Failed to exec ssh|ssh: (?:command )?not found/i,
        'ToolMissing',
        `rsync needs ssh, and there is none on ${where.host}`,
        `install openssh-client on ${where.host}`,
      ],
      [
        /rsync: (?:command )?not found/i,
        'OffsiteUnavailable',
        'there is no rsync on the other side',
        'install rsync there',
      ],
      [
        /No space left on device|Disk quota exceeded/i,
        'OffsiteUnavailable',
        `there is no room left: ${said}`,
        `make room there (permafrost prune), or get more of it; if it is ${where.host} that is full, make room here`,
      ],
      [
        /Read-only file system|read-only server/i,
        'OffsiteUnavailable',
        `nothing can be written there: ${said}`,
        'see that the disk there is writable, and that the key is not restricted to reading (rrsync -ro)',
      ],
      [
        /write-only server/i,
        'OffsiteUnavailable',
        `nothing can be read there: ${said}`,
        'backups are read back before they are sealed: allow the key to read (no rrsync -wo)',
      ],
      [
        /Another instance of rrsync/i,
        'OffsiteUnavailable',
        'rrsync lets in one at a time there',
        'give it the option -no-lock in authorized_keys: media and the small parts are sent side by side',
      ],
      [
        /No such file or directory/i,
        'NotFound',
        `something is not there: ${said}`,
        'is the target in the configuration right, and its disk mounted there?',
      ],
    ];
    const meant = meanings.find(([pattern]) => pattern.test(output));
    if (meant !== undefined) {
      const [, type, message, next] = meant;
      return new Failure(type, `${at}: ${message}`, { ...where, next });
    }
    const code = codes[exitCode] ?? `rsync ended with ${String(exitCode)}`;
    return new Failure(
      'OffsiteUnavailable',
      `${at}: ${code} (on ${where.host})${said === '' ? '' : `: ${said}`}`,
      {
        ...where,
        next: 'see the message; the run tries again by itself for a while, and goes on where it was cut',
      },
    );
  }

  return { argv, failureOf, target };
}

/** rsync(1), "EXIT VALUES", as far as they need another word. */
const codes: Readonly<Record<number, string>> = {
  5: 'rsync was refused by the other side',
  10: 'the connection failed',
  11: 'a file could not be written there; maybe there is no room left',
  12: 'the connection broke off, or the other side does not allow this',
  23: 'not everything could be copied',
  24: 'files vanished while they were read',
  30: 'the other side said nothing for ten minutes',
  35: 'the other side did not answer',
  255: 'ssh could not connect, or was cut',
};

/** rsync's `-e` is split at spaces, and takes quotes. */
function quoted(word: string): string {
  return /[\s'"]/.test(word) ? `"${word.replaceAll('"', '""')}"` : word;
}

/** The lines that say what was wrong; the last one of rsync only tells where in its source. */
function saidBy(output: string): string {
  const lines = output.split(/[\r\n]+/).map((line) => line.trim());
  const errors = lines.filter(
    (line) => /^(?:rsync|ssh|.*rrsync error|.*:)/.test(line) && !/^rsync error:/.test(line),
  );
  const last = lines.filter((line) => line.startsWith('rsync error:')).slice(-1);
  return [...new Set(errors.length > 0 ? errors : last)].join('; ').slice(-1000);
}

/** Whether a removal was refused for good, by the key's restriction (`rrsync -no-del`) or by the file system. */
export function isRefusedRemoval(output: string): boolean {
  return /option --delete\S* has been disabled|read-only server|unlink\(.*failed: (?:Operation not permitted|Permission denied|Read-only file system)/i.test(
    output,
  );
}

/** How far a send is, from the end of what `--info=progress2` printed. */
export function rsyncProgress(tail: string): { bytes?: number; files?: number } {
  const said = [...tail.matchAll(/(\d[\d,.]*)\s+\d+%[^\r\n(]*(?:\(xfr#(\d+))?/g)];
  const bytes = said.at(-1)?.[1];
  const files = said.findLast(([, , count]) => count !== undefined)?.[2];
  return {
    ...(bytes === undefined ? {} : { bytes: Number(bytes.replace(/\D/g, '')) }),
    ...(files === undefined ? {} : { files: Number(files) }),
  };
}
