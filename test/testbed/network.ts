import { execa } from 'execa';

/** A bridge of the testbed's own; no way out of it. */
export interface Network {
  readonly bridge: string;
  /** This machine's address on it. */
  readonly address: string;
  /** The address of the testbed's nth host, with the length of its prefix. */
  hostAddress(index: number): { address: string; prefix: number };
  destroy(): Promise<void>;
}

export async function createNetwork(bridge: string): Promise<Network> {
  const prefix = await freePrefix();
  const address = `${prefix}.1`;
  await execa('ip', ['link', 'add', bridge, 'type', 'bridge']);
  await execa('ip', ['address', 'add', `${address}/24`, 'dev', bridge]);
  await execa('ip', ['link', 'set', bridge, 'up']);
  return {
    bridge,
    address,
    hostAddress: (index) => ({ address: `${prefix}.${String(10 + index)}`, prefix: 24 }),
    destroy: () => removeBridge(bridge),
  };
}

export async function removeBridge(bridge: string): Promise<void> {
  await execa('ip', ['link', 'delete', bridge], { reject: false });
}

/** The first three numbers of a private network, chosen by our pid, that no route leads to yet. */
async function freePrefix(): Promise<string> {
  const { stdout: routes } = await execa('ip', ['route', 'show', 'table', 'all']);
  for (let candidate = process.pid; ; candidate++) {
    const prefix = `10.${String(100 + ((candidate >> 8) & 127))}.${String(candidate & 255)}`;
    if (!routes.includes(`${prefix}.`)) return prefix;
  }
}
