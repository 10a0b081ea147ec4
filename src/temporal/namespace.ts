import { setTimeout as sleep } from 'node:timers/promises';
import { type Connection, isGrpcServiceError } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import { Failure } from '../errors.js';
import { searchAttributes } from './search-attributes.js';

/** A month of runs can be looked at; a server's own default is one day. */
export const RETENTION_DAYS = 30;

const SECONDS_PER_DAY = 86_400;
const CALL_TIMEOUT_MS = 10_000;

/** How long a server may take to learn new search attributes; its namespace cache is refreshed every few seconds. */
const LEARN_TIMEOUT_MS = 30_000;

/** temporal.api.enums.v1.IndexedValueType: Keyword. */
const INDEXED_VALUE_TYPE_KEYWORD = 2;

/** gRPC's status codes (grpc.io/docs/guides/status-codes). */
const code = { INVALID_ARGUMENT: 3, ALREADY_EXISTS: 6, PERMISSION_DENIED: 7, UNIMPLEMENTED: 12 } as const;

/** What a server answers whose administration is not ours, as on Temporal Cloud. */
const notOurs: readonly number[] = [code.PERMISSION_DENIED, code.UNIMPLEMENTED];

export interface NamespaceReport {
  /** As it is now. Undefined when the server does not tell. */
  readonly retentionDays: number | undefined;
  /** Search attributes that are not there. While there are any, no run can be started: runs set them. */
  readonly missing: readonly string[];
  /** What was changed, in words. */
  readonly changes: readonly string[];
  /** What could not be done, each with the command that does it. */
  readonly warnings: readonly string[];
}

/**
 * Makes the namespace fit: histories are kept for 30 days or more, and Permafrost's search attributes exist and can be
 * used. Safe to repeat. What we may not change is a warning.
 *
 * @throws Failure `NotFound` when the namespace does not exist, `TemporalUnreachable`.
 */
export async function ensureNamespace(connection: Connection, namespace: string): Promise<NamespaceReport> {
  try {
    const retention = await ensureRetention(connection, namespace);
    const attributes = await ensureSearchAttributes(connection, namespace);
    return {
      retentionDays: retention.days,
      missing: attributes.missing,
      changes: [...retention.changes, ...attributes.changes],
      warnings: [...retention.warnings, ...attributes.warnings],
    };
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(
      'TemporalUnreachable',
      `Temporal stopped answering while namespace ${namespace} was set up`,
      {
        next: 'Try again; permafrost up shows whether the server runs.',
        cause: error,
      },
    );
  }
}

async function ensureRetention(connection: Connection, namespace: string) {
  const seconds = await retentionSeconds(connection, namespace);
  const days = seconds === undefined ? undefined : seconds / SECONDS_PER_DAY;
  if (days === undefined || days >= RETENTION_DAYS) return { days, changes: [], warnings: [] };

  const updated = await allowed(connection, () =>
    connection.workflowService.updateNamespace({
      namespace,
      config: { workflowExecutionRetentionTtl: msToTs(`${RETENTION_DAYS}d`) },
    }),
  );
  if (updated === 'refused') {
    const warning =
      `Namespace ${namespace} keeps finished runs for ${days} days, and we may not change that. ` +
      `Run as its administrator: temporal operator namespace update --namespace ${namespace} --retention ${RETENTION_DAYS}d`;
    return { days, changes: [], warnings: [warning] };
  }
  return {
    days: RETENTION_DAYS,
    changes: [`namespace ${namespace} keeps finished runs for ${RETENTION_DAYS} days (was ${days})`],
    warnings: [],
  };
}

async function retentionSeconds(connection: Connection, namespace: string): Promise<number | undefined> {
  const NOT_FOUND = 5;
  try {
    const described = await call(connection, () =>
      connection.workflowService.describeNamespace({ namespace }),
    );
    const ttl = described.config?.workflowExecutionRetentionTtl?.seconds;
    return ttl === undefined || ttl === null ? undefined : Number(ttl);
  } catch (error) {
    if (isGrpcServiceError(error) && error.code === NOT_FOUND) {
      throw new Failure('NotFound', `Temporal has no namespace ${namespace}`, {
        next: `Correct temporal.namespace in the configuration, or: temporal operator namespace create --namespace ${namespace}`,
        cause: error,
      });
    }
    if (isGrpcServiceError(error) && notOurs.includes(error.code)) return undefined;
    throw error;
  }
}

async function ensureSearchAttributes(connection: Connection, namespace: string) {
  const names = searchAttributes.map((key) => key.name);
  const before = await unusable(connection, namespace, names);
  if (before.length === 0) return { missing: [], changes: [], warnings: [] };

  const added = await allowed(connection, () =>
    connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(before.map((name) => [name, INDEXED_VALUE_TYPE_KEYWORD])),
    }),
  );
  if (added === 'refused') {
    const commands = before.map(
      (name) =>
        `temporal operator search-attribute create --namespace ${namespace} --name ${name} --type Keyword`,
    );
    const warning = `Namespace ${namespace} lacks search attributes that we may not create. Run as its administrator: `;
    return { missing: before, changes: [], warnings: [warning + commands.join('; ')] };
  }
  await untilUsable(connection, namespace, before);
  return { missing: [], changes: [`search attributes created: ${before.join(', ')}`], warnings: [] };
}

/** New attributes are known to every part of a server only a moment after they were added. */
async function untilUsable(
  connection: Connection,
  namespace: string,
  names: readonly string[],
): Promise<void> {
  const deadline = Date.now() + LEARN_TIMEOUT_MS;
  for (;;) {
    const left = await unusable(connection, namespace, names);
    if (left.length === 0) return;
    if (Date.now() > deadline) {
      throw new Failure(
        'TemporalUnreachable',
        `Temporal does not know the search attributes ${left.join(', ')} yet`,
        {
          next: 'Try again in a minute.',
        },
      );
    }
    await sleep(200);
  }
}

/** Those that a query cannot name yet: the question that the server answers in the same way to everybody. */
async function unusable(
  connection: Connection,
  namespace: string,
  names: readonly string[],
): Promise<string[]> {
  const bad: string[] = [];
  for (const name of names) {
    try {
      await call(connection, () =>
        connection.workflowService.countWorkflowExecutions({ namespace, query: `${name} = 'permafrost'` }),
      );
    } catch (error) {
      if (!isGrpcServiceError(error) || error.code !== code.INVALID_ARGUMENT) throw error;
      bad.push(name);
    }
  }
  return bad;
}

async function allowed(connection: Connection, change: () => Promise<unknown>): Promise<'done' | 'refused'> {
  try {
    await call(connection, change);
    return 'done';
  } catch (error) {
    if (isGrpcServiceError(error) && error.code === code.ALREADY_EXISTS) return 'done';
    if (isGrpcServiceError(error) && notOurs.includes(error.code)) return 'refused';
    throw error;
  }
}

function call<T>(connection: Connection, request: () => Promise<T>): Promise<T> {
  return connection.withDeadline(Date.now() + CALL_TIMEOUT_MS, request);
}
