import type { Configuration, InstanceConfig } from '../../src/config/configuration.js';
import { recentRefusals } from '../../src/records/refusals.js';
import { rememberedRestores } from '../../src/records/restores.js';
import type { UndoStatus } from '../../src/terminal/status.js';
import { plainText } from '../../src/terminal/plain-text.js';
import { present } from '../../src/present.js';

/** What this machine knows of an instance's restores: those that something is kept of, and who wanted one without leave. */
export async function restoresOf(
  { state }: Configuration,
  { domain }: InstanceConfig,
  now: Date,
): Promise<{ restores: UndoStatus[]; refusals: string[] }> {
  const restores = (await rememberedRestores(state, domain))
    .filter(({ gone }) => !gone)
    .map(({ restore, backup, to, undoUntil, undo, keptBytes }) =>
      present({ restore, backup, to, undoUntil, possible: undo === 'possible', keptBytes }),
    );
  const refused = await recentRefusals(state, domain, now);
  const refusals = [...new Set(refused.map(({ what }) => what))].map((what) => {
    const all = refused.filter((one) => one.what === what);
    const last = all.at(-1);
    const times = all.length === 1 ? '' : `, ${String(all.length)} times`;
    return `somebody wanted to ${what} ${domain} without a permit and was refused${times}; last at ${last?.at ?? ''}: ${plainText(last?.workflowId ?? '')}, run ${last?.runId ?? ''}, started by ${plainText(last?.startedBy ?? '')} (whoever it was reaches Temporal)`;
  });
  return { restores, refusals };
}
