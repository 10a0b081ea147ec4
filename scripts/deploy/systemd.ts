import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Failure } from '../../src/errors.js';
import type { Host } from '../../src/hosts/host.js';
import { unitNames, type UnitName, unitPaths, type UnitPlan } from './unit-files.js';

/** Starting takes as long as the unit's TimeoutStartSec at most, stopping as TimeoutStopSec; then systemd decides. */
const TURN_MS = 180_000;

/** @throws Failure `Refused` where units cannot be installed: without systemd, or as another user than root. */
export function requireSystemd(): void {
  if (!existsSync('/run/systemd/system')) {
    throw new Failure('Refused', 'systemd does not run this machine', {
      next: 'Let what runs it keep this up instead: permafrost up',
    });
  }
  if (process.getuid?.() !== 0) {
    throw new Failure('Refused', 'only root may install and remove units', {
      next: 'Run the same with sudo. `permafrost unit show` prints what would be installed.',
    });
  }
}

/** Which of our units are installed. */
export function installedUnits(): UnitName[] {
  return unitNames.filter((name) => existsSync(unitPaths(name).unit));
}

/** Writes what differs. @returns whether anything did. */
export async function writeUnit({ name, local, files }: UnitPlan): Promise<boolean> {
  let changed = false;
  for (const { path, text } of files) {
    if ((await readFile(path, 'utf8').catch(() => undefined)) === text) continue;
    await mkdir(dirname(path), { recursive: true });
    await writeFile(`${path}.new`, text);
    await chmod(`${path}.new`, 0o644);
    await rename(`${path}.new`, path);
    changed = true;
  }
  if (!local && (await removeDropIn(name))) changed = true;
  return changed;
}

/** Removes our own files. @returns the folder of drop-ins when somebody else's are left in it. */
export async function removeUnit(name: UnitName): Promise<string | undefined> {
  const { unit, dropIns } = unitPaths(name);
  await rm(unit, { force: true });
  await removeDropIn(name);
  return existsSync(dropIns) ? dropIns : undefined;
}

async function removeDropIn(name: UnitName): Promise<boolean> {
  const { local, dropIns } = unitPaths(name);
  const there = existsSync(local);
  await rm(local, { force: true });
  await rmdir(dropIns).catch(() => undefined);
  return there;
}

/** Has systemd read the files again, starts the unit now and at every boot. A unit that runs is started anew. */
export async function enable(machine: Host, name: UnitName, { restart }: { restart: boolean }) {
  await machine.run(['systemctl', 'daemon-reload']);
  await machine.run(['systemctl', 'enable', '--quiet', name]);
  const since = `@${String(Math.floor(Date.now() / 1000))}`;
  const turn = await machine.run(['systemctl', restart ? 'restart' : 'start', name], {
    okCodes: [0, 1],
    timeoutMs: TURN_MS,
  });
  if (turn.exitCode === 0) return;
  const journal = ['journalctl', '-u', name, '--since', since, '-o', 'cat', '--no-pager'];
  const { stdout } = await machine.run(journal, { okCodes: [0, 1] });
  const said = stdout.trim().split('\n').slice(0, 12).join('\n');
  throw new Failure('CommandFailed', `${name} is installed, but does not start:\n${said}`, {
    next: `Mend what it says; systemd tries again every few seconds. See: journalctl -u ${name} -e`,
  });
}

export async function disable(machine: Host, name: UnitName): Promise<void> {
  await machine.run(['systemctl', 'disable', '--quiet', '--now', name], { timeoutMs: TURN_MS });
}

export async function forget(machine: Host, name: UnitName): Promise<void> {
  await machine.run(['systemctl', 'daemon-reload']);
  // A failed unit stays on systemd's list until it is told so.
  await machine.run(['systemctl', 'reset-failed', name], { okCodes: [0, 1] });
}

export async function isActive(machine: Host, name: UnitName): Promise<boolean> {
  return (
    (await machine.run(['systemctl', 'is-active', '--quiet', name], { okCodes: [0, 3, 4] })).exitCode === 0
  );
}
