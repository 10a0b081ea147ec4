import { setTimeout as sleep } from 'node:timers/promises';
import type { Configuration } from '../../src/config/configuration.js';
import { connectWorker } from '../../src/temporal/connection.js';
import { installWorkerLog } from '../../src/temporal/worker-log.js';
import { failureOf } from './failures.js';
import type { Output } from './output.js';
import { serveConfigured } from './report-server.js';
import { tellSystemd } from './systemd-notice.js';

/** A worker that dies is started again after this; twice as long after each failure, up to the second. Milliseconds. */
const AGAIN_MS = { first: 1_000, most: 30_000 } as const;

export interface Working {
  stop: AbortSignal;
  out: Output;
  /** Called once, when the first worker works. */
  onReady: () => Promise<void>;
}

/**
 * Runs a worker until it is asked to stop; one that dies is replaced, loudly.
 *
 * @throws whatever keeps the very first one from starting.
 */
export async function keepWorking(configuration: Configuration, working: Working): Promise<void> {
  const { out } = working;
  installWorkerLog();
  const reports = await serveConfigured(configuration, (text) => out.complain(text));
  try {
    await workOnAndOn(configuration, working);
  } finally {
    await reports?.close();
  }
}

async function workOnAndOn(configuration: Configuration, { stop, out, onReady }: Working): Promise<void> {
  let waitMs: number = AGAIN_MS.first;
  let ready = false;
  while (!stop.aborted) {
    try {
      await workOnce(configuration, stop, async () => {
        if (ready) out.complain('The worker works again.');
        else await onReady().then(tellSystemd);
        ready = true;
        waitMs = AGAIN_MS.first;
      });
      if (!stop.aborted) out.complain('THE WORKER HAS STOPPED, though nobody asked it to.');
    } catch (error) {
      if (!ready) throw error;
      if (stop.aborted) out.say('A step did not hand over in time: the next start takes it up again.');
      else out.complain(`THE WORKER HAS DIED: ${failureOf(error).message}`);
    }
    if (stop.aborted) return;
    out.complain(`Starting it again in ${waitMs / 1000} s. Until then open runs wait.`);
    await sleep(waitMs, undefined, { signal: stop }).catch(() => undefined);
    waitMs = Math.min(waitMs * 2, AGAIN_MS.most);
  }
}

async function workOnce(
  configuration: Configuration,
  stop: AbortSignal,
  onStarted: () => Promise<void>,
): Promise<void> {
  const { connection, close } = await connectWorker(configuration.temporal);
  try {
    // Loaded here: no other verb needs the workflows' engine.
    const { startWorker } = await import('../../src/worker.js');
    const worker = await startWorker(configuration, { connection });
    const ended = worker.run();
    const shutDown = () => {
      try {
        worker.shutdown();
      } catch {
        // It is stopping already: the SDK listens to the same signals.
      }
    };
    if (stop.aborted) shutDown();
    stop.addEventListener('abort', shutDown, { once: true });
    try {
      await Promise.race([ended, onStarted()]);
      await ended;
    } finally {
      stop.removeEventListener('abort', shutDown);
    }
  } finally {
    await close();
  }
}
