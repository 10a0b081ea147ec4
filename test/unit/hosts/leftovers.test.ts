import { spawnSync } from 'node:child_process';
import { chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ownMark, sweepLeft } from '../../../src/hosts/leftovers.js';
import { localHost } from '../../../src/hosts/local.js';

test('what dead processes have left goes at once, that of other machines in time, and nothing of the living', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'permafrost-leftovers-'));
  const host = localHost({ folder: join(folder, 'host') });
  const { pid } = spawnSync('true');
  const dead = `call.${ownMark().replace(/^\d+/, String(pid))}`;
  const elsewhere = (name: string) => `${name}.4.000000000000.000000000000`;
  const days: Record<string, number> = {
    [dead]: 0,
    [`call.${ownMark()}`]: 3, // a long restore
    [elsewhere('call')]: 0,
    [elsewhere('call.old')]: 3,
    'call.without a mark': 0,
    'call.without a mark,\nand old': 3,
    [dead.replace('call', 'somebody-elses')]: 3,
    [elsewhere('call.of another user')]: 3,
  };
  try {
    for (const [name, old] of Object.entries(days)) {
      mkdirSync(join(folder, name, 'inside'), { recursive: true });
      const at = Date.now() / 1000 - old * 86_400;
      utimesSync(join(folder, name), at, at);
    }
    chownSync(join(folder, elsewhere('call.of another user')), 65534, 65534); // anybody can put one into /dev/shm
    await sweepLeft(host, folder, (name) => name.startsWith('call'));
    const gone = Object.keys(days).filter((name) => !readdirSync(folder).includes(name));
    expect(gone).toEqual([dead, elsewhere('call.old'), 'call.without a mark,\nand old']);
    await sweepLeft(host, join(folder, 'nothing'), () => true);
  } finally {
    await host.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
