import { formatBytes, formatCount, formatTime } from '../../src/terminal/format.js';
import { plainText } from '../../src/terminal/plain-text.js';
import type { Block, Document } from './document.js';
import type { SheetFacts, SheetOffsite } from './facts.js';
import { checkFiles, writeFiles } from './write-files.js';

/** Where the clone lies on the new server. */
const clone = '/opt/permafrost';

/** The command, whoever calls it from wherever. */
const permafrost = `node ${clone}/dist/scripts/permafrost.js`;

/** What somebody needs on the worst day, and nothing else. Pure. */
export function recoverySheet(facts: SheetFacts): Document {
  const { domain, madeAt, permafrost: version, mark, withSecrets, missing } = facts;
  return {
    title: `Recovery sheet: ${domain}`,
    lead: `Made ${formatTime(madeAt)} by Permafrost ${version}. Mark: \`${mark}\`. Make it anew after a change of keys, off-sites or configuration: \`permafrost status\` says so when this one no longer fits.`,
    blocks: [
      withSecrets
        ? warning(
            'THIS SHEET OPENS YOUR BACKUPS: whoever holds it reads every message and every password hash of the instance. Keep it on paper in a safe, or in a password manager; never on the server, nor beside the backups.',
          )
        : text(
            'This sheet holds no secret. The files that step 3 lists **must be kept elsewhere** (a password manager), or nothing opens.',
          ),
      ...(missing.length === 0
        ? []
        : [warning('What this sheet lacks, or cannot help with:'), list(missing.map(sentence))]),
      heading('What it is'),
      { kind: 'fields', rows: instanceRows(facts) },
      heading('Where the backups are, and what opens them'),
      offsiteList(facts),
      ...serverSection(facts),
      heading('2. Permafrost, on the new server, as root'),
      commands(
        `git clone ${facts.repository ?? "'<the address of the repository>'"} ${clone}\ncd ${clone} && npm run setup`,
      ),
      ...filesSection(facts),
      heading('4. See that the backups open'),
      commands(`${permafrost} list ${domain}`),
      heading('5. Start it, look at the plan, restore'),
      text(
        `The plan says what will happen, how long it takes and what is missing on this server; it touches nothing. The restore proves the database before it starts Mastodon. Below, \`permafrost\` stands for \`${permafrost}\`.`,
      ),
      commands(`${permafrost} unit install\n${permafrost} restore ${domain} --plan`),
      commands(`${permafrost} restore ${domain} --yes`),
      text(
        `An older backup: its id after the domain. Another off-site: \`--from NAME\`. Redis as well (home feeds, jobs that were waiting): \`--parts database,secrets,media,redis\`. To take it back: \`permafrost undo ${domain}\`.`,
      ),
      heading('6. And then'),
      list([
        '**Certificates** are only in the backup when the configuration says so (`extraFiles`): get a new one (`certbot --nginx`), then `nginx -t && systemctl reload nginx`.',
        `**DNS**: A and AAAA of ${domain} (and of its media and streaming names) to this server. Before that, look at it with a line in your own \`/etc/hosts\`.`,
        'Run what the restore has listed under **to be run by hand** (`tootctl feeds build`, search).',
        'Log in; look at a post, a picture, a profile of elsewhere; post something.',
        `Put the schedule back into \`/etc/permafrost/permafrost.yaml\`, run \`permafrost unit install\` and a first \`permafrost backup ${domain}\`; the old server must never start again under this name.`,
        `If the old server was broken into: new keys for everything on this sheet. In any case a new sheet: \`permafrost recovery-sheet ${domain}\`.`,
      ]),
      heading('If the machine with Permafrost is still there'),
      text(
        `When it is another one than the lost server, steps 2 to 5 are one command there: \`permafrost restore ${domain} --to root@NEW-SERVER --identity-file KEY --known-hosts FILE\`.`,
      ),
      heading('Without Permafrost'),
      text(
        `What is stored is plain restic, or files compressed with zstd and encrypted with rclone's crypt or age. \`${clone}/docs/restore-by-hand.md\` has every command. That a place opens:`,
      ),
      example(facts.offsites.map(({ byHand }) => byHand).join('\n')),
    ],
  };
}

