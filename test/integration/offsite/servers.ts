import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { toolPath } from '../../../src/hosts/tools.js';

/** For an sshd of which dozens of connections are made: its default costs twice the time, for quantum computers. */
export const quickKex = 'KexAlgorithms curve25519-sha256';

/** A server on loopback, at a port of its own, in front of a folder. */
export interface Server {
  /** `http://127.0.0.1:41234` */
  readonly url: string;
  stop(): Promise<void>;
}

/** S3 as rclone serves it: each folder in `folder` is a bucket. */
export function serveS3(folder: string, { key, secret }: { key: string; secret: string }): Promise<Server> {
  // Tests change files behind its back; a cache of no time at all makes it look so often that it stalls.
  return serve(['s3', '--dir-cache-time', '50ms'], folder, { RCLONE_AUTH_KEY: `"${key},${secret}"` });
}

/** restic's REST protocol as rclone serves it; `appendOnly` lets nothing be removed or replaced. */
export function serveRestic(
  folder: string,
  { user, password, appendOnly = false }: { user: string; password: string; appendOnly?: boolean },
): Promise<Server> {
  const env = { RCLONE_USER: user, RCLONE_PASS: password };
  const options = ['--cache-objects=false', ...(appendOnly ? ['--append-only'] : [])];
  return serve(['restic', ...options], folder, env);
}

/** WebDAV as rclone serves it, where nothing can be written or removed. */
export function serveReadOnly(folder: string): Promise<Server> {
  return serve(['webdav', '--read-only', '--dir-cache-time', '0s'], folder, {});
}

/** The server's own credentials come by its environment, so that a look at the list of processes finds only our leaks. */
async function serve(words: readonly string[], folder: string, env: Record<string, string>): Promise<Server> {
  const argv = ['serve', ...words, '--addr', '127.0.0.1:0', '--config', '/dev/null', folder];
  const server = spawn(toolPath('rclone').path, argv, {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = once(server, 'exit');
  const killed = () => server.kill('SIGKILL'); // when the test process ends without its clean-up
  process.once('exit', killed);
  const stop = async () => {
    process.off('exit', killed);
    server.kill();
    await ended;
  };
  let said = '';
  server.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4096)));
  for (let tries = 0; tries < 200; tries++) {
    const url = /\[(http:\/\/127\.0\.0\.1:\d+)\/\]/.exec(said)?.[1];
    if (url !== undefined) return { url, stop };
    if (server.exitCode !== null) break;
    await sleep(50);
  }
  await stop();
  throw new Error(`rclone serve ${words.join(' ')} does not start: ${said}`);
}
