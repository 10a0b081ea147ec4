import { z } from 'zod';
import { allowanceNames } from '../backups/allowances.js';
import {
  argv,
  commandName,
  commands,
  duration,
  file,
  flag,
  fraction,
  health,
  hostPath,
  hostPathOrNone,
  integer,
  list,
  offsiteName,
  port,
  sshAddress,
  strict,
  systemdUnit,
  timeOfDay,
  timezone,
  urlPath,
  userName,
  variables,
  word,
} from './fields.js';
import { changesClocks } from './values.js';

const sshHost = strict({
  ssh: sshAddress.meta({ description: 'user@address' }),
  port: port.default(22),
  identityFile: file('a private key')
    .optional()
    .meta({ description: 'The private key. Default: the SSH agent.' }),
  passphraseFile: file('a passphrase').optional().meta({ description: 'Opens identityFile.' }),
  knownHosts: file("the hosts' keys")
    .optional()
    .meta({ description: "The hosts' keys, which are always verified. Default: ~/.ssh/known_hosts." }),
  sudo: flag().default(false).meta({ description: 'Get root by `sudo -n`.' }),
  folder: hostPath("Permafrost's own folder on the host").optional(),
});

const host = z
  .union([z.literal('local'), sshHost], { error: 'expected local, or { ssh: user@address }' })
  .meta({ description: 'Where the commands run: this machine (local), or one reached over SSH.' });

const systemdServices = strict({
  kind: z.literal('systemd'),
  units: list(systemdUnit, 'a list of units such as [mastodon-web]')
    .min(1, { error: 'expected at least one unit; leave units out to have them found' })
    .optional()
    .meta({ description: 'Default: the units that work in the root.' }),
});

const commandServices = strict({
  kind: z.literal('commands'),
  start: commands.meta({ description: 'One argv, or one for each service.' }),
  stop: commands,
  status: commands.meta({ description: 'Exit code 0: the service runs.' }),
  names: list(commandName, 'a list of names such as [web, sidekiq]')
    .optional()
    .meta({ description: "The services' names, in the same order." }),
}).superRefine(({ start, stop, status, names }, context) => {
  for (const [key, list] of Object.entries({ stop, status, ...(names ? { names } : {}) })) {
    if (list.length === start.length) continue;
    const message = `expected as many entries as start has (${String(start.length)})`;
    context.addIssue({ code: 'custom', path: [key], message });
  }
});

const mastodon = strict({
  root: hostPath("Mastodon's folder").meta({
    description: "Mastodon's folder on the host: it holds .env.production and public/system.",
  }),
  envFile: hostPath('the env file').optional().meta({ description: 'Default: .env.production in the root.' }),
  media: hostPathOrNone('the media folder').optional().meta({
    description: 'The media folder; none when it lives in object storage. Default: as the env file says.',
  }),
  mediaCache: z
    .enum(['exclude', 'include'])
    .default('exclude')
    .meta({ description: 'Copies of remote files (public/system/cache).' }),
  redisDump: hostPath("Redis's dump").optional().meta({ description: 'Default: what Redis says.' }),
  services: z.discriminatedUnion('kind', [systemdServices, commandServices]).optional(),
  health: health.optional().meta({ description: 'Default: /health of the web service on this machine.' }),
  extraFiles: list(hostPath('a file or folder on the host, or a pattern'), 'a list of paths')
    .default([])
    .meta({
      description: "More files for the part secrets. nginx's site and the units' files are found anyway.",
    }),
});

const database = strict({
  format: z.literal('custom').default('custom'),
  jobs: integer(1, 32).default(2).meta({
    description: 'Tables restored side by side; a dump is one stream, which the media index runs beside.',
  }),
  lockWaitTimeout: duration('10s', { min: '1s' }).prefault('10s'),
  delta: z
    .union(
      [
        z.literal('off').transform(() => null),
        strict({ fullEvery: duration('7d', { min: '1d', max: '31d' }).prefault('7d') }),
      ],
      { error: 'expected off, or { fullEvery: 7d }' },
    )
    .prefault({})
    .meta({
      description:
        'A full dump so often at least, and on the nights between what has changed since; off: a full dump every night.',
    }),
  host: word('a host name or the folder of a socket')
    .optional()
    .meta({ description: 'Where PostgreSQL itself answers, when the env file names PgBouncer.' }),
  port: port.optional(),
});

const quiesce = strict({
  mode: z.enum(['brief', 'full', 'none']).default('brief'),
  budget: duration('10m', { min: '10s', max: '1d' })
    .prefault('10m')
    .meta({ description: 'How long the services may be down at most.' }),
  lease: duration('15m', { min: '2m', max: '1d' })
    .prefault('15m')
    .meta({ description: 'After this the host itself starts the services again.' }),
}).superRefine(({ budget, lease }, context) => {
  if (lease >= budget) return;
  const message = 'expected a lease (15m by default) at least as long as the budget (10m by default)';
  context.addIssue({ code: 'custom', path: ['lease'], message });
});

const retention = strict({
  last: integer(1, 10_000).default(3),
  daily: integer(0, 10_000).default(7),
  weekly: integer(0, 10_000).default(4),
  monthly: integer(0, 10_000).default(12),
  yearly: integer(0, 10_000).default(0),
});