function instanceRows({ domain, instance, manifest, newestOn }: SheetFacts): [string, string][] {
  const { host, root, appUser, ruby, node } = instance;
  const versions = manifest?.versions;
  const code = [ruby && `Ruby ${ruby}`, node && `Node ${node}`].filter(Boolean).join(', ');
  const size = (part: string) => manifest?.parts.find(({ name }) => name === part);
  const media = size('media');
  const database = manifest?.database;
  const rows: [string, string | undefined][] = [
    ['Domain', domain],
    ['Lives on', `${host === 'local' ? 'the machine that made this sheet' : host}, in \`${root}\``],
    ['User', appUser],
    ['Mastodon', [versions?.mastodon, code].filter(Boolean).join('; ')],
    ['PostgreSQL', versions?.postgresql ?? undefined],
    [
      'Database',
      database &&
        `\`${database.name}\`, ${formatBytes(database.sizeBytes)}, ${database.encoding}, ${database.collate}; extensions: ${database.extensions.map(({ name }) => name).join(', ')}`,
    ],
    ['Redis', versions?.redis ?? undefined],
    ['Media', media && `${formatCount(media.files, 'file')}, ${formatBytes(media.bytes)}`],
    [
      'Newest backup',
      manifest ? `\`${manifest.backup}\` on ${newestOn.join(', ')}, when this was made` : undefined,
    ],
  ];
  return rows.flatMap(([name, value]) => (value ? [[name, plainText(value)]] : []));
}

function offsiteList({ offsites }: SheetFacts): Block {
  const opens = ({ files }: SheetOffsite) =>
    files
      .filter(({ secret }) => secret)
      .map(({ path, fingerprint }) => `\`${path}\`${fingerprint === undefined ? '' : ` (${fingerprint})`}`)
      .join(', ');
  return list(
    offsites.map((offsite) => {
      const place = plainText(offsite.place);
      return `**${offsite.name}**, ${offsite.kind}: \`${place}\`. Opened by ${opens(offsite)}.`;
    }),
  );
}

function serverSection({ instance, manifest, domain }: SheetFacts): Block[] {
  const { root, appUser = 'mastodon', ruby, node } = instance;
  const { mastodon, postgresql, redis } = manifest?.versions ?? {};
  const major = /^\d+/.exec(postgresql ?? '')?.[0];
  const extensions = (manifest?.database?.extensions ?? [])
    .map(({ name }) => name)
    .filter((name) => name !== 'plpgsql');
  const rubyAndNode = [ruby && `Ruby ${ruby}`, node && `Node ${node}`].filter(Boolean).join(', ');
  return [
    heading('1. A new server'),
    text(
      'Debian or Ubuntu with root, and disk for the database three times and the media once. On it, from Mastodon’s handbook (docs.joinmastodon.org/admin/install), **without** its interactive setup (`mastodon:setup`), which the restore stands for:',
    ),
    list([
      `the user \`${appUser}\`, and Mastodon's code${mastodon ? `, version **${mastodon}**,` : ''} in \`${root}\`, its dependencies installed${rubyAndNode === '' ? '' : ` (${rubyAndNode})`};`,
      `PostgreSQL${major ? ` **${major}** or newer` : ''}, running, without a database of that name${extensions.length === 0 ? '' : `; extensions: ${extensions.join(', ')}`};`,
      `Redis${redis ? ` **${redis}** or newer` : ''}, running and empty; nginx; git; Node 20.19 or newer.`,
    ]),
    text(`Its name may still lead elsewhere: ${domain} is asked for nothing until step 6.`),
  ];
}

function filesSection({ files, withSecrets }: SheetFacts): Block[] {
  const open = files.filter(({ secret, content }) => !secret && content !== undefined);
  const secret = files.filter((file) => file.secret);
  const there = secret.filter(({ content }) => content !== undefined);
  const elsewhere = secret.filter(({ content }) => content === undefined);
  return [
    heading('3. Its files'),
    commands(writeFiles(open)),
    ...(there.length === 0 ? [] : [text('**The keys.** Secret.'), commands(writeFiles(there))]),
    ...(elsewhere.length === 0
      ? []
      : [
          text(
            `Put these there yourself, mode 600${withSecrets ? '' : ', from where you keep them'}; the paths are those of the configuration above:`,
          ),
          list(
            elsewhere.map(({ path, what, fingerprint, from }) => {
              const before = from === undefined || from === path ? '' : `, until now \`${from}\``;
              const known = fingerprint === undefined ? '' : `; known by ${fingerprint}`;
              return `\`${path}\`: ${plainText(what)}${before}${known}`;
            }),
          ),
        ]),
    ...(there.length === 0
      ? []
      : [
          text('Typed from paper? This names each file that has a wrong letter:'),
          commands(checkFiles([...open, ...there])),
        ]),
  ];
}

function sentence(words: string): string {
  return `${plainText(words).replace(/\.+$/, '')}.`;
}

function heading(words: string): Block {
  return { kind: 'heading', text: words };
}

function text(words: string): Block {
  return { kind: 'text', text: words };
}

function warning(words: string): Block {
  return { kind: 'warning', text: words };
}

function list(items: readonly string[]): Block {
  return { kind: 'list', items };
}

function commands(lines: string): Block {
  return { kind: 'commands', text: lines };
}

function example(lines: string): Block {
  return { kind: 'example', text: lines };
}
