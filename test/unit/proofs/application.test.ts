import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  applicationEnvironment,
  fillIn,
  withoutValues,
} from '../../../src/proofs/application-environment.js';

/** What the application of a drill is started with: nothing that leads to a living service may get through. */

const ground = {
  database: {
    host: '/var/tmp/scratch/sockets',
    port: 5433,
    name: 'mastodon production',
    user: 'mastodon',
    sslmode: 'prefer',
    pooled: false,
  },
  redisSocket: '/var/tmp/scratch/sockets/redis.sock',
  media: '/var/tmp/scratch/media',
  port: 3000,
  user: 'mastodon',
  home: '/home/mastodon',
};

function environment(backup: Record<string, string>, own: Record<string, string> = {}) {
  return applicationEnvironment({ ...ground, backup: new Map(Object.entries(backup)), own });
}

/** Every variable of Mastodon's documentation that names, opens or switches on something outside of the process. */
const services = {
  DB_HOST: 'db.internal',
  DB_PORT: '6432',
  DB_NAME: 'mastodon_live',
  DB_USER: 'living',
  DB_PASS: 'db-password',
  DB_SSLMODE: 'verify-full',
  DATABASE_URL: 'postgresql://living:db-password@db.internal/mastodon_live',
  PRIMARY_DATABASE_URL: 'postgresql://db.internal/mastodon_live',
  REPLICA_DB_HOST: 'replica.internal',
  REPLICA_DB_NAME: 'mastodon_live',
  REPLICA_DB_PASS: 'replica-password',
  REPLICA_DATABASE_URL: 'postgresql://replica.internal/mastodon_live',
  REDIS_URL: 'redis://:redis-password@redis.internal:6379/0',
  REDIS_HOST: 'redis.internal',
  REDIS_PORT: '6380',
  REDIS_PASSWORD: 'redis-password',
  REDIS_SENTINELS: 'sentinel.internal:26379',
  REDIS_SENTINEL_MASTER: 'living-master',
  CACHE_REDIS_URL: 'redis://cache.internal',
  CACHE_REDIS_HOST: 'cache.internal',
  SIDEKIQ_REDIS_URL: 'redis://queue.internal',
  SIDEKIQ_REDIS_HOST: 'queue.internal',
  SIDEKIQ_REDIS_SENTINELS: 'sentinel.internal:26379',
  ES_ENABLED: 'true',
  ES_HOST: 'search.internal',
  ES_USER: 'elastic-user',
  ES_PASS: 'search-password',
  S3_ENABLED: 'true',
  S3_BUCKET: 'living-bucket',
  S3_ENDPOINT: 'https://s3.internal',
  S3_HOSTNAME: 's3.internal',
  S3_ALIAS_HOST: 'files.internal',
  AWS_ACCESS_KEY_ID: 'access-key-id',
  AWS_SECRET_ACCESS_KEY: 'secret-access-key',
  SWIFT_ENABLED: 'true',
  SWIFT_AUTH_URL: 'https://swift.internal',
  SWIFT_PASSWORD: 'swift-password',
  AZURE_ENABLED: 'true',
  AZURE_STORAGE_ACCOUNT: 'living-account',
  AZURE_STORAGE_ACCESS_KEY: 'azure-key',
  PAPERCLIP_ROOT_PATH: '/home/mastodon/live/public/system',
  PAPERCLIP_ROOT_URL: 'https://files.internal/system',
  CDN_HOST: 'https://cdn.internal',
  SMTP_SERVER: 'mail.internal',
  SMTP_PORT: '587',
  SMTP_LOGIN: 'mail-login',
  SMTP_PASSWORD: 'mail-password',
  SMTP_DELIVERY_METHOD: 'smtp',
  BULK_SMTP_SERVER: 'bulk.internal',
  BULK_SMTP_PASSWORD: 'bulk-password',
  LDAP_ENABLED: 'true',
  LDAP_HOST: 'ldap.internal',
  LDAP_PASSWORD: 'ldap-password',
  PAM_ENABLED: 'true',
  CAS_ENABLED: 'true',
  CAS_URL: 'https://cas.internal',
  SAML_ENABLED: 'true',
  SAML_IDP_SSO_TARGET_URL: 'https://saml.internal',
  SAML_PRIVATE_KEY: 'saml-private-key',
  OIDC_ENABLED: 'true',
  OIDC_ISSUER: 'https://oidc.internal',
  OIDC_CLIENT_SECRET: 'oidc-client-secret',
  HCAPTCHA_SECRET_KEY: 'hcaptcha-secret',
  DEEPL_API_KEY: 'deepl-key',
  LIBRE_TRANSLATE_ENDPOINT: 'https://translate.internal',
  CACHE_BUSTER_ENABLED: 'true',
  CACHE_BUSTER_SECRET: 'buster-secret',
  STATSD_ADDR: 'statsd.internal:8125',
  MASTODON_PROMETHEUS_EXPORTER_ENABLED: 'true',
  OTEL_EXPORTER_OTLP_ENDPOINT: 'https://otel.internal',
  OTEL_EXPORTER_OTLP_HEADERS: 'authorization=otel-header',
  SENTRY_DSN: 'https://key@sentry.internal/1',
  http_proxy: 'http://proxy.internal:3128',
  http_hidden_proxy: 'http://tor.internal:8118',
  SELF_DESTRUCT: 'signed-self-destruct',
  SOCKET: '/run/mastodon/web.sock',
  SOME_FORK_WEBHOOK_URL: 'https://hooks.internal/T0/B0',
  SOME_FORK_API_TOKEN: 'token-of-a-fork',
  BRANDED_SERVICE: 'https://fork.internal/api',
};

