import { z } from 'zod';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { databaseAccess, type Instance } from '../mastodon/inspect.js';
import { parseEnvFile } from '../mastodon/env-file.js';
import { psql } from '../mastodon/psql.js';
import { proveSecrets } from '../mastodon/secrets-proof.js';
import { readSecretSamples, secretSamplesSql } from '../mastodon/secrets-samples.js';
import { activity, report } from './activity.js';
import { entryFacts, inMoment, schemaOf } from './database.js';
import type { Ground } from './ground.js';
import { runInput } from './inputs.js';
import { needFacts, spoolOf, writeFacts } from './spool.js';

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

export function secretsActivities(ground: Ground) {
  return {
    /** Archives the env file byte for byte, nginx and systemd overrides and the extra files, with modes and owners. */
    copySecrets: activity(z.strictObject({ run: runInput }), async ({ run }) => {
      const { host, instance } = await ground.inspect(run.instance, run.backup);
      const spool = await spoolOf(host, instance, run);
      const file = `${spool.folder}/secrets/secrets.tar`;
      const paths = [instance.envFile, ...instance.extraFiles];
      const tar = await asReader(host, instance, [
        'tar',
        '--create',
        '--format=pax',
        '--absolute-names',
        '--file=-',
        '--',
        ...paths,
      ]);
      const find = await asReader(host, instance, [
        'find',
        ...paths,
        '-type',
        'f',
        '-printf',
        '%m\\t%u\\t%g\\t%s\\t%p\\0',
      ]);
      const script = `umask 077; cd / && set -o pipefail; file=$1 n=$2; shift 2
"\${@:1:n}" | tee -- "$file.new" | sha256sum | cut -d ' ' -f 1 && mv -- "$file.new" "$file" && stat -c %s -- "$file" && "\${@:n+1}"`;
      const { stdout } = await host.run(
        ['bash', '-c', script, 'bash', file, String(tar.length), ...tar, ...find],
        { timeoutMs: 120_000 },
      );
      const [sha256 = '', size = '', ...rest] = stdout.split('\n');
      const files = rest
        .join('\n')
        .split('\0')
        .filter((record) => record !== '')
        .map((record) => {
          const [mode = '', owner = '', group = '', bytes = '0', ...path] = record.split('\t');
          return { path: path.join('\t'), mode: mode.padStart(4, '0'), owner, group, bytes: Number(bytes) };
        });
      await writeFacts(host, spool, 'secrets', {
        entry: { path: 'secrets.tar', bytes: Number(size), sha256 },
        files,
        variables: [...instance.env.keys()].sort(),
      });
      return { files: files.length };
    }),

    /**
     * Proves that the captured secrets are those of this database: sampled ciphertext of the dump's own snapshot opens
     * with them. Fails the run, before anything is sealed, when a key does not fit.
     */
    proveSecrets: activity(z.strictObject({ run: runInput }), async ({ run }) => {
      const { host, instance } = await ground.inspect(run.instance, run.backup);
      const spool = await spoolOf(host, instance, run);
      await needFacts(host, spool, 'secrets', secretsFacts);
      report({ subject: 'secrets' });
      const captured = await host.run([
        'tar',
        '--extract',
        '--to-stdout',
        '--absolute-names',
        `--file=${spool.folder}/secrets/secrets.tar`,
        '--',
        instance.envFile,
      ]);
      const env = new Map([...instance.env, ...parseEnvFile(captured.stdout)]);
      const schema = await schemaOf(host, instance);
      const select = secretSamplesSql(schema);
      const rows =
        select === null
          ? []
          : await psql(host, databaseAccess(instance), await inMoment(host, instance, run, `${select};`));
      const samples = readSecretSamples(rows.map((row) => row[0] ?? '').join('\n'));
      const proof = proveSecrets({ env, samples, schema });
      if (proof.findings.length > 0) {
        throw new Failure(
          'SecretsMismatch',
          `the secrets of ${instance.domain} are not those of its database: ${proof.findings.map(({ variable, problem }) => `${variable} ${problem}`).join('; ')}`,
          {
            host: host.name,
            next: `nothing was sealed. Find the env file that the running Mastodon was started with, put it at ${instance.envFile} (or name it with mastodon.envFile), and run the backup again`,
          },
        );
      }
      await writeFacts(host, spool, 'proof', {
        proven: proof.proven,
        tested: proof.tested,
        notes: proof.notes,
      });
      return { proven: proof.proven, tested: proof.tested, notes: [...proof.notes] };
    }),
  };
}

/** Root reads everything; where we are not root, Mastodon's own user reads its env file. */
async function asReader(host: Host, instance: Instance, argv: readonly string[]): Promise<string[]> {
  const { root } = await host.facts();
  return host.argvAs(argv, root ? 'login' : { user: instance.appUser });
}
