import { describe, expect, test } from 'vitest';
import {
  databaseConnection,
  databaseEnvironment,
  isOnThisMachine,
  otherRedisRoles,
  passwordFileLine,
  redisConnection,
  redisSentinels,
} from '../../../src/mastodon/connections.js';
import { parseEnvFile } from '../../../src/mastodon/env-file.js';

const database = (text: string) => databaseConnection(parseEnvFile(text));
const redis = (text: string) => redisConnection(parseEnvFile(text));

describe('the database', () => {
  const usual = {
    host: 'localhost',
    port: 5432,
    name: 'mastodon_production',
    user: 'mastodon',
    sslmode: 'prefer',
    pooled: false,
  };

  test.each([
    ['', {}],
    [
      'DB_HOST=/var/run/postgresql\nDB_NAME=m\nDB_USER=u\nDB_PASS="p#w"\nDB_PORT=5433',
      { host: '/var/run/postgresql', name: 'm', user: 'u', password: 'p#w', port: 5433 },
    ],
    ['DB_HOST=', { host: '/var/run/postgresql' }],
    ['DB_PASS=', {}],
    ['DB_PORT=6432', { port: 6432, pooled: true }],
    ['PREPARED_STATEMENTS=false', { pooled: true }],
    [
      'DATABASE_URL=postgres://u:p%40w@db.example:5433/m?sslmode=require',
      { host: 'db.example', port: 5433, name: 'm', user: 'u', password: 'p@w', sslmode: 'require' },
    ],
    [
      'DATABASE_URL=postgresql://db.example/m\nDB_PASS=secret\nDB_USER=u\nDB_NAME=other',
      { host: 'db.example', name: 'm', user: 'u', password: 'secret' },
    ],
    [
      'DATABASE_URL=postgresql:///m?host=/run/postgresql\nDB_HOST=elsewhere',
      { host: '/run/postgresql', name: 'm' },
    ],
    ['DATABASE_URL=postgres://u:p@%2Fvar%2Frun/m', { host: '/var/run', user: 'u', password: 'p', name: 'm' }],
    ['DATABASE_URL=postgres://[::1]/m', { host: '::1', name: 'm' }],
  ])('of %j', (text, expected) => {
    expect(database(text)).toEqual({ ...usual, ...expected });
  });

  test.each([
    'DATABASE_URL=mysql://u:planted@h/m',
    'DATABASE_URL="postgres://u:plan#ted@h/m"',
    'DB_PORT=planted',
  ])('%s is refused without being repeated', (text) => {
    expect(() => database(text)).toThrow(expect.objectContaining({ type: 'Refused' }) as Error);
    expect(() => database(text)).not.toThrow(/plan/);
  });

  test('reaches the tools without its password in their environment', () => {
    const connection = database('DATABASE_URL=postgres://u:p%3A%5Cw@h/m');
    expect(databaseEnvironment(connection)).toMatchObject({ PGHOST: 'h', PGUSER: 'u', PGDATABASE: 'm' });
    expect(JSON.stringify(databaseEnvironment(connection))).not.toContain('p:');
    expect(passwordFileLine(connection)).toBe('*:*:*:u:p\\:\\\\w\n');
    expect(passwordFileLine(database(''))).toBeNull();
  });
});

describe('Redis', () => {
  const usual = { host: 'localhost', port: 6379, database: 0, tls: false };

  test.each([
    ['', {}],
    [
      'REDIS_HOST=r\nREDIS_PORT=6380\nREDIS_DB=2\nREDIS_USER=u\nREDIS_PASSWORD=p',
      { host: 'r', port: 6380, database: 2, user: 'u', password: 'p' },
    ],
    [
      'REDIS_URL=redis://:p%2Fw@r:6380/3\nREDIS_HOST=elsewhere',
      { host: 'r', port: 6380, database: 3, password: 'p/w' },
    ],
    ['REDIS_URL=redis://default:p@r', { host: 'r', password: 'p' }],
    ['REDIS_URL=rediss://u:p@r', { host: 'r', user: 'u', password: 'p', tls: true }],
    ['REDIS_URL=unix:///run/redis/redis.sock?db=1', { host: '/run/redis/redis.sock', database: 1 }],
    ['REDIS_HOST=/run/redis/redis.sock', { host: '/run/redis/redis.sock' }],
  ])('of %j', (text, expected) => {
    expect(redis(text)).toEqual({ ...usual, ...expected });
  });

  const sentinels = (text: string) => redisSentinels(parseEnvFile(text));
  const behind = 'REDIS_SENTINELS=a, b:26400\nREDIS_SENTINEL_MASTER=main\nREDIS_PASSWORD=p\n';

  test('behind Sentinel is where the sentinels say', () => {
    expect(sentinels(behind)).toEqual({
      master: 'main',
      sentinels: [
        { host: 'a', port: 26379, database: 0, tls: false, password: 'p' },
        { host: 'b', port: 26400, database: 0, tls: false, password: 'p' },
      ],
    });
    const own = 'REDIS_SENTINEL_PORT=7\nREDIS_SENTINEL_USERNAME=u\nREDIS_SENTINEL_PASSWORD=q';
    expect(sentinels(behind + own)?.sentinels).toMatchObject([
      { port: 7, user: 'u', password: 'q' },
      { port: 26400 },
    ]);
  });

  test.each(['REDIS_HOST=r', 'REDIS_SENTINELS=a', `${behind}REDIS_URL=redis://r`])(
    'is asked for directly with %j',
    (text) => {
      expect(sentinels(text)).toBeNull();
    },
  );

  test('of Sidekiq or the cache may be another', () => {
    expect(otherRedisRoles(parseEnvFile('SIDEKIQ_REDIS_URL=redis://q\nCACHE_REDIS_HOST='))).toEqual([
      'sidekiq',
    ]);
  });
});

test.each([
  ['/run/redis.sock', true],
  ['localhost', true],
  ['127.0.0.1', true],
  ['10.0.0.5', false],
])('%s is on this machine: %s', (host, here) => {
  expect(isOnThisMachine(host)).toBe(here);
});
