import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger, type InjectedSinks, Runtime, Worker } from '@temporalio/worker';
import { DeterminismViolationError, type WorkflowInfo } from '@temporalio/workflow';
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
  const asked = new Map<number, number>();
  const listen = ({ historyLength }: WorkflowInfo, said: Said[]) => {
    heard.said.push(...said);
    asked.set(historyLength, (asked.get(historyLength) ?? 0) + said.length);
  };
  const sinks: InjectedSinks<EarSinks> = { ear: { heard: { fn: listen, callDuringReplay: true } } };
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
  requireInTime(history, asked);
  return heard;
}

/** Temporal's replay checks what is asked for and in which order, but not that it was not asked for too early. */
function requireInTime(history: History, asked: ReadonlyMap<number, number>): void {
  for (const [event, expected] of history.asked) {
    const found = asked.get(event) ?? 0;
    if (found === expected) continue;
    throw new DeterminismViolationError(
      `upon event ${String(event)} the workflow asked for ${String(found)} things, not for ${String(expected)}`,
    );
  }
}
