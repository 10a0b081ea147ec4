import { z } from 'zod';
import { domain, file, flag, folder, list, offsiteName, port, strict, text, word } from './fields.js';
import { instance } from './schema-instance.js';
import { offsite } from './schema-offsite.js';

export type * from './configuration.js';

const tls = strict({
  serverName: word('a host name').optional(),
  caFile: file('certificates').optional(),
  certFile: file('a certificate').optional(),
  keyFile: file('a private key').optional(),
}).superRefine(({ certFile, keyFile }, context) => {
  if ((certFile === undefined) === (keyFile === undefined)) return;
  const [path, other] = certFile === undefined ? ['certFile', 'keyFile'] : ['keyFile', 'certFile'];
  context.addIssue({ code: 'custom', path: [path], message: `expected a file, since there is a ${other}` });
});

const address = text((input) => (/^\S+:\d{1,5}$/.test(input) ? input : null), 'host:port');

const server = strict({
  embedded: strict({ port: port.default(7233), uiPort: port.optional() })
    .optional()
    .meta({ description: 'A server of our own, on this machine.' }),
  address: address.optional().meta({ description: 'host:port of a Temporal cluster.' }),
  namespace: word('the name of a namespace').optional(),
  apiKeyFile: file('an API key').optional(),
  tls: z
    .union([flag(), tls], { error: 'expected true, or { caFile, certFile, keyFile, serverName }' })
    .optional(),
  profile: word('the name of a profile')
    .optional()
    .meta({ description: "A profile of Temporal's own temporal.toml." }),
  file: file("Temporal's profiles")
    .optional()
    .meta({ description: 'temporal.toml; default: where Temporal looks.' }),
  authenticatesClients: flag().optional().meta({
    description:
      'true: nobody reaches this cluster without a key or certificate of his own, so who may start a run may prune and restore, also from another machine. Default: that takes a permit, which only who reads the state folder can give.',
  }),
}).superRefine((given, context) => {
  const kinds = (['embedded', 'address', 'profile'] as const).filter((kind) => given[kind] !== undefined);
  if (kinds.length !== 1) {
    context.addIssue({ code: 'custom', path: [], message: 'expected one of embedded, address and profile' });
  }
  const companions = {
    namespace: 'address',
    apiKeyFile: 'address',
    tls: 'address',
    file: 'profile',
  } as const;
  for (const [key, kind] of Object.entries(companions)) {
    if (given[key as keyof typeof companions] === undefined || kinds.includes(kind)) continue;
    context.addIssue({ code: 'custom', path: [key], message: `expected only together with ${kind}` });
  }
  if (given.authenticatesClients === true && given.embedded !== undefined) {
    const message = 'expected only together with address or profile: the embedded server lets everybody in';
    context.addIssue({ code: 'custom', path: ['authenticatesClients'], message });
  }
});

const reports = strict({
  port: port.optional().meta({ description: "Default: 8243, or ten above that of our own Temporal's UI." }),
  url: text(
    (input) => (isPlainUrl(input) ? input.replace(/\/+$/, '') : null),
    'an http:// or https:// URL without a query',
  )
    .optional()
    .meta({ description: 'Where a proxy of yours shows them: links to reports begin with it.' }),
});

function isPlainUrl(input: string): boolean {
  const url = URL.canParse(input) ? new URL(input) : null;
  return url !== null && /^https?:$/.test(url.protocol) && `${url.username}${url.search}${url.hash}` === '';
}

const temporal = z
  .union([z.literal('embedded'), server], { error: 'expected embedded, { address: … } or { profile: … }' })
  .meta({
    description:
      'The Temporal server. Default: that of TEMPORAL_ADDRESS or TEMPORAL_PROFILE in the environment, else embedded.',
  });

/** The configuration file. Its input is what an operator writes; `resolve.ts` makes the program's form of the output. */
export const configurationSchema = strict({
  instances: z
    .record(domain, instance, {
      error: 'expected an instance by its LOCAL_DOMAIN, such as example.social: …',
    })
    .refine((all) => Object.keys(all).length > 0, { error: 'expected at least one instance' })
    .meta({ description: 'Mastodon servers, by their LOCAL_DOMAIN.' }),
  offsites: z
    .record(offsiteName, offsite, { error: 'expected an off-site by its name, such as vault: …' })
    .refine((all) => Object.keys(all).length > 0, { error: 'expected at least one off-site' })
    .meta({ description: 'Places outside the instance where backups are kept.' }),
  temporal: temporal.optional(),
  trustedKeys: list(file('a public key'), 'a list of files with public keys').default([]).meta({
    description:
      "Public keys whose signatures on manifests are trusted, besides this machine's own (signing.pub in its state folder).",
  }),
  reports: z
    .union([z.literal('off').transform(() => null), reports], { error: 'expected off, or { port: 8243 }' })
    .prefault({})
    .meta({
      description:
        "The pages of drills and restores, served by `up` and `worker` on this machine's loopback; off: not at all.",
    }),
  state: folder.prefault('/var/lib/permafrost').meta({
    description: "Permafrost's own folder on this machine: embedded server, drill scratch, local records.",
  }),
});

export type ConfigurationInput = z.output<typeof configurationSchema>;
