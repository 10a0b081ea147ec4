import type { Configuration, TemporalConfig } from '../../src/config/configuration.js';
import { WORKFLOWS } from '../../src/workflows/names.js';
import { connectClient, temporalTarget, type TemporalClient } from '../../src/temporal/connection.js';

/** Connects, works, and closes, whatever happens. @throws what `connectClient` throws, and what `work` throws. */
export async function withTemporal<T>(
  configuration: Configuration,
  work: (temporal: TemporalClient) => Promise<T>,
): Promise<T> {
  const temporal = await connectClient(configuration.temporal);
  try {
    return await work(temporal);
  } finally {
    await temporal.close();
  }
}

/**
 * Where a run can be looked at: Temporal's UI where we know its address, else the command of Temporal's own CLI.
 * The page of its user metadata is the one that says in words how things stand.
 */
export function whereToLook(temporal: TemporalConfig, workflowId: string, runId: string): string {
  const ui = uiAddress(temporal);
  const { namespace } = temporalTarget(temporal);
  if (ui === undefined)
    return `temporal workflow describe --namespace ${namespace} --workflow-id ${workflowId}`;
  return `${ui}/namespaces/${namespace}/workflows/${encodeURIComponent(workflowId)}/${runId}/user-metadata`;
}

/** The page of Temporal's UI that lists the backups alone: not the guards, nor what runs every five minutes. */
export function backupsPage(temporal: TemporalConfig): string | undefined {
  const ui = uiAddress(temporal);
  if (ui === undefined) return undefined;
  const query = encodeURIComponent(`WorkflowType="${WORKFLOWS.backup}"`);
  return `${ui}/namespaces/${temporalTarget(temporal).namespace}/workflows?query=${query}`;
}

/** The UI of the embedded server, or that of Temporal Cloud (docs.temporal.io/web-ui); undefined for any other. */
export function uiAddress(temporal: TemporalConfig): string | undefined {
  if (temporal.kind === 'embedded') return `http://127.0.0.1:${temporal.uiPort}`;
  const host = temporalTarget(temporal).connectionOptions.address.split(':')[0] ?? '';
  return host.endsWith('.tmprl.cloud') || host.endsWith('.api.temporal.io')
    ? 'https://cloud.temporal.io'
    : undefined;
}
