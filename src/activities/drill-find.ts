import { z } from 'zod';
import { drillDepths, type DrillDepth } from '../backups/check.js';
import { formatBytes } from '../backups/bytes.js';
import {
  type HeldBackups,
  nearlyNewest,
  newestOf,
  type PastDrill,
  whoseTurn,
} from '../backups/drill-choice.js';
import { drillNeed } from '../backups/drill-space.js';
import type { BackupId } from '../backups/id.js';
import type { Manifest } from '../backups/manifest.js';
import { Failure } from '../errors.js';
import { freeBytes } from '../hosts/space.js';
import { readJudgedManifest } from '../offsite/manifest-check.js';
import type { StoredBackup, StoredBackups } from '../offsite/offsite.js';
import { chooseBackup, offsiteOf } from '../offsite/read.js';
import { trustedKeys } from '../offsite/trusted-keys.js';
import { needApplication } from '../proofs/application.js';
import { rememberedDrills } from '../records/drills.js';
import { requireServers } from '../scratch/require-servers.js';
import { defaultScratchFolder } from '../scratch/scratch.js';
import { activity, report } from './activity.js';
import { leastMajor } from './drill-load.js';
import { type FoundDrill, onDrillHost } from './drill-steps.js';
import { type Ground, type InstanceGround, refuse } from './ground.js';
import { backupInput, backupWordInput, domainInput, offsiteInput } from './inputs.js';

const findInput = z.strictObject({
  instance: domainInput,
  drill: backupInput,
  backup: backupWordInput.optional(),
  from: offsiteInput.optional(),
  depth: z.enum(drillDepths).optional(),
});

/** Drills looked back at, to know whose turn it is: some years of months. */
const farthest = 50;

export function findDrillActivities(ground: Ground) {
  return {
    /**
     * What is drilled, from where, and whether there is room for it. Everything is asked on the drill host, with the keys
     * alone; refuses here, before anything was fetched.
     */
    findDrill: activity(
      findInput,
      async ({ instance, backup: word, from, ...given }): Promise<FoundDrill> => {
        const here = await ground.drillGround(instance);
        const { configuration, config, host } = here;
        const depth = given.depth ?? config.drill.depth;
        if (depth === 'application') needApplication(config);
        const names = from === undefined ? config.offsites : [offsiteOf(configuration, from).name];
        const { lists, warnings } = await listOn(here, names);
        const held = names.flatMap((offsite) => {
          const list = lists.get(offsite);
          return list === undefined ? [] : [{ offsite, sealed: list.sealed }];
        });
        const chosen = await choose(here, held, {
          word,
          depth,
          unread: names.filter((name) => !lists.has(name)),
        });
        const stored = lists.get(chosen.from)?.sealed.find(({ backup }) => backup === chosen.backup);
        if (stored === undefined)
          throw new Failure('Unexpected', `${chosen.backup} is not on ${chosen.from}`);
        const found = { ...chosen, host: host.name, depth, media: null, warnings, notProven: [] };
        return judged(here, found, stored);
      },
    ),
  };
}

/** What the off-sites hold, as the drill host sees them. One that cannot be asked is a warning, unless none can. */
async function listOn(
  here: InstanceGround,
  names: readonly string[],
): Promise<{ lists: Map<string, StoredBackups>; warnings: string[] }> {
  const lists = new Map<string, StoredBackups>();
  const failures: { name: string; failure: Failure }[] = [];
  await Promise.all(
    names.map(async (name) => {
      try {
        lists.set(name, await onDrillHost(here, name, (copy) => copy.list()));
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        failures.push({ name, failure: error });
      }
    }),
  );
  const [first] = failures;
  if (lists.size === 0 && first !== undefined) throw first.failure;
  return {
    lists,
    warnings: failures.map(({ name, failure }) => `${name} could not be asked: ${failure.message}`),
  };
}

async function choose(
  { configuration: { state }, config }: InstanceGround,
  held: readonly HeldBackups[],
  {
    word = 'latest',
    depth,
    unread,
  }: { word: string | undefined; depth: DrillDepth; unread: readonly string[] },
): Promise<{ backup: BackupId; from: string }> {
  const all = held.flatMap(({ sealed }) => sealed.map(({ backup }) => backup));
  const known = { domain: config.domain, unread };
  const latest = word === 'latest';
  const exact = latest && all.length > 0 ? undefined : chooseBackup(all, word, known);
  const having =
    exact === undefined
      ? nearlyNewest(held, depth)
      : held.filter(({ sealed }) => sealed.some(({ backup }) => backup === exact));
  const past: PastDrill[] = [];
  if (config.drill.rotateOffsites) {
    for await (const { from, passed, status } of rememberedDrills(state, config.domain)) {
      if (status === 'passed' || status === 'findings') past.push({ from, passed });
      if (past.length >= farthest) break;
    }
  }
  const from = whoseTurn(
    having.map(({ offsite }) => offsite),
    past,
  );
  const one = having.find(({ offsite }) => offsite === from);
  const backup = exact ?? (one === undefined ? undefined : newestOf(one, depth));
  if (from === undefined || backup === undefined)
    throw new Failure('NotFound', `there is no sealed backup of ${config.domain}`);
  return { backup, from };
}

/** What the manifest adds: how much, and that there is room for it. One that nobody can restore by is the finding. */
async function judged(here: InstanceGround, found: FoundDrill, stored: StoredBackup): Promise<FoundDrill> {
  const { configuration, config } = here;
  const trusted = await trustedKeys(configuration);
  report({ subject: found.from });
  const { manifest, problems } = await onDrillHost(here, found.from, (copy) =>
    readJudgedManifest(copy, stored, { instance: config.domain, trusted }),
  );
  if (manifest === undefined || manifest.backup !== found.backup) {
    const detail = `the manifest ${problems.join('; it ')}`;
    return { ...found, finding: { name: 'manifest-signature', passed: false, detail, durationMs: 0 } };
  }
  const has = (name: string) => manifest.parts.some((part) => part.name === name);
  const bare = !has('database') && found.depth !== 'files';
  const depth = bare ? 'files' : found.depth;
  const major = depth === 'files' ? null : leastMajor(manifest);
  const redis = has('redis') || depth === 'application';
  await requireServers(here.host, { ...(major === undefined ? {} : { major }), redis });
  await requireSpace(here, manifest, depth, offsiteOf(configuration, found.from).kind === 'rsync');
  const media = manifest.parts.find(({ name }) => name === 'media');
  return {
    ...found,
    depth,
    media: media === undefined ? null : { bytes: media.bytes, files: media.files },
    notProven: [
      ...(bare ? ['Nothing of the database: the backup has none.'] : []),
      ...(has('secrets') ? [] : ['Nothing of the secrets: the backup has none.']),
    ],
  };
}

/** @throws Failure `Refused` that says how much is missing, and where. */
async function requireSpace(
  { host, config }: InstanceGround,
  manifest: Manifest,
  depth: DrillDepth,
  staged: boolean,
): Promise<void> {
  const folder = config.drill.folder ?? defaultScratchFolder;
  const [need, free] = [drillNeed(manifest, depth, { staged }), await freeBytes(host, folder)];
  if (free >= need) return;
  throw refuse(
    `${folder} on ${host.name} has ${formatBytes(free)} free, and a drill of ${manifest.backup} needs about ${formatBytes(need)}`,
    `make room, name another folder (drill.folder) or another host (drill.host), or drill with --depth files`,
    host,
  );
}
