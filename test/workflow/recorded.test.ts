import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';
import { describe, expect, test } from 'vitest';
import { workflowBundle } from '../../src/temporal/bundle.js';

/**
 * Real runs of the past (test/histories/README.md), gone through again by the workflows of today: a run that is open
 * while Permafrost is upgraded must be able to go on.
 */

Runtime.install({ logger: new DefaultLogger('ERROR'), telemetryOptions: { logging: { filter: 'OFF' } } });

const folder = fileURLToPath(new URL('../histories/', import.meta.url));
const recorded = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.json'))
  .sort();

interface Recorded {
  events: ({ eventType: string } & Record<string, unknown>)[];
}

const read = (path: string) => JSON.parse(readFileSync(join(folder, path), 'utf8')) as Recorded;
const bundle = workflowBundle();

/** The id under which a history ran: ours are in their first event. */
function idOf({ events: [first] }: Recorded): string {
  const started = first?.['workflowExecutionStartedEventAttributes'] as { workflowId: string };
  return started.workflowId;
}

async function replay(history: Recorded): Promise<void> {
  await Worker.runReplayHistory({ workflowBundle: await bundle }, history, idOf(history));
}

test('there are some', () => {
  expect(recorded.length).toBeGreaterThanOrEqual(10);
});

describe.each(recorded)('%s', (path) => {
  test('is what the workflow would do today', async () => {
    await replay(read(path));
  });

  test('is short', () => {
    expect(read(path).events.length).toBeLessThan(300);
    expect(statSync(join(folder, path)).size).toBeLessThan(1024 * 1024);
  });
});

test('a history that is not true is noticed', async () => {
  const brief = recorded.find((path) => path.endsWith('backup-sealed-brief.json')) ?? '';
  const text = readFileSync(join(folder, brief), 'utf8').replaceAll('"startServices"', '"stopServices"');
  await expect(replay(JSON.parse(text) as Recorded)).rejects.toThrow(DeterminismViolationError);
});
