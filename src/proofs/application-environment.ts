import type { DatabaseConnection } from '../mastodon/connections.js';
import { isSecretVariable } from '../mastodon/env-file.js';

/**
 * The environment of Mastodon's web process in a drill: that of the backup, with everything that leads to a service set
 * to the scratch's own or off (reference/mastodon.md §§3, 4.5). Pure.
 *
 * What must be off is set, not left out: the code's folder may hold an env file of its own, and dotenv leaves alone what
 * is set. Where Ruby takes an empty text for a value (`ENV.fetch(…) if ENV[…]`), it is set to what works.
 */

export interface ApplicationGround {
  /** Of the backup: what its web process would have. */
  readonly backup: ReadonlyMap<string, string>;
  /** Of the configuration: `drill.application.environment`, with its placeholders filled in. */
  readonly own: Readonly<Record<string, string>>;
  /** The restored database, over a Unix socket without a password. */
  readonly database: DatabaseConnection;
  /** Absolute path of the socket of an empty Redis. */
  readonly redisSocket: string;
  /** Absolute path of the restored media. */
  readonly media: string;
  readonly port: number;
  readonly user: string;
  readonly home: string;
}

/** What makes the instance itself: secret, and needed. */
const identity =
  /^(?:SECRET_KEY_BASE|OTP_SECRET|VAPID_PRIVATE_KEY|VAPID_PUBLIC_KEY|ACTIVE_RECORD_ENCRYPTION_.+)$/;

/** Services that Mastodon asks, sends to or lets people in by (mastodon/documentation content/en/admin/config.md). */
const services = [
  /^(?:S3|AWS|SWIFT|AZURE|SMTP|BULK_SMTP|LDAP|PAM|CAS|SAML|OIDC|OAUTH|HCAPTCHA)_/,
  /^(?:DEEPL|LIBRE_TRANSLATE|CACHE_BUSTER|STATSD|PROMETHEUS|MASTODON_PROMETHEUS|SENTRY)_/,
  /^ES_(?:HOST|USER|PASS|CA_FILE)$/,
  /^(?:CACHE_|SIDEKIQ_)?REDIS_/,
  /^(?:REPLICA_)?DB_(?:HOST|PORT|NAME|USER|PASS)$/,
  /(?:^|_)(?:PROXY|DSN|ENDPOINT|WEBHOOK|WEBHOOK_URL)$/i,
  /^(?:CDN_HOST|EXTRA_DATA_HOSTS|EXTRA_MEDIA_HOSTS|SELF_DESTRUCT)$/,
];

/** Of those, what only shapes a text and leads nowhere. */
const harmless = /^(?:REDIS_NAMESPACE|REDIS_DRIVER|S3_KEY_PREFIX|SMTP_FROM_ADDRESS|SMTP_REPLY_TO)$/;

/** Addresses that people's clients are told and that the server itself never calls. */
const told = /^(?:STREAMING_API_BASE_URL|SOURCE_BASE_URL|STATUS_PAGE_URL|SSO_ACCOUNT_[A-Z_]+)$/;

/** Read before dotenv, so that leaving them out is enough; and OpenTelemetry, whose mere names switch it on. */
const leftOut = /^(?:OTEL_.*|SOCKET|PIDFILE|RAILS_LOG_TO_STDOUT)$/;

const switches = [
  ...['S3_ENABLED', 'SWIFT_ENABLED', 'AZURE_ENABLED', 'ES_ENABLED', 'CACHE_BUSTER_ENABLED'],
  ...['LDAP_ENABLED', 'PAM_ENABLED', 'CAS_ENABLED', 'SAML_ENABLED', 'OIDC_ENABLED'],
  'MASTODON_PROMETHEUS_EXPORTER_ENABLED',
];

