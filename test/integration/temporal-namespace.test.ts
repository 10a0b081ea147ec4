import type { Connection } from '@temporalio/client';
import { expect, test } from 'vitest';
import { ensureNamespace } from '../../src/temporal/namespace.js';
import { PermafrostInstance, PermafrostPhase } from '../../src/temporal/search-attributes.js';
import { clientOf, startedServer } from './temporal-server.js';

test('runs are kept for a month and can be searched for', async () => {
  const { client, connection } = await clientOf(await startedServer());
  const first = await ensureNamespace(connection, 'default');
  expect(first).toMatchObject({ retentionDays: 30, missing: [], warnings: [] });
  expect(first.changes).toHaveLength(2);
  const { config } = await connection.workflowService.describeNamespace({ namespace: 'default' });
  expect(Number(config?.workflowExecutionRetentionTtl?.seconds)).toBe(30 * 86_400);
  await client.workflow.start('backup', {
    workflowId: 'found',
    taskQueue: 'nobody',
    typedSearchAttributes: [
      { key: PermafrostInstance, value: 'one.example' },
      { key: PermafrostPhase, value: 'capture' },
    ],
  });

  expect(await ensureNamespace(connection, 'default')).toEqual({
    retentionDays: 30,
    missing: [],
    changes: [],
    warnings: [],
  });
});

test('a namespace that is not there is named', async () => {
  const { connection } = await clientOf(await startedServer());
  await expect(ensureNamespace(connection, 'nowhere')).rejects.toMatchObject({
    type: 'NotFound',
    message: 'Temporal has no namespace nowhere',
  });
});

test('what we may not change is a warning with the command that does it', async () => {
  const { connection } = await clientOf(await startedServer());
  expect(await ensureNamespace(withoutRights(connection), 'default')).toEqual({
    retentionDays: 1,
    missing: ['PermafrostInstance', 'PermafrostStatus', 'PermafrostBackup', 'PermafrostPhase'],
    changes: [],
    warnings: [
      expect.stringContaining('temporal operator namespace update --namespace default --retention 30d'),
      expect.stringContaining(
        'temporal operator search-attribute create --namespace default --name PermafrostBackup --type Keyword',
      ),
    ],
  });
});

/** The development server lets everybody do everything; a cluster with an authorizer answers like this. */
function withoutRights(connection: Connection): Connection {
  const refuse = () => {
    const cause = Object.assign(new Error('7 PERMISSION_DENIED: Request unauthorized.'), {
      code: 7,
      details: 'Request unauthorized.',
      metadata: {},
    });
    return Promise.reject(cause);
  };
  const refusing = (service: object, method: string) =>
    Object.create(service, { [method]: { value: refuse } });
  return Object.create(connection, {
    workflowService: { value: refusing(connection.workflowService, 'updateNamespace') },
    operatorService: { value: refusing(connection.operatorService, 'addSearchAttributes') },
  }) as Connection;
}
