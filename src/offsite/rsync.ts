import { sizeText } from '../backups/space.js';
import type { RsyncConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import { anyExitCode } from '../hosts/host.js';
import { requirePrograms } from '../hosts/programs.js';
import { freeBytes } from '../hosts/space.js';
import type { OffsitePlace } from './offsite.js';
import { isRefusedRemoval, rsyncCommand, rsyncProgress } from './rsync-command.js';
import {
  fetchScript,
  listScript,
  readScript,
  removeScript,
  sendScript,
  writeScript,
} from './rsync-scripts.js';
import { placeFile, placeText } from './tree-layout.js';
import type { TreeTransport } from './tree-transport.js';

/** Bytes that stay free besides; smaller files are not asked about. */
const spareBytes = 8 << 20;

/**
 * Another server, reached by rsync over SSH. Only rsync's own protocol is asked for: storage boxes and keys that are
 * restricted by `rrsync` allow nothing else. Both sides need rsync 3.1 or newer.
 *
 * A file has its final name only when it is whole; what was sent of one that was cut waits in `.rsync-partial` beside it,
 * and is gone on with. (The `rrsync` of rsync 3.5 keeps none: behind it, that file is sent again.) In lists, no name
 * that begins with a dot is seen.
 */
export function rsyncTransport(config: RsyncConfig, place: OffsitePlace, domain: string): TreeTransport {
  const { host, as, work } = place;
  const { argv, failureOf, target } = rsyncCommand(config, place);
  const below = (folder: string) => (folder === '' ? domain : `${domain}/${folder}`);
  const script = (text: string, ...words: readonly string[]) => ['bash', '-c', text, 'bash', ...words];

  async function run(words: readonly string[], stdin?: string): Promise<string> {
    const { exitCode, stdout, stderr } = await host.run(words, {
      ...{ as, okCodes: anyExitCode, timeoutMs: 900_000 },
      ...(stdin === undefined ? {} : { stdin }),
    });
    if (exitCode !== 0) throw failureOf(exitCode, stderr);
    return stdout;
  }

  /** @throws Failure `ConfigInvalid` for a recipient that age does not take. */
  async function proveRecipients(): Promise<void> {
    if (!config.encrypted) return;
    const text = '"$1" -R <(printf "%s\\n" "${@:2}") < /dev/null > /dev/null';
    const words = script(text, await place.tool('age'), ...config.recipients);
    const { exitCode, stderr } = await host.run(words, { as, okCodes: anyExitCode });
    if (exitCode === 0) return;
    const line = /malformed recipient at line (\d+)/.exec(stderr)?.[1];
    const wrong = line === undefined ? stderr.trim() : `'${config.recipients[Number(line) - 1] ?? ''}'`;
    throw new Failure(
      'ConfigInvalid',
      `off-site ${config.name}: age cannot encrypt for its recipients: ${wrong}`,
      {
        next: 'correct recipients in the configuration; age-keygen -y FILE shows the public key of a private one',
      },
    );
  }

  async function check(): Promise<void> {
    await requirePrograms(host, ['ssh']);
    await proveRecipients();
    const found = await run([
      ...[...(await argv()), '--list-only', '-r'],
      ...['-f', `+ /${placeFile}`, '-f', `+ /${domain}/`, '-f', '- *', target],
    ]).catch((error: unknown) => {
      throw error instanceof Failure && error.type === 'NotFound' ? notMade() : error;
    });
    // A disk that is not mounted there is an empty folder, too.
    if (!found.includes(` ${placeFile}`) && !found.includes(` ${domain}`)) throw notMade();
  }

  /** A file is here as a whole before it is given out. */
  async function requireRoom(path: string, scratch: string, bytes: number): Promise<void> {
    if (bytes < spareBytes) return;
    const free = await freeBytes(host, scratch);
    if (free >= bytes + spareBytes) return;
    throw new Failure(
      'Refused',
      `${path} of off-site ${config.name} has ${sizeText(bytes)}, and ${host.name} has ${sizeText(free)} free under ${work}`,
      {
        host: host.name,
        next: `rsync cannot stream it: make room for ${sizeText(bytes + spareBytes)} there, or put that folder on a larger disk`,
      },
    );
  }

  function notMade(): Failure {
    return new Failure('NotFound', `off-site ${config.name}: nothing was set up in ${config.target} yet`, {
      host: host.name,
      next: `is the target right, and its disk mounted there? A new place is made by: permafrost offsite init ${config.name}`,
    });
  }

  return {
    kind: 'rsync',
    check,

    async create() {
      try {
        await check();
      } catch (error) {
        if (!(error instanceof Failure) || error.type !== 'NotFound') throw error;
        await run(script(writeScript, work, placeFile, target, ...(await argv())), placeText);
        return;
      }
      throw new Failure('Refused', `off-site ${config.name}: ${config.target} was set up already`, {
        host: host.name,
        next: 'nothing has to be done; see what is there with: permafrost list',
      });
    },

    async listArgv(folder, depth) {
      const path = below(folder);
      const names = path.split('/');
      const filters = [
        ...names.map((_, at) => `+ /${names.slice(0, at + 1).join('/')}/`),
        '- .*',
        ...(depth === undefined ? [] : [`- /${path}${'/*'.repeat(depth)}/`]),
        ...[`+ /${path}/**`, '- *'],
      ];
      const words = [
        ...(await argv()),
        '--list-only',
        '-r',
        ...filters.flatMap((one) => ['-f', one]),
        target,
      ];
      return script(listScript, path, ...words);
    },

    async sendArgv(from, to, { overwrite = false } = {}) {
      const quick = overwrite ? '--ignore-times' : '--size-only';
      return script(sendScript, work, from, below(to), quick, target, ...(await argv()));
    },

    sendProgress: ({ stdoutTail }) => rsyncProgress(stdoutTail),

    async fetchArgv(from, names, to) {
      return script(fetchScript, below(from), names, to, target, ...(await argv()));
    },

    async readArgv(path, scratch, bytes = 0) {
      await requireRoom(path, scratch, bytes);
      return script(readScript, scratch, below(path), target, ...(await argv()));
    },

    async write(path, content) {
      await run(script(writeScript, work, below(path), target, ...(await argv())), content);
    },

    async remove(folder, names, follow) {
      const ended = await follow(
        'remove',
        script(removeScript, work, below(folder), names, domain, target, ...(await argv())),
        { as, cwd: '/', nice: 10, okCodes: anyExitCode },
        () => ({}),
      );
      if (ended.exitCode === 0) return 'removed';
      if (isRefusedRemoval(ended.stderrTail) && !ended.stdoutTail.includes('deleting ')) return 'append-only';
      throw failureOf(ended.exitCode, ended.stderrTail);
    },

    failureOf,
  };
}
