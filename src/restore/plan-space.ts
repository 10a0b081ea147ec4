import type { RestorePlan } from '../backups/restore-report.js';
import { gigabytes } from '../backups/space.js';
import { psql } from '../mastodon/psql.js';
import type { ToPlan } from './plan.js';
import type { Verdict } from './verdict.js';

/** A loaded database is smaller than one that has lived; its indexes are built beside it. */
const databaseShare = 1.1;
/** On a small disk, what else grows meanwhile. */
const spareBytes = 256 << 20;

interface Need {
  readonly what: string;
  readonly path: string;
  readonly bytes: number;
}

/** Prints "device free mount" of the disk on which each argument lies or is going to lie. */
const disksScript = `for path; do
  until [ -d "$path" ]; do path=$(dirname -- "$path"); done
  printf '%s %s\\n' "$(stat -c %d -- "$path")" "$(df --output=avail,target -B1 -- "$path" | tail -n 1)"
done`;

/** Whether what a restore needs has room, disk by disk. @throws Failure `Refused`. */
export async function judgeSpace(
  given: ToPlan,
  verdict: Verdict,
): Promise<Pick<RestorePlan, 'needBytes' | 'freeBytes'>> {
  const { host, as } = given.target;
  const needs = (await needsOf(given)).filter(({ bytes }) => bytes > 0);
  const paths = needs.map(({ path }) => path);
  const { stdout } = await host.run(['sh', '-c', disksScript, 'sh', ...paths], { as });
  const disks = new Map<string, { free: number; mount: string; need: number; what: string[] }>();
  for (const [at, line] of stdout.trim().split('\n').entries()) {
    const [, device, free, mount] = /^(\S+)\s+(\d+)\s+(.*)$/.exec(line) ?? [];
    const need = needs[at];
    if (device === undefined || mount === undefined || need === undefined) continue;
    const disk = disks.get(device) ?? { free: Number(free), mount, need: spareBytes, what: [] };
    disks.set(device, { ...disk, need: disk.need + need.bytes, what: [...disk.what, need.what] });
  }
  for (const { free, mount, need, what } of disks.values()) {
    if (need <= free) continue;
    verdict.refuse(
      null,
      `${host.name} has ${gigabytes(free)} free on ${mount}, and about ${gigabytes(need)} are needed there (${what.join(', ')})`,
      'make room there; the old database stays until the undo is over',
    );
  }
  const tightest = [...disks.values()].sort(
    (one, other) => one.free - one.need - (other.free - other.need),
  )[0];
  return { needBytes: tightest?.need ?? 0, freeBytes: tightest?.free ?? 0 };
}

async function needsOf({ target, manifest, parts, staging }: ToPlan): Promise<Need[]> {
  const { host, database, admin, media } = target;
  const place = staging ?? (await host.facts()).folder;
  const bytesOf = (name: string) => manifest.parts.find((part) => part.name === name)?.bytes ?? 0;
  const needs: Need[] = [];
  if (parts.includes('database')) {
    const delta = manifest.database?.delta;
    const dump =
      delta === undefined ? bytesOf('database') : delta.fullBytes + delta.dumpBytes + bytesOf('database');
    needs.push({ what: 'the dump', path: place, bytes: dump });
    if (database?.local === true && admin?.superuser === true) {
      const [[folder] = []] = await psql(host, admin.access, 'SHOW data_directory');
      const size = manifest.database?.sizeBytes ?? 0;
      if (folder !== undefined && folder !== '')
        needs.push({ what: 'the new database', path: folder, bytes: Math.round(size * databaseShare) });
    }
  }
  if (parts.includes('redis')) needs.push({ what: "Redis's data", path: place, bytes: 3 * bytesOf('redis') });
  if (parts.includes('media') && media !== null) {
    const missing = Math.max(0, bytesOf('media') - (await bytesIn(target, media)));
    needs.push({ what: 'missing media', path: media, bytes: missing });
  }
  return needs;
}

/** A folder that takes too long to be looked through is taken for whole: what does not fit is told while it is added. */
async function bytesIn({ host, as }: ToPlan['target'], folder: string): Promise<number> {
  const script =
    '[ -d "$1" ] || { echo 0; exit; }; timeout 40 du -sb -- "$1" | cut -f 1; [ "${PIPESTATUS[0]}" = 0 ] || echo more';
  const { stdout } = await host.run(['bash', '-c', script, 'bash', folder], { as });
  return stdout.includes('more') ? Number.POSITIVE_INFINITY : Number(stdout.trim());
}