const identity = {
  LOCAL_DOMAIN: 'example.social',
  WEB_DOMAIN: 'social.example.social',
  SECRET_KEY_BASE: 'secret-key-base',
  OTP_SECRET: 'otp-secret',
  VAPID_PRIVATE_KEY: 'vapid-private',
  VAPID_PUBLIC_KEY: 'vapid-public',
  ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY: 'primary',
  ACTIVE_RECORD_ENCRYPTION_DETERMINISTIC_KEY: 'deterministic',
  ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT: 'salt',
  DISALLOW_UNAUTHENTICATED_API_ACCESS: 'true',
  S3_KEY_PREFIX: 'prefix',
  STREAMING_API_BASE_URL: 'wss://streaming.example.social',
};

describe('the environment', () => {
  test('nothing of it names, opens or switches on a living service', () => {
    const made = environment({ ...identity, ...services });
    for (const [name, value] of Object.entries(services)) {
      const now = made.get(name);
      expect(now, name).not.toBe(value);
      const said = [...made].filter(([, other]) => other.includes(value) && value.length > 4);
      expect(said, `${name}=${value}`).toEqual([]);
    }
    expect([...made.values()].filter((value) => value.includes('.internal'))).toEqual([]);
    expect([...made].filter(([name]) => /OTEL_.*_ENDPOINT/.test(name))).toEqual([]);
  });

  test('the database, Redis and the media are those of the scratch, by every name that Mastodon knows', () => {
    const made = environment(services);
    const url = new URL(made.get('DATABASE_URL') ?? '');
    expect(url.pathname).toBe('/mastodon%20production');
    expect(Object.fromEntries(url.searchParams)).toEqual({
      host: '/var/tmp/scratch/sockets',
      port: '5433',
      user: 'mastodon',
    });
    expect(Object.fromEntries(made)).toMatchObject({
      ...{ DB_HOST: ground.database.host, DB_PORT: '5433', DB_NAME: 'mastodon production', DB_PASS: '' },
      ...{ PRIMARY_DATABASE_URL: url.href, REPLICA_DATABASE_URL: url.href },
      ...{ REPLICA_DB_HOST: ground.database.host, REPLICA_DB_NAME: 'mastodon production' },
      ...{ REDIS_URL: `unix://${ground.redisSocket}`, CACHE_REDIS_URL: `unix://${ground.redisSocket}` },
      ...{ SIDEKIQ_REDIS_URL: `unix://${ground.redisSocket}`, PAPERCLIP_ROOT_PATH: ground.media },
      ...{ PORT: '3000', BIND: '127.0.0.1', RAILS_ENV: 'production', SMTP_DELIVERY_METHOD: 'test' },
    });
    expect(environment({}).has('REPLICA_DATABASE_URL')).toBe(false);
  });

  test('what makes the instance itself stays', () => {
    expect(Object.fromEntries(environment({ ...services, ...identity }))).toMatchObject(identity);
  });

  test('the configuration adds to it, and opens nothing', () => {
    const made = environment(identity, {
      ...{ MALLOC_ARENA_MAX: '2', WEB_CONCURRENCY: '1', PATH: '/opt/ruby/bin:/usr/bin' },
      ...{ DB_HOST: 'db.internal', S3_ENABLED: 'true', SELF_DESTRUCT: 'yes', SOCKET: '/run/x' },
    });
    expect(Object.fromEntries(made)).toMatchObject({
      ...{ MALLOC_ARENA_MAX: '2', WEB_CONCURRENCY: '1', PATH: '/opt/ruby/bin:/usr/bin' },
      ...{ DB_HOST: ground.database.host, S3_ENABLED: 'false', SELF_DESTRUCT: '' },
    });
    expect(made.has('SOCKET')).toBe(false);
  });

  test('whatever a service is set to, it does not get through', () => {
    const knownByName = Object.keys(services).filter((name) => name !== 'BRANDED_SERVICE');
    const value = fc.stringMatching(/^[a-z][a-z0-9:/@._-]{7,40}$/);
    fc.assert(
      fc.property(fc.constantFrom(...knownByName), value, value, (name, living, other) => {
        const made = environment({ ...identity, [name]: `x${living}`, UNKNOWN_URL: `https://${other}` });
        expect(made.get(name) ?? '').not.toContain(`x${living}`);
        expect(made.get('UNKNOWN_URL')).toBe('');
      }),
    );
  });

  test('placeholders are filled in, and nothing else', () => {
    const given = { port: 3000, sockets: '/s', media: '/m', scratch: '/own' };
    expect(fillIn('-v={sockets}:{sockets} {media}/x {scratch}/y {port} {other} ${HOME}', given)).toBe(
      '-v=/s:/s /m/x /own/y 3000 {other} ${HOME}',
    );
  });
});

