import { testbedAvailable } from '../testbed/available.js';
import { baseSystem } from '../testbed/baseSystem.js';

/**
 * Begins to build the test hosts' root file system, where there is none yet, while the cheaper tests run. Whoever needs
 * it first waits for it, and says what is wrong when there can be none.
 */
export default function setup(): () => Promise<void> {
  const built = begin().catch(() => undefined);
  return () => built;
}

async function begin(): Promise<void> {
  if (testbedAvailable() === null) await baseSystem(console.error);
}
