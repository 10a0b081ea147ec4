import { copyToStdout } from '../mastodon/media-files.js';
import { proveSecrets } from '../mastodon/secrets-proof.js';
import { readSecretSamples, secretSamplesSql } from '../mastodon/secrets-samples.js';
import type { AtDatabase } from './asked.js';
import { NotSeen, Wrong } from './check.js';
import { copyFields } from './copy-text.js';

/** Ciphertexts of each kind that are opened, taken at random: all of them but on the largest instances. */
const mostOfEachKind = 5_000;

/** The secrets of the same backup open what this database holds encrypted. */
export async function secretsOpen({ asked, schema, manifest, env }: AtDatabase): Promise<string> {
  if (env === null) throw new NotSeen(withoutSecrets(manifest.secrets !== undefined));
  const domain = env.get('LOCAL_DOMAIN')?.toLowerCase() ?? '';
  if (domain !== '' && domain !== manifest.instance)
    throw new Wrong(
      `the secrets are those of another instance: LOCAL_DOMAIN is ${domain}, and not ${manifest.instance}`,
    );
  const select = secretSamplesSql(schema, { newest: 0, random: mostOfEachKind, accounts: 0 });
  const documents: string[] = [];
  if (select !== null) {
    for await (const line of asked.lines(copyToStdout(select))) documents.push(copyFields(line)[0] ?? '');
  }
  const proof = proveSecrets({ env, samples: readSecretSamples(documents.join('\n')), schema });
  const [first] = proof.findings;
  if (first !== undefined) {
    const all = proof.findings.map(({ variable, problem }) => `${variable} ${problem}`);
    throw new Wrong(`the secrets are not those of this database: ${all.join('; ')}`);
  }
  if (proof.tested === 0) throw new NotSeen(proof.notes.join('; '));
  return [`the secrets open the database's ciphertext (${String(proof.tested)} tried)`, ...proof.notes].join(
    '; ',
  );
}

/** Why there is no environment to try. */
export function withoutSecrets(inBackup: boolean): string {
  return inBackup
    ? 'there is no env file among the secrets of this backup'
    : 'the secrets are not in this backup';
}
