import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  TerminatedFailure,
  WorkflowFailedError,
  WorkflowNotFoundError,
} from '@temporalio/client';
import { RetryState } from '@temporalio/common';
import { describe, expect, test } from 'vitest';
import { failureOf, VerbFailed } from '../../../scripts/cli/failures.js';
import type { Run } from '../../../scripts/cli/command.js';
import { exitCodeOf, Failure } from '../../../src/errors.js';
import { failureText } from '../../../src/terminal/failure.js';
import { plain } from '../../../src/terminal/paint.js';
import { CapturedIo } from './captured-io.js';

function failedRun(cause: Error): WorkflowFailedError {
  return new WorkflowFailedError('Workflow execution failed', cause, RetryState.NON_RETRYABLE_FAILURE);
}

const refused = ApplicationFailure.create({
  type: 'Refused',
  message: 'restic is missing',
  nonRetryable: true,
  details: [{ next: 'npm run setup', host: 'backup@10.0.0.5' }],
});

describe('what a run failed with comes back as it was', () => {
  test('thrown by the workflow', () => {
    const failure = failureOf(failedRun(refused));
    expect(failure).toMatchObject({
      type: 'Refused',
      message: 'restic is missing',
      next: 'npm run setup',
      host: 'backup@10.0.0.5',
    });
    expect(exitCodeOf(failure.type)).toBe(3);
  });

  test('thrown by an activity, wrapped by Temporal', () => {
    const activity = new ActivityFailure(
      'Activity task failed',
      'preflight',
      '1',
      RetryState.NON_RETRYABLE_FAILURE,
      'w',
      refused,
    );
    expect(failureOf(failedRun(activity))).toMatchObject({ type: 'Refused', message: 'restic is missing' });
  });

  test('cancelled, terminated, unknown, and details of another form', () => {
    expect(failureOf(failedRun(new CancelledFailure('cancelled'))).type).toBe('Cancelled');
    expect(failureOf(failedRun(new TerminatedFailure('terminated'))).next).toContain('guard');
    expect(failureOf(new WorkflowNotFoundError('not found', 'backup/x', undefined)).type).toBe('NotFound');
    const odd = ApplicationFailure.create({
      type: 'TypeError',
      message: 'x is undefined',
      details: ['text'],
    });
    expect(failureOf(failedRun(odd))).toMatchObject({ type: 'Unexpected', message: 'x is undefined' });
  });
});

test('a person reads what happened, where, how things stand and what to do, within 80 columns', () => {
  const failure = new Failure(
    'SecretsMismatch',
    'the key OTP_SECRET does not open this database. '.repeat(4).trim(),
    {
      host: 'backup@10.0.0.5',
      next: 'Put the right .env.production back',
    },
  );
  const lines = failureText(failure, plain, 'The services are up.');
  expect(lines.every((line) => line.length <= 80)).toBe(true);
  const text = lines.join('\n');
  expect(text).toMatch(/^Failed\.\n {2}what happened {2}the key OTP_SECRET/);
  expect(text).toMatch(/^ {2}on host {8}backup@10\.0\.0\.5$/m);
  expect(text).toMatch(/^ {2}state now {6}The services are up\.$/m);
  expect(text).toMatch(/^ {2}what to do {5}Put the right/m);
});

describe('every error becomes one output', () => {
  const throwing = (error: unknown) => (run: Run) =>
    run
      .command('verb', 'a verb that fails')
      .argument('[word]')
      .action(() => {
        throw error;
      });

  test('with --json: one document on stdout, nothing else there', async () => {
    const io = new CapturedIo();
    const error = new VerbFailed(new Failure('ServicesDown', 'web is down', { next: 'act' }), 'state', {
      status: 'failed',
    });
    expect(await io.run(throwing(error), '--json')).toBe(9);
    expect(io.json()).toEqual({
      status: 'failed',
      error: { code: 9, type: 'ServicesDown', message: 'web is down', next: 'act' },
    });
  });

  test('without: on stderr, and no stack trace unless asked for', async () => {
    const quiet = new CapturedIo();
    expect(await quiet.run(throwing(new Error('a bug')))).toBe(1);
    expect(quiet.stdout.text).toBe('');
    expect(quiet.stderr.text).toContain('a bug');
    expect(quiet.stderr.text).not.toContain('    at ');
    const loud = new CapturedIo();
    await loud.run(throwing(new Error('a bug')), '--verbose');
    expect(loud.stderr.text).toContain('    at ');
  });

  test.each([
    ['an unknown option', ['--jsn']],
    ['too many words', ['a', 'b']],
  ])('wrong usage: %s', async (_what, args) => {
    const io = new CapturedIo();
    expect(await io.run(throwing(new Error('not reached')), ...args)).toBe(2);
    expect(io.stderr.text).toContain('--help');
    const json = new CapturedIo();
    expect(await json.run(throwing(new Error('not reached')), ...args, '--json')).toBe(2);
    expect(json.json()).toMatchObject({ error: { code: 2, type: 'ConfigInvalid' } });
  });

  test('help and version are no failures', async () => {
    const help = new CapturedIo();
    expect(await help.run(throwing(new Error('not reached')), '--help')).toBe(0);
    expect(help.stdout.text).toContain('Usage: verb');
    const version = new CapturedIo();
    expect(await version.run(throwing(new Error('not reached')), '--version')).toBe(0);
    expect(version.stdout.text).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});
