import { execa } from 'execa';
import type { Manifest } from '../../src/backups/manifest.js';
import type { Configuration, InstanceConfig, OffsiteConfig } from '../../src/config/configuration.js';
import { Failure } from '../../src/errors.js';
import { openHost } from '../../src/hosts/open.js';
import { survey } from '../../src/mastodon/survey.js';
import { offsiteOf, showBackup } from '../../src/offsite/read.js';
import { present } from '../../src/present.js';
import { lastSheet, newSalt, type RecordedSheet, sheetMark } from '../../src/records/recovery-sheets.js';
import { version } from '../../src/version.js';
import { cloneFolder } from '../deploy/unit-files.js';
import type { SheetFacts, SheetFile, SheetInstance, SheetOffsite } from './facts.js';
import { newFolder, offsiteKeys, type OffsiteKeys, signingKeyFiles } from './key-files.js';
import { newConfiguration } from './new-configuration.js';

/** What the sheet puts on the new server, and the mark of all of it. */
interface Carried {
  readonly offsites: readonly { config: OffsiteConfig; keys: OffsiteKeys }[];
  readonly signing: readonly SheetFile[];
  /** Without the comments at its head. */
  readonly configuration: string;
  readonly mark: string;
  readonly salt: string;
}

/** All that a sheet says of an instance. Whoever does not answer is told in `missing`. */
export async function gatherFacts(
  configuration: Configuration,
  instance: InstanceConfig,
  { withSecrets, now = new Date() }: { withSecrets: boolean; now?: Date },
): Promise<{ facts: SheetFacts; record: RecordedSheet }> {
  const { domain } = instance;
  const missing: string[] = [];
  const [carried, found, lives, repository] = await Promise.all([
    carry(configuration, instance),
    newestBackup(configuration, domain, missing),
    lookAt(instance, missing),
    repositoryOf(),
  ]);
  const text = Buffer.from(`${headOf(domain, lives)}${carried.configuration}`);
  const file: SheetFile = {
    ...{ path: `${newFolder}/permafrost.yaml`, what: 'the configuration', secret: false, content: text },
  };
  const shown = (one: SheetFile): SheetFile => {
    const { content, ...rest } = one;
    return one.secret && !withSecrets ? rest : present({ ...rest, content });
  };
  const keys = carried.offsites.flatMap((one) => filesOf(one.keys));
  const facts: SheetFacts = {
    ...{ domain, madeAt: now, permafrost: version(), mark: carried.mark, withSecrets },
    ...present({ repository }),
    files: [file, ...carried.signing, ...withoutDoubles(keys)].map(shown),
    offsites: carried.offsites.map((one) => sheetOffsite(one.config, one.keys, shown)),
    instance: lives,
    manifest: found.manifest,
    newestOn: found.offsites,
    missing: [
      ...carried.offsites.flatMap((one) => one.keys.missing),
      ...onlyThere(carried, lives),
      ...missing,
    ],
  };
  const { mark, salt } = carried;
  return { facts, record: { madeAt: now.toISOString(), mark, salt, withSecrets } };
}

/**
 * Whether the sheet that was made last still fits: a sentence for `status` when it does not; undefined when it does, or
 * none was ever made. Asks nobody: it looks at files of this machine alone.
 */
export async function sheetProblem(
  configuration: Configuration,
  instance: InstanceConfig,
): Promise<string | undefined> {
  const { domain } = instance;
  const last = await lastSheet(configuration.state, domain);
  if (last === undefined) return undefined;
  const { mark, offsites } = await carry(configuration, instance);
  // Who may not read the keys cannot tell.
  const unread = offsites.some(({ keys }) => filesOf(keys).some(({ from, content }) => from && !content));
  if (mark === last.mark || unread) return undefined;
  return `the recovery sheet of ${last.madeAt.slice(0, 10)} no longer fits: keys, off-sites or the configuration have changed (make a new one: permafrost recovery-sheet ${domain})`;
}

async function carry(configuration: Configuration, instance: InstanceConfig): Promise<Carried> {
  const configs = instance.offsites.map((name) => offsiteOf(configuration, name));
  const offsites = shareFiles(
    await Promise.all(configs.map(async (config) => ({ config, keys: await offsiteKeys(config) }))),
  );
  const signing = await signingKeyFiles(configuration);
  const text = (wanted: (file: SheetFile) => boolean) => {
    const paths = offsites.map(({ config, keys }) => {
      const files = [...keys.files].filter(([, file]) => wanted(file));
      return [config.name, Object.fromEntries(files.map(([key, { path }]) => [key, path]))] as const;
    });
    return newConfiguration(
      configuration,
      instance.domain,
      new Map(paths),
      signing.map(({ path }) => path),
    );
  };
  const salt = (await lastSheet(configuration.state, instance.domain))?.salt ?? newSalt();
  // What is taken from ~/.ssh is another thing for another user, who is to come to the same mark.
  const configured = (file: SheetFile) => file.fromHome !== true;
  const files = [...signing, ...offsites.flatMap(({ keys }) => filesOf(keys))].filter(configured);
  const mark = sheetMark(salt, [text(configured), ...files.map(({ content }) => content ?? '')]);
  return { offsites, signing, configuration: text(() => true), mark, salt };
}

