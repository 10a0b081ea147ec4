import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger, type InjectedSinks, Runtime, Worker } from '@temporalio/worker';
import type { EarSinks, Said } from './ear.js';
import type { History } from './history.js';

Runtime.install({ logger: new DefaultLogger('ERROR'), telemetryOptions: { logging: { filter: 'OFF' } } });

const pathOf = (file: string) => fileURLToPath(new URL(file, import.meta.url));

/** The workflows as they are, and an ear: once a file. */
const bundle = bundleWorkflowCode({
  workflowsPath: pathOf('../../src/workflows/index.ts'),
  workflowInterceptorModules: [pathOf('ear.ts')],
  logger: new DefaultLogger('ERROR'),
});

/** What the workflow asked for, in order. */
export class Heard {
  readonly said: Said[] = [];

  /** What was asked for under a name, each time. */
  readonly all = (name: string): Said[] => this.said.filter((said) => said.name === name);

  /** The report with which the run ended, well or not. */
  get report(): unknown {
    const last = this.said.at(-1);
    if (last?.command === 'complete') return last.input;
    const { details } = last?.input as { details: unknown[] };
    return details[1];
  }

  /** The failure with which the run ended. */
  get failure(): { type: string; message: string; next: string } {
    const last = this.said.at(-1);
    if (last?.command !== 'fail') throw new Error(`the run did not fail: ${this.tail()}`);
    const { message, details } = last.input as { message: string; details: [{ next: string }] };
    return { type: last.name, message, next: details[0].next };
  }

  tail(): string {
    return this.said
      .slice(-8)
      .map(({ command, name }) => `${command} ${name}`.trim())
      .join(', ');
  }
}

/**
 * Lets a workflow go through a history again.
 *
 * @throws DeterminismViolationError when it decides anything else than the history says.
 */
export async function replay(history: History): Promise<Heard> {
  const heard = new Heard();
  const sinks: InjectedSinks<EarSinks> = {
    ear: { heard: { fn: (_, said) => void heard.said.push(...said), callDuringReplay: true } },
  };
  try {
    await Worker.runReplayHistory(
      { workflowBundle: await bundle, sinks },
      { events: history.events },
      history.workflowId,
    );
  } catch (error) {
    if (error instanceof Error) error.message += `\nthe workflow asked last for: ${heard.tail()}`;
    throw error;
  }
  return heard;
}
