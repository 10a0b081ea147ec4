import { setTimeout as sleep } from 'node:timers/promises';
import type { DrillApplication } from '../config/configuration.js';
import { Failure } from '../errors.js';
import type { Namespaced } from '../scratch/namespace.js';
import { withoutValues } from './application-environment.js';
import type { Web } from './application-web.js';
import { Wrong } from './check.js';

export interface Boot {
  readonly namespace: Namespaced;
  readonly web: Web;
  readonly application: DrillApplication;
  readonly environment: ReadonlyMap<string, string>;
  readonly host: string;
  readonly tell: () => void;
}

/** A Rails of Mastodon's size takes 10 to 60 s. */
const betweenLooksMs = 250;

/**
 * Waits until the application answers at its health path.
 *
 * @returns milliseconds since the call. @throws Wrong when it ends or does not answer in time, with the end of its log;
 *   Failure `ToolMissing` when there is no such command.
 */
export async function booted(boot: Boot): Promise<number> {
  const { namespace, web, application, tell } = boot;
  const began = performance.now();
  const passed = () => performance.now() - began;
  let last: number | null = null;
  while (passed() < application.timeoutMs) {
    tell();
    const status = await namespace.status();
    if (status.state === 'exited') throw await ended(boot, status.exitCode);
    if (status.state !== 'running') throw await ended(boot, null);
    last = await web.status(application.health);
    if (last === 200) return Math.round(passed());
    await sleep(betweenLooksMs);
  }
  const said = last === null ? 'nobody answered' : `the last answer was ${String(last)}`;
  throw new Wrong(
    `the application did not answer ${application.health} with 200 within ${String(application.timeoutMs / 1000)} s (${said}). ${await lastWords(boot)}`,
  );
}

async function ended(boot: Boot, exitCode: number | null): Promise<Error> {
  const words = await lastWords(boot);
  // What a shell ends with when there is no such command, or it cannot be run.
  if (exitCode === 126 || exitCode === 127) {
    const { command, directory } = boot.application;
    return new Failure('ToolMissing', `${command[0] ?? ''} could not be started in ${directory}. ${words}`, {
      host: boot.host,
      next: 'correct drill.application in the configuration: command, directory, user and PATH',
    });
  }
  const how = exitCode === null ? 'was killed' : `ended with ${String(exitCode)}`;
  return new Wrong(`the application ${how} before it answered. ${words}`);
}

/** The end of its log; never a value of its environment. */
export async function lastWords({
  namespace,
  environment,
}: Pick<Boot, 'namespace' | 'environment'>): Promise<string> {
  const log = withoutValues(await namespace.logTail(), environment);
  const lines = log
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  if (lines.length === 0) return 'It has said nothing.';
  return `Its last words: ${lines.slice(-6).join(' | ').slice(-600)}`;
}
