import { posix } from 'node:path';
import type { Manifest } from '../backups/manifest.js';
import { type ArchivedFile, compareArchive } from './archived-files.js';
import type { Journal, SwapStep } from './journal.js';
import type { Steps } from './steps.js';
import type { RestoreTarget } from './target.js';

const isNginx = ({ resolved, path }: ArchivedFile) =>
  [resolved, path].some((one) => one.startsWith('/etc/nginx/'));
const isUnit = ({ resolved }: ArchivedFile) => /^\/(?:etc|lib|usr\/lib|run)\/systemd\//.test(resolved);

/**
 * The steps that put the backup's secrets in place, as far as they differ from what is there. Their contents stay in the
 * journal.
 */
export async function filesSteps(
  target: RestoreTarget,
  manifest: Manifest,
  archive: string,
  journal: Journal,
): Promise<Steps> {
  const { host, as } = target;
  const into = `${journal.folder}/new`;
  const { files, warnings } = await compareArchive(target, manifest, archive, `${into}.all`, 'keep');
  const changed = files.map((file, number) => ({ ...file, number })).filter(({ state }) => state !== 'same');
  // Steps have numbers of their own.
  const numbers = changed.map(({ number }) => String(number));
  const sort =
    'all=$1 new=$2; shift 2; mkdir -p -- "$new" || exit 1; at=0; for n; do mv -- "$all/$n" "$new/$at" || exit 1; at=$((at + 1)); done; rm -rf -- "$all"';
  await host.run(['sh', '-c', sort, 'sh', `${into}.all`, into, ...numbers], { as });

  const put = changed.map(({ resolved, mode, owner, group }): SwapStep => ({
    kind: 'file',
    path: resolved,
    put: true,
    mode,
    owner,
    group,
  }));
  const links = await siteLinks(target, changed);
  const steps: SwapStep[] = [...put, ...links];
  const { systemd } = await host.facts();
  if (systemd && changed.some(isUnit)) {
    steps.push({ kind: 'daemon-reload' });
    const units = changed.some((file) => isUnit(file) && file.state === 'absent')
      ? unitsToEnable(target, manifest, changed)
      : [];
    if (units.length > 0) steps.push({ kind: 'enable', units });
  }
  if (changed.some(isNginx)) {
    // A site that was not there and that nothing leads to does no harm: an operator finds it.
    const harmless = (at: number) =>
      changed[at]?.state === 'absent' && changed[at].resolved.includes('/sites-available/');
    const putBack = [...put, ...links]
      .map((step, at) => ({ step, at }))
      .filter(
        ({ step, at }) =>
          step.kind === 'link' || (changed.some((file, n) => n === at && isNginx(file)) && !harmless(at)),
      )
      .map(({ at }) => at);
    steps.push({ kind: 'nginx', putBack });
  }
  const words = {
    absent: 'put in place',
    differs: 'replaced',
    attributes: 'its mode or owner set',
    same: '',
  };
  return { steps, lines: changed.map(({ path, state }) => `${path}: ${words[state]}`), warnings };
}

/** Debian's nginx reads the sites that a link in `sites-enabled` leads to. */
async function siteLinks(target: RestoreTarget, changed: readonly ArchivedFile[]): Promise<SwapStep[]> {
  const sites = changed.filter(
    ({ state, resolved }) => state === 'absent' && posix.dirname(resolved) === '/etc/nginx/sites-available',
  );
  if (sites.length === 0) return [];
  const { stdout, exitCode } = await target.host.run(['realpath', '-e', '--', '/etc/nginx/sites-enabled'], {
    okCodes: [0, 1],
  });
  if (exitCode !== 0) return [];
  return sites.map(({ resolved }) => ({
    kind: 'link',
    path: `${stdout.trimEnd()}/${posix.basename(resolved)}`,
    to: resolved,
  }));
}

/** The units that ran when the backup was taken; where that is not known, those that come with it. */
function unitsToEnable(
  target: RestoreTarget,
  manifest: Manifest,
  changed: readonly ArchivedFile[],
): string[] {
  if (target.services.services.kind !== 'systemd') return [];
  const named = manifest.quiesce.services.map((name) => (/\.[a-z]+$/.test(name) ? name : `${name}.service`));
  if (named.length > 0) return named;
  return changed
    .filter((file) => isUnit(file) && file.state === 'absent')
    .map(({ resolved }) => posix.basename(resolved))
    .filter((name) => name.endsWith('.service') && !name.endsWith('@.service'));
}
