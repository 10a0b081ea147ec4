import {
  type ConcludeActivationInput,
  defaultPayloadConverter,
  proxySinks,
  type Sinks,
  type WorkflowInterceptors,
} from '@temporalio/workflow';

/** Bundled with the workflows under test: tells the test what the workflow asked for, with all that it said. */

export interface Said {
  readonly command: string;
  readonly name: string;
  readonly input?: unknown;
  readonly options?: unknown;
}

export interface EarSinks extends Sinks {
  ear: { heard(said: Said[]): void };
}

const { ear } = proxySinks<EarSinks>();

type WorkflowCommand = ConcludeActivationInput['commands'][number];
type Payload = NonNullable<NonNullable<WorkflowCommand['scheduleActivity']>['arguments']>[number];

export function interceptors(): WorkflowInterceptors {
  return {
    internals: [
      {
        concludeActivation: (input, next) => {
          ear.heard(input.commands.map(heard));
          return next(input);
        },
      },
    ],
  };
}

function heard(command: WorkflowCommand): Said {
  if (command.scheduleActivity) {
    const { activityType, arguments: given, retryPolicy, cancellationType } = command.scheduleActivity;
    const { scheduleToCloseTimeout, startToCloseTimeout, heartbeatTimeout } = command.scheduleActivity;
    return {
      ...{ command: 'activity', name: activityType ?? '', input: value(given?.[0]) },
      options: {
        ...{ scheduleToClose: seconds(scheduleToCloseTimeout), startToClose: seconds(startToCloseTimeout) },
        ...{ heartbeat: seconds(heartbeatTimeout), cancellationType },
        attempts: retryPolicy?.maximumAttempts ?? 0,
        nextAttemptWithin: seconds(retryPolicy?.maximumInterval),
      },
    };
  }
  if (command.startChildWorkflowExecution) {
    const { workflowId, input, parentClosePolicy, cancellationType } = command.startChildWorkflowExecution;
    const options = { parentClosePolicy, cancellationType };
    return { command: 'child', name: workflowId ?? '', input: value(input?.[0]), options };
  }
  if (command.startTimer) {
    return { command: 'timer', name: '', input: seconds(command.startTimer.startToFireTimeout) };
  }
  if (command.completeWorkflowExecution) {
    return { command: 'complete', name: '', input: value(command.completeWorkflowExecution.result) };
  }
  if (command.failWorkflowExecution) {
    const { message, applicationFailureInfo: info } = command.failWorkflowExecution.failure ?? {};
    const details = (info?.details?.payloads ?? []).map(value);
    return { command: 'fail', name: info?.type ?? '', input: { message, details } };
  }
  const [kind = 'nothing'] = Object.entries(command).flatMap(([key, set]) => (set ? [key] : []));
  return { command: kind, name: '' };
}

function value(payload: Payload | null | undefined): unknown {
  return payload ? defaultPayloadConverter.fromPayload(payload as never) : undefined;
}

function seconds(duration: { seconds?: unknown } | null | undefined): number | null {
  return duration ? Number(String(duration.seconds ?? 0)) : null;
}
