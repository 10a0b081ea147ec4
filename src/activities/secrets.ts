import { z } from 'zod';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { schemaOf } from '../mastodon/database-schema.js';
import { databaseAccess, type Instance } from '../mastodon/inspect.js';
import { environmentOf, filesOf } from '../mastodon/environment.js';
import { psql } from '../mastodon/psql.js';
import { archivedTexts, archiveSecrets } from '../mastodon/secrets-archive.js';
import { proveSecrets } from '../mastodon/secrets-proof.js';
import { readSecretSamples, secretSamplesSql } from '../mastodon/secrets-samples.js';
import { activity, report } from './activity.js';
import { entryFacts, inMoment } from './database.js';
import type { Ground } from './ground.js';
import { allowInput, runInput } from './inputs.js';
import { needFacts, type Spool, spoolOf, writeFacts } from './spool.js';

const secretFile = z.object({
  path: z.string(),
  mode: z.string(),
  owner: z.string(),
  group: z.string(),
  bytes: z.number(),
});
export const secretsFacts = z.object({
  entry: entryFacts,
  files: z.array(secretFile),
  variables: z.array(z.string()),
});
export const proofFacts = z.object({ proven: z.boolean(), tested: z.number(), notes: z.array(z.string()) });

const proofInput = z.strictObject({ run: runInput, allow: allowInput.optional() });

export function secretsActivities(ground: Ground) {
  return {
    /**
     * Archives the env file byte for byte, nginx's and systemd's files and the extra files, with modes and owners; of
     * links what they lead to.
     *
     * @throws Failure `PartInvalid` when the env file is not in it, or empty.
     */
    copySecrets: activity(z.strictObject({ run: runInput }), async ({ run }) => {
      const { host, instance } = await ground.inspect(run.instance, run.backup);
      const spool = await spoolOf(host, instance, run);
      const { root } = await host.facts();
      const { files, ...entry } = await archiveSecrets(host, {
        paths: [instance.envFile, ...instance.extraFiles],
        // Root reads everything; where we are not root, Mastodon's own user reads its env file.
        as: root ? 'login' : { user: instance.appUser },
        file: archiveOf(spool),
      });
      if (!files.some(({ path, bytes }) => path === instance.envFile && bytes > 0)) {
        throw new Failure(
          'PartInvalid',
          `the env file ${instance.envFile} on ${host.name} was empty, or no file, when it was copied`,
          {
            host: host.name,
            next: 'nothing was sealed: put it right, or name the one that Mastodon runs with (mastodon.envFile in the configuration)',
          },
        );
      }
      await writeFacts(host, spool, 'secrets', {
        entry: { path: 'secrets.tar', ...entry },
        files,
        variables: [...instance.env.keys()].sort(),
      });
      return { files: files.length };
    }),

    /**
     * Proves that the captured secrets are those of this database: sampled ciphertext of the dump's own snapshot opens
     * with them. Fails the run, before anything is sealed, when a key does not fit and `unproven-secrets` is not allowed.
     */
    proveSecrets: activity(proofInput, async ({ run, allow = [] }) => {
      const { config, host, instance } = await ground.inspect(run.instance, run.backup);
      const spool = await spoolOf(host, instance, run);
      const { files } = await needFacts(host, spool, 'secrets', secretsFacts);
      report({ subject: 'secrets' });
      const { env, absent } = await capturedEnv(host, instance, archiveOf(spool), files);
      const schema = await schemaOf(host, instance);
      const select = secretSamplesSql(schema);
      const rows =
        select === null
          ? []
          : await psql(host, databaseAccess(instance), await inMoment(host, instance, run, `${select};`));
      const samples = readSecretSamples(rows.map((row) => row[0] ?? '').join('\n'));
      const proof = proveSecrets({ env, samples, schema });
      const found = proof.findings.map(({ variable, problem }) => `${variable} ${problem}`);
      const allowed = [...config.allow, ...allow].includes('unproven-secrets');
      if (proof.findings.length > 0 && !allowed) {
        throw new Failure(
          'SecretsMismatch',
          `the copied secrets of ${instance.domain} are not those of its database: ${found.join('; ')}${absent.length === 0 ? '' : ` (not in the copy: ${absent.join(', ')})`}`,
          {
            host: host.name,
            next: `nothing was sealed. Find the env file that the running Mastodon was started with, put it at ${instance.envFile} (or name it with mastodon.envFile), and run the backup again; or allow it: --allow unproven-secrets`,
          },
        );
      }
      const notes = [...found.map((finding) => `not proven: ${finding}`), ...proof.notes];
      const facts = { proven: proof.proven, tested: proof.tested, notes };
      await writeFacts(host, spool, 'proof', facts);
      return facts;
    }),
  };
}

function archiveOf(spool: Spool): string {
  return `${spool.folder}/secrets/secrets.tar`;
}

/**
 * The environment that a server would have of the archive alone; nothing of the living one counts.
 *
 * @returns also the files that it should have come from and that are not in the archive.
 */
async function capturedEnv(
  host: Host,
  instance: Instance,
  archive: string,
  files: readonly { path: string }[],
): Promise<{ env: Map<string, string>; absent: string[] }> {
  const archived = new Set(files.map(({ path }) => path));
  const isThere = (path: string) => archived.has(path);
  const sources = instance.envSources.filter((source) => filesOf(source).every(isThere));
  const texts = await archivedTexts(
    host,
    archive,
    sources.flatMap((source) => (source.kind === 'file' ? [source.path] : [])),
  );
  const absent = instance.envSources.flatMap(filesOf).filter((path) => !isThere(path));
  return { env: environmentOf(sources, texts), absent };
}
