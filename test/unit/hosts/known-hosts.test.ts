import { createHmac, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  fingerprint,
  hostKeyAlgorithms,
  keyType,
  linesFor,
  parseKnownHosts,
  rejection,
} from '../../../src/hosts/known-hosts.js';

const key = (type: string, seed: string): Buffer => {
  const part = (data: Buffer): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(data.length);
    return Buffer.concat([length, data]);
  };
  return Buffer.concat([part(Buffer.from(type)), part(Buffer.from(seed.padEnd(32)))]);
};
const ed = key('ssh-ed25519', 'one');
const line = (names: string, wire = ed): string =>
  `${names} ${keyType(wire)} ${wire.toString('base64')} comment`;
const isKnown = (names: string, address: string, port = 22): boolean =>
  linesFor(parseKnownHosts(line(names)), address, port).length === 1;

describe('a name in known_hosts', () => {
  it.each([
    ['example.org', 'example.org', 22, true],
    ['example.org', 'EXAMPLE.org', 22, true],
    ['Example.Org', 'example.org', 22, true],
    ['example.org', 'example.org', 2222, false],
    ['[example.org]:2222', 'example.org', 2222, true],
    ['[example.org]:2222', 'example.org', 2223, false],
    ['a,b,10.0.0.5', '10.0.0.5', 22, true],
    ['*.example.org', 'db.example.org', 22, true],
    ['*.example.org', 'example.org', 22, false],
    ['*.example.org,!db.example.org', 'db.example.org', 22, false],
    ['!db.example.org', 'web.example.org', 22, false],
    ['10.0.0.?', '10.0.0.7', 22, true],
    ['10.0.0.?', '10.0.0.77', 22, false],
    ['exampleXorg', 'example.org', 22, false],
    ['example.org', 'exampleXorg', 22, false],
    ['::1', '::1', 22, true],
    ['[::1]:2222', '::1', 2222, true],
  ])('%s is %s port %i: %s', (names, address, port, expected) => {
    expect(isKnown(names, address, port)).toBe(expected);
  });

  it('may be hashed', () => {
    fc.assert(
      fc.property(fc.domain(), fc.integer({ min: 1, max: 65535 }), (address, port) => {
        const name = port === 22 ? address : `[${address}]:${port}`;
        const salt = randomBytes(20);
        const hash = createHmac('sha1', salt).update(name).digest('base64');
        const hashed = `|1|${salt.toString('base64')}|${hash}`;
        expect(isKnown(hashed, address, port)).toBe(true);
        expect(isKnown(hashed, `x${address}`, port)).toBe(false);
      }),
    );
  });

  it('matches itself and never breaks, whatever its characters', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (text) => {
        const name = text.replaceAll(/[\s,*?!#|@[\]]/g, 'x').toLowerCase();
        expect(isKnown(name, name)).toBe(true);
      }),
    );
  });
});

describe('a file of known hosts', () => {
  const other = key('ssh-ed25519', 'two');
  const rsa = key('ssh-rsa', 'three');
  const shown = { host: 'me@h', address: 'h', port: 22, file: '/etc/known' };
  const check = (text: string, wire = ed): string | undefined =>
    rejection(linesFor(parseKnownHosts(text), 'h', 22), { ...shown, key: wire })?.message;

  it('knows several keys of a host', () => {
    const text = [line('h', other), line('h', rsa), line('h')].join('\n');
    expect(check(text)).toBeUndefined();
    expect(check(text, rsa)).toBeUndefined();
  });

  it('passes over what is no key of a host', () => {
    const text = [
      '',
      '# h',
      `#${line('h')}`,
      `@cert-authority ${line('h')}`,
      '@else h x y',
      'h',
      'h ssh-ed25519',
    ].join('\r\n');
    expect(check(text)).toMatch(/is not in \/etc\/known/);
    expect(check(`h ssh-rsa ${ed.toString('base64')}`)).toMatch(/is not in/);
    expect(check(`${text}\r\n${line('h')}\r\n`)).toBeUndefined();
  });

  it('refuses a changed key with both fingerprints and the place', () => {
    const message = check(`# c\n${line('h', other)}`) ?? '';
    expect(message).toContain(fingerprint(ed));
    expect(message).toContain(fingerprint(other));
    expect(message).toContain('/etc/known:2');
    // A key of another type is no less changed.
    expect(check(line('h', rsa))).toMatch(/has changed/);
  });

  it('refuses a revoked key wherever it is listed', () => {
    expect(check(`${line('h')}\n@revoked ${line('*')}`)).toMatch(/:2 has @revoked/);
    expect(check(`@revoked ${line('h', other)}\n${line('h')}`)).toBeUndefined();
  });

  it('asks for the types it knows first, and never for SHA-1', () => {
    const lines = parseKnownHosts([line('h', rsa), `@revoked ${line('h')}`].join('\n'));
    const algorithms = hostKeyAlgorithms(lines);
    expect(algorithms.slice(0, 2)).toEqual(['rsa-sha2-512', 'rsa-sha2-256']);
    expect(algorithms).toContain('ssh-ed25519');
    expect(algorithms).not.toContain('ssh-rsa');
  });
});
