import { partNames } from '../backups/parts.js';
import type { LastSealed } from '../backups/report.js';
import { isPart, type RememberedRun, rememberedRuns } from './read-runs.js';

/**
 * What this machine remembers of the newest runs that sealed something.
 *
 * @param state Permafrost's own folder on this machine (`Configuration.state`).
 * @param warn is told of each record that cannot be read; it is passed over.
 * @returns null when no run is remembered: a new machine, or a new instance.
 */
export async function lastSealed(
  state: string,
  instance: string,
  warn: (text: string) => void = () => undefined,
): Promise<LastSealed | null> {
  let last: LastSealed | null = null;
  for await (const report of rememberedRuns(state, instance, warn)) {
    if (report.status !== 'sealed' && report.status !== 'partial') continue;
    last = add(last ?? { backup: report.backup, finishedAt: report.finishedAt, parts: {} }, report);
    if (partNames.every((part) => last?.parts[part] !== undefined)) break;
  }
  return last;
}

function add(last: LastSealed, report: RememberedRun): LastSealed {
  const parts = { ...last.parts };
  for (const { name, bytes, files } of report.parts) {
    if (isPart(name)) parts[name] ??= { bytes, files };
  }
  const databaseBytes =
    last.databaseBytes ?? report.plan?.parts.find(({ name }) => name === 'database')?.sourceBytes;
  const mediaPlace = last.mediaPlace ?? report.plan?.mediaPlace;
  return {
    ...last,
    parts,
    ...(databaseBytes === undefined ? {} : { databaseBytes }),
    ...(mediaPlace === undefined ? {} : { mediaPlace }),
  };
}
