import { resolve } from 'node:path';
import { PassThrough, pipeline, Readable } from 'node:stream';
import { execa } from 'execa';
import { Failure } from '../errors.js';
import type { Host } from './host.js';
import { checkArgv } from './quote.js';
import { ShellHost } from './shell-host.js';
import { exitCodeFrom, feed, type Running, type StartOptions, type Transport } from './transport.js';

/**
 * This machine.
 *
 * @param spec.folder Permafrost's own folder; default `/var/lib/permafrost` for root, else
 *   `$XDG_STATE_HOME/permafrost` or `~/.local/state/permafrost`.
 * @param spec.look do not make that folder.
 */
export function localHost(spec: { folder?: string; look?: boolean } = {}): Host {
  const folder = spec.folder === undefined ? undefined : resolve(spec.folder);
  return new ShellHost(new LocalTransport(folder, spec.look === true));
}

class LocalTransport implements Transport {
  readonly name = 'local';
  readonly sudo = false;

  constructor(
    readonly folder: string | undefined,
    readonly look: boolean,
  ) {}

  async start(argv: readonly string[], options: StartOptions = {}): Promise<Running> {
    checkArgv(argv);
    const [program = '', ...words] = argv;
    // In a session of its own, and not ended with us: a short command carries its own time limit, and is better
    // finished than cut.
    const child = execa(program, words, {
      ...inputOf(options.stdin),
      stdout: 'pipe',
      stderr: 'pipe',
      env: childEnvironment(process.env),
      extendEnv: false,
      cwd: '/',
      buffer: false,
      encoding: 'buffer',
      reject: false,
      detached: true,
      cleanup: false,
    });
    const { stderr } = child;
    // execa reads on by itself what nobody listens to at once: here it waits for whoever comes.
    const stdout = new PassThrough({ highWaterMark: 1024 * 1024 });
    pipeline(child.stdout, stdout, () => undefined);
    if (options.stdin instanceof Readable && child.stdin) feed(options.stdin, child.stdin);
    const exited = new Promise<number>((done, fail) => {
      child.once('exit', (code, signal) => done(exitCodeFrom(code, signal)));
      void child.then((result) => {
        if (result.exitCode !== undefined || result.signal !== undefined) return;
        fail(
          new Failure('Unexpected', `${program} could not be started here: ${result.originalMessage ?? ''}`),
        );
      });
    });
    exited.catch(() => undefined);
    return {
      stdout,
      stderr,
      exited,
      abandon: () => {
        stdout.destroy();
        stderr.destroy();
        child.stdin?.destroy();
        child.unref();
      },
      drained: async () => undefined,
    };
  }

  async close(): Promise<void> {}
}

function inputOf(stdin: StartOptions['stdin']) {
  if (stdin === undefined) return { stdin: 'ignore' as const };
  return stdin instanceof Readable ? { stdin: 'pipe' as const } : { input: stdin };
}

/**
 * The environment of a login, as over SSH: what names the user, the language, the agent and the proxies, and none of
 * the secrets that may lie in the worker's own environment.
 */
function childEnvironment(environment: NodeJS.ProcessEnv): Record<string, string> {
  const wanted =
    /^(HOME|USER|LOGNAME|SHELL|PATH|LANG|LANGUAGE|LC_.*|TZ|TMPDIR|SSH_AUTH_SOCK|XDG_.*|SSL_CERT_(FILE|DIR)|(https?|all|no)_proxy)$/i;
  const chosen: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment))
    if (value !== undefined && wanted.test(name)) chosen[name] = value;
  return chosen;
}