/** A key that several off-sites have in common is one file on the new server, too. */
function shareFiles(offsites: Carried['offsites']): Carried['offsites'] {
  const first = new Map<string, SheetFile>();
  const shared = (file: SheetFile): SheetFile => {
    if (file.from === undefined || !file.secret) return file;
    const there = first.get(file.from) ?? file;
    first.set(file.from, there);
    return there;
  };
  return offsites.map(({ config, keys }) => ({
    config,
    keys: { ...keys, files: new Map([...keys.files].map(([key, file]) => [key, shared(file)])) },
  }));
}

function filesOf({ files, named }: OffsiteKeys): SheetFile[] {
  return [...files.values(), ...named];
}

function headOf(domain: string, { host }: SheetInstance): string {
  const lived = host === 'local' ? 'on the same machine as Permafrost' : `on ${host}`;
  return `# ${domain} on a new server; until now it lived ${lived}.
# Nothing runs by itself here: put your schedule back (docs/configuration.md) when all is well.
`;
}

function sheetOffsite(
  config: OffsiteConfig,
  keys: OffsiteKeys,
  shown: (file: SheetFile) => SheetFile,
): SheetOffsite {
  const { name, kind } = config;
  const at = (key: string) => keys.files.get(key)?.path ?? '';
  const files = filesOf(keys).map(shown);
  const ssh = [
    ...(keys.files.has('identityFile') ? [`-i ${at('identityFile')}`] : []),
    ...(keys.files.has('knownHosts') ? [`-o UserKnownHostsFile=${at('knownHosts')}`] : []),
  ].join(' ');
  switch (config.kind) {
    case 'restic': {
      const credentials = keys.files.has('environmentFile') ? `set -a; . ${at('environmentFile')}; ` : '';
      const byHand = `${credentials}restic -r ${config.repository} --password-file ${at('passwordFile')}${ssh === '' ? '' : ` -o sftp.args='${ssh}'`} snapshots --tag permafrost,part=manifest`;
      return { name, kind, place: config.repository, files, byHand };
    }
    case 'rclone':
      return {
        ...{ name, kind, place: config.remote, files },
        byHand: `rclone --config ${at('configFile')} lsf ${config.remote}`,
      };
    case 'rsync':
      return {
        ...{ name, kind, files },
        place: `${config.target}${config.port === 22 ? '' : `, port ${String(config.port)}`}`,
        byHand: `rsync -e 'ssh -p ${String(config.port)} ${ssh}' ${config.target}/`,
      };
  }
}

/** A folder of the lost machine is no off-site on the worst day. */
function onlyThere({ offsites }: Carried, { host }: SheetInstance): string[] {
  return offsites.flatMap(({ config }) =>
    config.kind === 'restic' && config.repository.startsWith('/')
      ? [
          `${config.name} is a folder (${config.repository}) of ${host === 'local' ? 'the machine itself' : host}: it goes with it`,
        ]
      : [],
  );
}

async function newestBackup(
  configuration: Configuration,
  domain: string,
  missing: string[],
): Promise<{ manifest: Manifest | null; offsites: readonly string[] }> {
  try {
    const { manifest, offsites } = await showBackup(configuration, domain, 'latest');
    return { manifest, offsites: offsites.map(({ name }) => name) };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    missing.push(`what the newest backup holds, with its versions: ${error.message}`);
    return { manifest: null, offsites: [] };
  }
}

async function lookAt(instance: InstanceConfig, missing: string[]): Promise<SheetInstance> {
  const { root, envFile } = instance.mastodon;
  const host = openHost(instance.host);
  try {
    const { appUser, rubyVersion, nodeVersion } = await survey(
      host,
      root,
      envFile ?? `${root}/.env.production`,
    );
    const versions = { ruby: rubyVersion || undefined, node: nodeVersion || undefined };
    return present({ host: host.name, root, appUser, ...versions });
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    missing.push(`Mastodon's user and its versions of Ruby and Node: ${error.message}`);
    return { host: host.name, root };
  } finally {
    await host.close();
  }
}

/** Where this clone comes from, without a password that somebody may have put there. */
async function repositoryOf(): Promise<string | undefined> {
  const { stdout, exitCode } = await execa('git', ['-C', cloneFolder(), 'remote', 'get-url', 'origin'], {
    reject: false,
  });
  const url = stdout.trim();
  if (exitCode !== 0 || !/^(?:https?:\/\/|ssh:\/\/|git:\/\/|[\w.-]+@)\S+$/.test(url)) return undefined;
  return url.replace(/\/\/[^/@]*@/, '//');
}

function withoutDoubles(files: readonly SheetFile[]): SheetFile[] {
  return files.filter((file, index) => files.findIndex((one) => one.path === file.path) === index);
}
