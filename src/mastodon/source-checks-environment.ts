import { missingKeys } from './env-file.js';
import type { Look, Source, SourceCheck } from './source-check.js';

/** What the env file and the configuration say of the instance. */
export const environmentChecks = [
  {
    name: 'own-domain',
    parts: [],
    allowance: 'other-domain',
    look: ({ host, instance: { domain, env, envFile } }): Look => {
      const found = env.get('LOCAL_DOMAIN') ?? '';
      if (found.toLowerCase() === domain) return [true, `the env file is that of ${domain} (LOCAL_DOMAIN)`];
      const says = found === '' ? 'names no LOCAL_DOMAIN' : `is that of ${found} (LOCAL_DOMAIN)`;
      return [
        false,
        `the env file ${envFile} on ${host.name} ${says}, not of ${domain}`,
        'name the instance by its LOCAL_DOMAIN under instances in the configuration, or correct mastodon.root or mastodon.envFile',
      ];
    },
  },
  {
    // A valid one makes the server delete its accounts everywhere; a restore carries it over (D:admin/config.md, tootctl self-destruct).
    name: 'self-destruct',
    parts: [],
    allowance: 'self-destruct',
    look: ({ host, instance: { env, envFile } }): Look =>
      (env.get('SELF_DESTRUCT') ?? '').trim() === ''
        ? [true, 'SELF_DESTRUCT is not set']
        : [
            false,
            `SELF_DESTRUCT is set in ${envFile} on ${host.name}: this server is telling every other one to forget its accounts, and so would one that is restored from this backup`,
            'if that is not meant, take the line out of the env file',
          ],
  },
  {
    name: 'encryption-keys',
    parts: ['secrets'],
    allowance: 'unproven-secrets',
    look: ({ host, instance: { env, envFile, versions } }): Look => {
      const missing = missingKeys(env, versions.mastodon);
      if (missing.length === 0) return [true, 'the env file has the keys that a restore needs'];
      return [
        false,
        `the env file ${envFile} on ${host.name} lacks ${missing.join(', ')}: a restore without ${missing.length === 1 ? 'it' : 'them'} would not work`,
        'name the env file that Mastodon really runs with (mastodon.envFile in the configuration)',
      ];
    },
  },
  { name: 'service-commands', parts: [], look: serviceCommands },
] as const satisfies readonly SourceCheck[];

/** A status command that is not there would say "stopped", and a start command that is not there leaves it so. */
async function serviceCommands({ host, instance: { domain, services } }: Source): Promise<Look> {
  if (services.kind !== 'commands') return [true, 'the services are units of systemd'];
  const programs = services.services.flatMap(({ start, stop, status }) =>
    [start, stop, status].flatMap(([program]) => program ?? []),
  );
  const script = 'for program; do command -v -- "$program" > /dev/null || echo "$program"; done';
  const { stdout } = await host.run(['sh', '-c', script, 'sh', ...new Set(programs)]);
  const missing = stdout.trim().split('\n').join(', ');
  if (missing === '') return [true, 'the commands for the services are there'];
  return [
    false,
    `the services of ${domain} are to be started, stopped or asked by ${missing}, which is not on ${host.name}`,
    'correct mastodon.services in the configuration',
  ];
}
