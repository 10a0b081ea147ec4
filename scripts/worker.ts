#!/usr/bin/env -S node --optimize-for-size --max-semi-space-size=2
import { isMain, type Run, runScript } from './cli/command.js';
import { keepWorking } from './cli/keep-working.js';
import { stopSignal } from './cli/stop-signal.js';
import { temporalTarget } from '../src/temporal/connection.js';

export function workerCommand(run: Run) {
  return run
    .command('worker', 'run the worker alone, for a Temporal server that is there already')
    .action(async (_options, command) => {
      const { io, out, ...context } = run.context(command);
      const configuration = await context.configuration();
      const { connectionOptions, namespace } = temporalTarget(configuration.temporal);
      const stop = stopSignal(io, out);
      try {
        await keepWorking(configuration, {
          stop: stop.signal,
          out,
          onReady: () => {
            out.result({ ready: true, address: connectionOptions.address, namespace }, [
              `The worker works for ${connectionOptions.address}, namespace ${namespace}.`,
            ]);
            return Promise.resolve();
          },
        });
        out.say('The worker has stopped. Open runs wait for the next one.');
      } finally {
        stop.close();
      }
    });
}

if (isMain(import.meta.url)) await runScript(workerCommand);