const when = {
  timezone: timezone.prefault('UTC'),
  catchUp: duration('6h', { min: '10s' })
    .prefault('6h')
    .meta({ description: 'A run missed by an outage is made up for this long.' }),
  jitter: duration('5m').prefault('5m'),
};

const backupSchedule = strict({ at: timeOfDay.prefault('03:17'), ...when }).superRefine(refuseClockChange);

const drillSchedule = strict({
  day: integer(1, 28).default(1).meta({ description: 'Of the month.' }),
  at: timeOfDay.prefault('05:00'),
  ...when,
}).superRefine(refuseClockChange);

/**
 * On two nights of the year an hour between 01:00 and 03:00 is skipped or comes twice, and Temporal takes the calendar
 * literally (docs.temporal.io/schedule, daylight saving time).
 */
function refuseClockChange(
  schedule: { at: { hour: number }; timezone: string },
  context: z.RefinementCtx,
): void {
  if (schedule.at.hour < 1 || schedule.at.hour >= 3 || !changesClocks(schedule.timezone)) return;
  const message = `expected a time before 01:00 or from 03:00 on: when clocks change in ${schedule.timezone}, one in between is skipped or comes twice (or use timezone: UTC)`;
  context.addIssue({ code: 'custom', path: ['at'], message });
}

const never = z.literal('none').transform(() => null);

const schedule = strict({
  backup: z.union([never, backupSchedule], { error: 'expected { at: "03:17", … } or none' }).prefault({}),
  drill: z
    .union([never, drillSchedule], { error: 'expected { day: 1, at: "05:00", … } or none' })
    .prefault({}),
});

const application = strict({
  command: argv.meta({
    description: 'Starts the web process in the foreground, as in [bundle, exec, puma, -C, config/puma.rb].',
  }),
  directory: hostPath("Mastodon's code on the drill host").meta({
    description: 'The code of the version that is backed up, on the drill host: a checkout, or any folder.',
  }),
  environment: variables
    .default({})
    .meta({ description: 'More variables for it. No secrets: those come from the backup.' }),
  user: userName.optional().meta({ description: 'Who it runs as. Default: the user of the scratch.' }),
  health: urlPath.prefault('/health'),
  timeout: duration('3m', { min: '5s', max: '30m' })
    .prefault('3m')
    .meta({ description: 'How long it may take until health answers.' }),
});

const drill = strict({
  host: host.prefault('local').meta({ description: 'Where backups are restored for proof.' }),
  depth: z.enum(['files', 'database', 'application']).default('database'),
  rotateOffsites: flag().default(true),
  folder: hostPath('a folder on the drill host').optional().meta({
    description:
      'Where scratch is made on the drill host: a disk with room, encrypted where it can be. Default: /var/tmp.',
  }),
  application: application
    .optional()
    .meta({ description: 'The real Mastodon code, for the depth application.' }),
}).superRefine(({ host, depth, folder, application }, context) => {
  if (folder !== undefined && host !== 'local' && !folder.startsWith('/')) {
    const message = 'expected an absolute path on the drill host';
    context.addIssue({ code: 'custom', path: ['folder'], message });
  }
  if (application !== undefined && host !== 'local' && !application.directory.startsWith('/')) {
    const message = 'expected an absolute path on the drill host';
    context.addIssue({ code: 'custom', path: ['application', 'directory'], message });
  }
  if (depth !== 'application' || application !== undefined) return;
  const message = `expected a key application beside it, such as { command: [bundle, exec, puma, -C, config/puma.rb], directory: /home/mastodon/live, user: mastodon }`;
  context.addIssue({ code: 'custom', path: ['depth'], message });
});

export const instance = strict({
  host,
  mastodon,
  database: database.prefault({}),
  quiesce: quiesce.prefault({}),
  offsites: list(offsiteName, 'a list of names such as [vault]')
    .min(1, { error: 'expected at least one off-site; leave offsites out for all of them' })
    .refine((names) => new Set(names).size === names.length, { error: 'expected each off-site once' })
    .optional()
    .meta({ description: 'Names under the top-level key offsites. Default: all of them.' }),
  allow: list(z.enum(allowanceNames), 'a list of names such as [smaller-database]')
    .default([])
    .meta({ description: 'What preflight would refuse, and is meant so: it becomes a warning of the run.' }),
  verify: strict({
    media: strict({ new: fraction.prefault('all'), old: fraction.prefault('5%') }).prefault({}),
  })
    .prefault({})
    .meta({ description: 'How much media is read back; database, secrets and redis always are, whole.' }),
  retention: retention.prefault({}),
  schedule: schedule.prefault({}),
  drill: drill.prefault({}),
}).superRefine(({ host, mastodon }, context) => {
  if (host === 'local') return;
  const paths = Object.entries(mastodon).filter(([key]) => /^(?:root|envFile|media|redisDump)$/.test(key));
  for (const [key, path] of paths) {
    if (typeof path !== 'string' || path.startsWith('/') || (key === 'media' && path === 'none')) continue;
    context.addIssue({
      code: 'custom',
      path: ['mastodon', key],
      message: 'expected an absolute path on the host',
    });
  }
  mastodon.extraFiles.forEach((path, index) => {
    if (path.startsWith('/')) return;
    const message = 'expected an absolute path on the host';
    context.addIssue({ code: 'custom', path: ['mastodon', 'extraFiles', index], message });
  });
});

export type InstanceInput = z.output<typeof instance>;