describe('the last words of a log', () => {
  test('have the names of variables in place of their values, and no address of anybody', () => {
    const environment = new Map([
      ['SECRET_KEY_BASE', 'abcdef'],
      ['ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY', 'abcdefghijkl'],
      ['LOCAL_DOMAIN', 'example.social'],
      ['SHORT', 'true'],
      ['SOME_PHRASE', 'an unusual phrase & more'],
    ]);
    const log =
      'boot of example.social true: abcdefghijkl abcdef "an%20unusual%20phrase%20%26%20more" redis://u:pw@h alice@mail.example';
    expect(withoutValues(log, environment)).toBe(
      'boot of example.social true: [ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY] [SECRET_KEY_BASE] "[SOME_PHRASE]" redis://u:[…]@h [address]',
    );
  });

  test('no secret value survives, whatever it is', () => {
    fc.assert(
      fc.property(
        fc.string({ minLength: 8, maxLength: 60 }),
        fc.string(),
        fc.string(),
        (value, before, after) => {
          const made = withoutValues(`${before} ${value} ${after}`, new Map([['OTP_SECRET', value]]));
          expect(made.replaceAll('[OTP_SECRET]', '')).not.toContain(value);
        },
      ),
    );
  });

  test('a real key does not either', () => {
    const key = randomBytes(64).toString('hex');
    expect(withoutValues(`key=${key}`, new Map([['SECRET_KEY_BASE', key]]))).toBe('key=[SECRET_KEY_BASE]');
  });
});