const emptied = [
  ...['SELF_DESTRUCT', 'DB_PASS', 'SMTP_LOGIN', 'SMTP_PASSWORD', 'STATSD_ADDR', 'CDN_HOST'],
  ...['DEEPL_API_KEY', 'LIBRE_TRANSLATE_ENDPOINT', 'LIBRE_TRANSLATE_API_KEY', 'HCAPTCHA_SECRET_KEY'],
  ...['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'REDIS_PASSWORD', 'REDIS_SENTINELS'],
  ...['REDIS_SENTINEL_MASTER', 'CACHE_REDIS_SENTINELS', 'SIDEKIQ_REDIS_SENTINELS'],
  ...['http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'all_proxy'],
  'http_hidden_proxy',
];

/** A port of loopback where nobody listens: RFC 863's discard. */
const nowhere = { host: '127.0.0.1', port: '9' };

/** The whole environment, by name. Holds secrets. */
export function applicationEnvironment(ground: ApplicationGround): Map<string, string> {
  const { backup, own } = ground;
  const kept = [...backup].filter(([name]) => !leftOut.test(name));
  return new Map([
    ...kept.map(([name, value]) => [name, leadsAway(name, value) ? '' : value] as const),
    // One process is enough, and the drill host may be small.
    ...Object.entries({ WEB_CONCURRENCY: '0', PATH: pathOf(ground.home), LANG: 'C.UTF-8' }),
    ...Object.entries(own).filter(([name]) => !leftOut.test(name)),
    ...Object.entries(fixed(ground)),
  ]);
}

function leadsAway(name: string, value: string): boolean {
  if (identity.test(name) || harmless.test(name) || told.test(name)) return false;
  return (
    services.some((pattern) => pattern.test(name)) ||
    isSecretVariable(name) ||
    /^[a-z][a-z0-9+.-]*:\/\//i.test(value)
  );
}

/** What the configuration cannot change. */
function fixed(ground: ApplicationGround): Record<string, string> {
  const { backup, database, media, port, redisSocket, user, home } = ground;
  const { host, port: databasePort, name, user: role } = database;
  const connection = { HOST: host, PORT: String(databasePort), NAME: name, USER: role };
  const url = databaseUrl(database);
  const redis = `unix://${redisSocket}`;
  const hasReplica = [...backup.keys()].some((key) => key.startsWith('REPLICA_'));
  return {
    ...Object.fromEntries(emptied.map((variable) => [variable, ''])),
    ...Object.fromEntries(switches.map((variable) => [variable, 'false'])),
    ...prefixed('DB', connection),
    // Rails refuses a DATABASE_URL that is empty, and PRIMARY_DATABASE_URL wins over it.
    ...{ DATABASE_URL: url, PRIMARY_DATABASE_URL: url, DB_SSLMODE: 'prefer' },
    // A replica that is named with nothing behind it keeps the process from starting.
    ...(hasReplica && { ...prefixed('REPLICA_DB', connection), REPLICA_DATABASE_URL: url }),
    // Mastodon takes an empty …_URL for one.
    ...{ REDIS_URL: redis, CACHE_REDIS_URL: redis, SIDEKIQ_REDIS_URL: redis },
    ...{ SMTP_SERVER: nowhere.host, SMTP_PORT: nowhere.port, SMTP_DELIVERY_METHOD: 'test' },
    ...(backup.has('BULK_SMTP_SERVER') && {
      ...{ BULK_SMTP_SERVER: nowhere.host, BULK_SMTP_PORT: nowhere.port, BULK_SMTP_DELIVERY_METHOD: 'test' },
    }),
    ...{ OTEL_SDK_DISABLED: 'true', OTEL_TRACES_EXPORTER: 'none' },
    ...{ PAPERCLIP_ROOT_PATH: media, PAPERCLIP_ROOT_URL: '/system', RAILS_SERVE_STATIC_FILES: 'true' },
    ...{ RAILS_ENV: 'production', NODE_ENV: 'production', RAILS_LOG_TO_STDOUT: 'enabled' },
    ...{ PORT: String(port), BIND: '127.0.0.1' },
    ...{ HOME: home, USER: user, LOGNAME: user },
  };
}

function prefixed(prefix: string, values: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [`${prefix}_${name}`, value]));
}

/** The folder of a socket goes by a parameter (PostgreSQL's manual, "Connection URIs"). */
function databaseUrl({ host, port, name, user }: DatabaseConnection): string {
  const query = new URLSearchParams({ host, port: String(port), user });
  return `postgresql:///${encodeURIComponent(name)}?${query.toString().replaceAll('+', '%20')}`;
}

/** Where a checkout's Ruby is (mastodon/documentation content/en/admin/install.md), and the system's. */
function pathOf(home: string): string {
  return `${home}/.rbenv/shims:${home}/.rbenv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;
}

/** `{port}`, `{sockets}`, `{media}` and `{scratch}` in a word of the configuration. */
export function fillIn(
  word: string,
  given: {
    readonly port: number;
    readonly sockets: string;
    readonly media: string;
    readonly scratch: string;
  },
): string {
  const values: Record<string, string> = { ...given, port: String(given.port) };
  return word.replace(/\{(port|sockets|media|scratch)\}/g, (whole, name: string) => values[name] ?? whole);
}

/**
 * A log with everything blanked out that is a value of this environment, or an address of somebody's mail: by the name of
 * the variable, so that it still tells what it was about.
 */
export function withoutValues(log: string, environment: ReadonlyMap<string, string>): string {
  const hidden = [...environment]
    .filter(([name, value]) =>
      isSecretVariable(name) ? value.length >= 4 : value.length >= 12 && !isKnown(name),
    )
    .flatMap(([name, value]) =>
      [value, encodeURIComponent(value), JSON.stringify(value).slice(1, -1)].map((form) => ({ name, form })),
    )
    // The longest first: a value may be part of another.
    .sort((one, other) => other.form.length - one.form.length);
  const blank = hidden.reduce((text, { name, form }) => text.replaceAll(form, `[${name}]`), log);
  return blank
    .replace(/(:\/\/[^\s/:@]*:)[^\s/@]+@/g, '$1[…]@')
    .replace(/[\w.+-]+@[\w-]+(?:\.[\w-]+)+/g, '[address]');
}

/** Variables whose values the drill has set itself, or that everybody knows. */
function isKnown(name: string): boolean {
  return /^(?:LOCAL_DOMAIN|WEB_DOMAIN|PATH|HOME|DB_HOST|PAPERCLIP_ROOT_PATH|(?:CACHE_|SIDEKIQ_)?REDIS_URL|RAILS_ENV|NODE_ENV)$/.test(
    name,
  );
}
