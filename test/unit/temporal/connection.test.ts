import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { temporalTarget } from '../../../src/temporal/connection.js';

const SECRET = 'key-of-the-cloud';
let folder: string;
const file = (name: string) => join(folder, name);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'permafrost-connection-'));
  writeFileSync(file('api.key'), `${SECRET}\n`);
  for (const name of ['ca.pem', 'us.pem', 'us.key']) writeFileSync(file(name), name);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const cloud = { kind: 'address', address: 'eu.example:7233', namespace: 'masto.a1b2c' } as const;

test('the embedded server is on loopback', () => {
  expect(temporalTarget({ kind: 'embedded', port: 7233, uiPort: 8233 })).toEqual({
    connectionOptions: { address: '127.0.0.1:7233' },
    namespace: 'default',
  });
});

test('an API key comes from its file and switches TLS on', () => {
  expect(temporalTarget({ ...cloud, apiKeyFile: file('api.key') })).toEqual({
    connectionOptions: { address: 'eu.example:7233', apiKey: SECRET, tls: true },
    namespace: 'masto.a1b2c',
  });
});

test('TLS takes certificates of both sides and a name', () => {
  const tls = {
    caFile: file('ca.pem'),
    certFile: file('us.pem'),
    keyFile: file('us.key'),
    serverName: 'temporal',
  };
  expect(temporalTarget({ ...cloud, tls }).connectionOptions.tls).toEqual({
    serverNameOverride: 'temporal',
    serverRootCACertificate: Buffer.from('ca.pem'),
    clientCertPair: { crt: Buffer.from('us.pem'), key: Buffer.from('us.key') },
  });
  expect(temporalTarget({ ...cloud, tls: true }).connectionOptions.tls).toBe(true);
});

test('half a certificate and a missing file are errors of the configuration', () => {
  const wrong = (tls: object) => () => temporalTarget({ ...cloud, tls });
  expect(wrong({ certFile: file('us.pem') })).toThrow(expect.objectContaining({ type: 'ConfigInvalid' }));
  expect(wrong({ caFile: file('none.pem') })).toThrow(`${file('none.pem')} cannot be read (ENOENT)`);
});

test('a profile is read as Temporal’s own tools read it, and TEMPORAL_* wins', () => {
  const toml =
    '[profile.night]\naddress = "night.example:7233"\nnamespace = "night"\napi_key = "from-the-file"\n';
  writeFileSync(file('temporal.toml'), toml);
  const profile = { kind: 'profile', profile: 'night', file: file('temporal.toml') } as const;
  expect(temporalTarget(profile, {})).toEqual({
    connectionOptions: { address: 'night.example:7233', apiKey: 'from-the-file', tls: true },
    namespace: 'night',
  });
  const env = { TEMPORAL_NAMESPACE: 'other', TEMPORAL_API_KEY: SECRET };
  expect(temporalTarget(profile, env)).toMatchObject({
    connectionOptions: { apiKey: SECRET },
    namespace: 'other',
  });
});

test('a profile that is not there is named', () => {
  writeFileSync(file('empty.toml'), '');
  expect(() => temporalTarget({ kind: 'profile', profile: 'day', file: file('empty.toml') }, {})).toThrow(
    expect.objectContaining({ type: 'ConfigInvalid', message: expect.stringContaining('"day"') }),
  );
});

test('a broken profile is an error that does not quote the file', () => {
  writeFileSync(file('broken.toml'), `[profile.night]\napi_key = "${SECRET}" "\n`);
  let message = '';
  try {
    temporalTarget({ kind: 'profile', profile: 'night', file: file('broken.toml') }, {});
  } catch (error) {
    message = String(error);
  }
  expect(message).toContain('could not be read');
  expect(message).not.toContain(SECRET);
});
