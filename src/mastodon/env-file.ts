/**
 * Mastodon's env file (`.env.production`), read as leniently as the programs that read it. Pure.
 *
 * The file itself is backed up byte for byte; what is parsed here serves only to find and prove things.
 */

const assignment = new RegExp(
  [
    String.raw`^[ \t]*(?:export[ \t]+)?`,
    String.raw`([A-Za-z_][\w.]*)[ \t]*=[ \t]*`,
    String.raw`(?:'((?:\\'|[^'])*)'|"((?:\\.|[^"\\])*)"|([^#\n]*))`,
  ].join(''),
  'gm',
);

/**
 * Reads an env file as dotenv does: `export`, comments, single and double quotes, values over several lines, CRLF.
 * The last assignment of a name wins. A `#` starts a comment unless it is inside quotes, as for Mastodon's web and
 * Sidekiq (bkeepers/dotenv lib/dotenv/parser.rb). `$NAME` stays as it is.
 */
export function parseEnvFile(text: string): Map<string, string> {
  const env = new Map<string, string>();
  const lines = text.replace(/^\uFEFF/, '').replace(/\r\n?/g, '\n');
  for (const [, name, single, double, bare] of lines.matchAll(assignment)) {
    if (name === undefined) continue;
    env.set(name, single ?? (double === undefined ? (bare ?? '').trim() : unescape(double)));
  }
  return env;
}

function unescape(quoted: string): string {
  return quoted.replace(/\\(.)/gs, (_, character: string) =>
    character === 'n' ? '\n' : character === 'r' ? '\r' : character,
  );
}

/** Variables of Mastodon whose values are secret (mastodon/documentation content/en/admin/config.md). */
const secretNames = new Set([
  'SECRET_KEY_BASE',
  'OTP_SECRET',
  'VAPID_PRIVATE_KEY',
  'AWS_ACCESS_KEY_ID',
  'AWS_SECRET_ACCESS_KEY',
  'AZURE_STORAGE_ACCESS_KEY',
  'SWIFT_TEMP_URL_KEY',
  'SAML_PRIVATE_KEY',
  'SAML_CERT',
]);

const secretEndings =
  /(?:^|_)(?:PASS|PASSWORD|SECRET|SECRET_KEY|API_KEY|ACCESS_KEY|PRIVATE_KEY|TOKEN|DATABASE_URL|REDIS_URL)$/;

/** Whether a variable's value must never be shown: known names, and what is named like a secret. */
export function isSecretVariable(name: string): boolean {
  return name.startsWith('ACTIVE_RECORD_ENCRYPTION_') || secretNames.has(name) || secretEndings.test(name);
}

/** The names, in the file's order, of the variables in `env` whose values are secret and not empty. */
export function secretVariables(env: ReadonlyMap<string, string>): string[] {
  return [...env].filter(([name, value]) => value !== '' && isSecretVariable(name)).map(([name]) => name);
}

const encryptionKeys = [
  'ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY',
  'ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT',
  'ACTIVE_RECORD_ENCRYPTION_DETERMINISTIC_KEY',
];

/**
 * The keys that Mastodon of this version (`4.3.1`; null when unknown: the newest) cannot start without and that are
 * absent or empty. Encryption keys came with 4.3, OTP_SECRET went with 4.4 (mastodon/mastodon
 * config/initializers/active_record_encryption.rb, v4.3.0 app/models/concerns/legacy_otp_secret.rb).
 */
export function missingKeys(env: ReadonlyMap<string, string>, version: string | null): string[] {
  const [major = 4, minor = 7] = (version ?? '4.7').split('.').map((digits) => Number.parseInt(digits, 10));
  const release = major * 100 + minor;
  const needed = [
    'SECRET_KEY_BASE',
    ...(release < 404 ? ['OTP_SECRET'] : []),
    ...(release >= 403 ? encryptionKeys : []),
  ];
  return needed.filter((name) => (env.get(name) ?? '') === '');
}
