import type { RcloneConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import { anyExitCode } from '../hosts/host.js';
import type { OffsitePlace } from './offsite.js';
import { rcloneCommand } from './rclone-command.js';
import { encryptionOf, refusedRemoval, remotesSchema, saidBy, transferProgress } from './rclone-output.js';
import { placeFile, placeText, poolFolder } from './tree-layout.js';
import type { TreeTransport } from './tree-transport.js';

/**
 * Any remote of rclone; a `crypt`, unless the configuration says otherwise. Whether the place has folders, renames,
 * modes or times does not matter: nothing of the kind is asked of it.
 *
 * Needs rclone 1.66 or newer: a file is written under another name first where the place cannot do so by itself
 * (1.63), and those names are not listed here.
 */
export function rcloneTransport(config: RcloneConfig, place: OffsitePlace, domain: string): TreeTransport {
  const { host, as, work } = place;
  const { argv, run, failureOf } = rcloneCommand(config, place);
  const placed = (path: string) => `${config.remote}${/[:/]$/.test(config.remote) ? '' : '/'}${path}`;
  const below = (folder: string) => placed(folder === '' ? domain : `${domain}/${folder}`);
  const script = (text: string, ...words: readonly string[]) => ['bash', '-c', text, 'bash', ...words];

  /** @throws Failure `ConfigInvalid` for a remote that is unknown, or that does not encrypt and should. */
  async function proveEncryption(): Promise<void> {
    const dumped = await run(await argv('config', 'dump'));
    if (dumped.exitCode !== 0) throw failureOf(dumped.exitCode, dumped.stderr);
    const remotes = remotesSchema.parse(JSON.parse(dumped.stdout));
    const found = encryptionOf(remotes, config.remote);
    if (found === undefined) {
      const names = Object.keys(remotes);
      throw new Failure(
        'ConfigInvalid',
        `off-site ${config.name}: ${config.configFile} leads ${config.remote} to no remote that it has`,
        {
          next:
            names.length === 0
              ? 'there is none in it: make one with rclone config'
              : `it has: ${names.join(', ')}`,
        },
      );
    }
    if (found.encrypted || !config.encrypted) return;
    throw new Failure(
      'ConfigInvalid',
      `off-site ${config.name} is not encrypted: ${config.remote} is ${found.way.join(' on ')}`,
      {
        next: 'put a remote of the type crypt on it (rclone config) and name that one, or write encrypted: false if everybody there may read the backups',
      },
    );
  }

  /** @throws Failure `NotFound` when nothing was set up there; `AuthFailed` when it was, under another password. */
  async function look(): Promise<void> {
    const quick = ['--retries', '1', '--low-level-retries', '2'];
    const file = await run(await argv('cat', placed(placeFile), ...quick));
    if (file.exitCode === 0 && file.stdout.startsWith(placeText.slice(0, 20))) return;
    const failure = failureOf(file.exitCode, file.stderr);
    if (failure.type !== 'NotFound' && file.exitCode !== 0) throw failure;
    // Under another password even the folder of the remote is not found: its whole is looked at.
    const whole = config.remote.slice(0, config.remote.indexOf(':') + 1);
    const listed = await run(await argv('lsf', '--max-depth', '1', whole, ...quick));
    if (listed.stdout === '' && /undecryptable/i.test(listed.stderr))
      throw new Failure(
        'AuthFailed',
        `off-site ${config.name}: the passwords of ${whole} do not open what is there`,
        {
          host: host.name,
          next: `take the passwords that it was set up with into ${config.configFile}; or, when what is there is not of rclone's crypt, give it a folder of its own`,
        },
      );
    throw new Failure('NotFound', `off-site ${config.name}: nothing was set up in ${config.remote} yet`, {
      host: host.name,
      next: `is the remote right, and its disk mounted? A new place is made by: permafrost offsite init ${config.name}`,
    });
  }

  async function write(to: string, content: string): Promise<void> {
    const words = await argv('copyto', '--ignore-times', '--no-traverse');
    const written = await run(script(writeScript, work, to, ...words), {
      stdin: content,
      timeoutMs: 600_000,
    });
    if (written.exitCode !== 0) throw failureOf(written.exitCode, written.stderr);
  }

  return {
    kind: 'rclone',

    async check() {
      await proveEncryption();
      await look();
    },

    async create() {
      await proveEncryption();
      try {
        await look();
      } catch (error) {
        if (!(error instanceof Failure) || error.type !== 'NotFound') throw error;
        await write(placed(placeFile), placeText);
        await look();
        return;
      }
      throw new Failure('Refused', `off-site ${config.name}: ${config.remote} was set up already`, {
        host: host.name,
        next: 'nothing has to be done; see what is there with: permafrost list',
      });
    },

    async listArgv(folder, depth) {
      const limit = depth === undefined ? [] : ['--max-depth', String(depth)];
      const format = ['--format', 'sp', '--separator', '\t'];
      const words = ['lsf', '-R', '--files-only', ...format, ...limit, '--checkers', '16', below(folder)];
      return script(listScript, ...(await argv(...words)));
    },

    async sendArgv(from, to, { overwrite = false, few = false } = {}) {
      return argv(
        ...['copy', '-L', overwrite ? '--ignore-times' : '--size-only', '--no-update-dir-modtime'],
        ...(overwrite || few ? ['--no-traverse'] : []),
        ...['--transfers', '4', '--checkers', '8', from, below(to)],
      );
    },

    sendProgress: ({ stderrTail }) => transferProgress(stderrTail),

    fetchArgv: async (from, names, to) =>
      argv(
        'copy',
        '--size-only',
        '--no-traverse',
        // Of a folder whose file did not come it could not be set, and would be one more complaint.
        '--no-update-dir-modtime',
        '--files-from-raw',
        names,
        // What comes is hashed here: what was damaged there comes as it is, and is known by its hash.
        '--ignore-checksum',
        '--transfers',
        '8',
        below(from),
        to,
      ),

    readArgv: (path) => argv('cat', below(path)),

    write: (path, content) => write(below(path), content),

    async remove(folder, names, follow) {
      const words = await argv(
        'delete',
        '--retries',
        '1',
        '--no-traverse',
        '--files-from-raw',
        names,
        '--checkers',
        '8',
        below(folder),
      );
      const tidy =
        folder === poolFolder ? [] : await argv('rmdirs', '--leave-root', '--retries', '1', below(folder));
      const ended = await follow(
        'remove',
        script(removeScript, String(words.length), ...words, ...tidy),
        { as, cwd: '/', nice: 10, okCodes: anyExitCode },
        () => ({}),
      );
      if (ended.exitCode === 0) return 'removed';
      const refused = refusedRemoval(ended.stderrTail);
      if (refused === 'all') return 'append-only';
      if (refused === 'some')
        throw new Failure(
          'OffsiteUnavailable',
          `off-site ${config.name} lets some files be removed and some not; left there: ${saidBy(ended.stderrTail)}`,
          { host: host.name, next: 'see what the key may remove there; the next removal goes on' },
        );
      throw failureOf(ended.exitCode, ended.stderrTail);
    },

    failureOf,
  };
}

/** rclone ends with 3 for a folder that is not there, which is an empty one; and for one that went away meanwhile. */
const listScript = `"$@" | perl -ne 'next if /\\.partial$/; print; $n = 1; END { exit($n ? 9 : 0) }'
ended=("\${PIPESTATUS[@]}"); case "\${ended[*]}" in '3 0') exit 0 ;; '3 9') exit 1 ;; esac
exit "\${ended[0]}"`;

/** $1 work folder, $2 path there, $3… copies a file. stdin: its content. */
const writeScript = `umask 077; mkdir -p -- "$1" && file=$(mktemp -- "$1/write.XXXXXXXX") || exit 1
trap 'rm -f -- "$file"' EXIT
cat > "$file" || exit 1
to=$2; shift 2; "$@" "$file" "$to"`;

/** $1 how many words remove, those words, the words that take empty folders away: what these say is nobody's matter. */
const removeScript = `count=$1; shift; "\${@:1:count}"; code=$?; shift "$count"
[ $code = 3 ] && code=0
[ $# = 0 ] || "$@" > /dev/null 2>&1
exit $code`;
