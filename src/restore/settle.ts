import type { Host } from '../hosts/host.js';
import { settleArgv } from './swap.js';

/** A Redis of tens of GB may have to be loaded again, milliseconds. */
const patienceMs = 30 * 60_000;

/**
 * Makes one whole state of whatever swap of this domain was cut off on a host; without one, nothing. Before services are
 * started by whoever does not know what happened.
 *
 * @throws what `Host.run` throws: services are better not started then.
 */
export async function settleOpenSwap(host: Host, domain: string): Promise<void> {
  const argv = await settleArgv(host, domain);
  if (argv !== null) await host.run(argv, { timeoutMs: patienceMs });
}
