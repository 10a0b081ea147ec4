import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { execa } from 'execa';
import { toolPath } from '../src/hosts/tools.js';
import type { SampleInstance } from '../sample/instance.js';
import type { WayName } from './ways/way.js';

/** The machine that figures come from: what it is, and what runs on it. */
export async function machineOf(
  folder: string,
  instance: SampleInstance,
  ways: readonly WayName[],
): Promise<Record<string, string>> {
  const uses = (...ends: readonly string[]) =>
    ways.some((name) => ends.some((end) => name.endsWith(`-${end}`)));
  const disk = await said('findmnt', '--noheadings', '--output', 'FSTYPE,SOURCE', '--target', folder);
  return {
    processor: `${String(cpus().length)} × ${cpus()[0]?.model ?? 'unknown'}`,
    memory: `${String(Math.round(totalmem() / 2 ** 30))} GiB`,
    disk: disk.replace(/\s+/g, ' '),
    system: `${systemName()}, Linux ${release()}`,
    'Node.js': process.versions.node,
    PostgreSQL: firstNumber(await instance.servers.postgres.sql('postgres', 'SHOW server_version')),
    Temporal: toolPath('temporal').version,
    restic: toolPath('restic').version,
    ...(uses('rclone', 'two') ? { rclone: toolPath('rclone').version } : {}),
    ...(uses('rsync') ? { rsync: toolPath('rsync').version } : {}),
    tar: firstNumber(await said('tar', '--version')),
    gzip: firstNumber(await said('gzip', '--version')),
    ...(ways.includes('borgmatic')
      ? {
          borg: firstNumber(await said('borg', '--version')),
          borgmatic: firstNumber(await said('borgmatic', '--version')),
        }
      : {}),
  };
}

async function said(command: string, ...words: string[]): Promise<string> {
  const { stdout } = await execa(command, words, { reject: false });
  return (stdout ?? '').trim();
}

function firstNumber(text: string): string {
  return /\d+(\.\d+)+/.exec(text)?.[0] ?? 'unknown';
}

function systemName(): string {
  return /^PRETTY_NAME="(.*)"$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'Linux';
}
