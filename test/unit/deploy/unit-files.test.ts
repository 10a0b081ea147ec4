import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse as parseYaml } from 'yaml';
import { describe, expect, test } from 'vitest';
import { cloneFolder, fill, planUnit, readUnit, unitPaths } from '../../../scripts/deploy/unit-files.js';
import { filesRead } from '../../../scripts/deploy/access.js';
import type { Configuration } from '../../../src/config/configuration.js';
import { parseConfiguration } from '../../../src/config/load.js';
import { temporalTarget } from '../../../src/temporal/connection.js';

const ssh = '{ ssh: root@10.0.0.5, identityFile: server.key, knownHosts: known_hosts }';

function configuration(host: string, more = '', file = '/etc/permafrost/permafrost.yaml'): Configuration {
  const text = `
instances: { example.social: { host: ${host}, mastodon: { root: /home/mastodon/live } } }
offsites: { vault: { kind: restic, repository: 'sftp:a@b:/c', passwordFile: vault.password, identityFile: vault.key } }
${more}`;
  return parseConfiguration(text, file, {});
}

const cluster = "temporal: { address: 'temporal:7233', apiKeyFile: temporal.key }";
const template = (name: string) => readFileSync(join(cloneFolder(), 'deploy', name), 'utf8');

describe('the unit', () => {
  test('runs as root, with the drop-in, where an instance is local; else as a user of its own, without', () => {
    const local = planUnit(configuration('local'), { worker: false });
    expect([local.user, local.files.map((file) => file.path)]).toEqual([
      'root',
      [unitPaths('permafrost').unit, unitPaths('permafrost').local],
    ]);
    const remote = planUnit(configuration(ssh), { worker: false });
    expect([remote.user, remote.files.map((file) => file.path)]).toEqual([
      'permafrost',
      [unitPaths('permafrost').unit],
    ]);
    expect(remote.files[0]?.text).toMatch(/^User=permafrost$/m);
  });

  test('has every place filled in, and says later what it was made for', () => {
    const file = '/etc/perma frost/100%.yaml';
    const { files } = planUnit(configuration(ssh, 'state: /srv/state', file), { worker: false });
    const text = files[0]?.text ?? '';
    expect(text).not.toMatch(/@[A-Z]+@/);
    expect(text).toContain(`up --config "/etc/perma frost/100%%.yaml"`);
    expect(readUnit(text)).toEqual({ configFile: file, state: '/srv/state' });
  });

  test('takes no path that systemd would read as something else', () => {
    expect(() => fill('@STATE@', { STATE: '/srv/a"b' })).toThrow('systemd cannot be given this path');
  });

  test('of a worker alone needs a Temporal server of somebody else', () => {
    expect(() => planUnit(configuration(ssh), { worker: true })).toThrow('a worker alone would have none');
    const { name, files } = planUnit(configuration(ssh, cluster), { worker: true });
    expect(name).toBe('permafrost-worker');
    expect(files[0]?.text).toMatch(/^ExecStart=.* worker --config /m);
  });

  test('and that of the worker alone have the same sandbox', () => {
    const sandbox = (name: string) => template(name).slice(template(name).indexOf('# --- What it may do'));
    expect(sandbox('permafrost-worker.service')).toBe(sandbox('permafrost.service'));
    expect(sandbox('permafrost.service')).toContain('NoNewPrivileges=yes');
  });

  test('is asked about every file that the configuration names', () => {
    const more = `temporal: { address: 'temporal:7233', apiKeyFile: temporal.key, tls: { caFile: ca.pem } }`;
    const named = ['permafrost.yaml', 'server.key', 'known_hosts', 'vault.password', 'vault.key'];
    const files = filesRead(configuration(ssh, more));
    for (const name of [...named, 'temporal.key', 'ca.pem'])
      expect(files).toContain(`/etc/permafrost/${name}`);
  });
});

describe('the examples', () => {
  test('temporal.toml is a profile that Permafrost takes', () => {
    const file = join(cloneFolder(), 'deploy', 'temporal.toml');
    expect(temporalTarget({ kind: 'profile', profile: 'permafrost', file }, {})).toMatchObject({
      connectionOptions: { address: 'eu-west-1.aws.api.temporal.io:7233', apiKey: '…' },
      namespace: 'permafrost.a1b2c',
    });
  });

  test('compose.yaml opens no port but on loopback, and takes the password from outside', () => {
    const text = template('compose.yaml');
    const { services } = parseYaml(text, { merge: true }) as {
      services: Record<string, { ports?: string[]; environment?: Record<string, string> }>;
    };
    const ports = Object.values(services).flatMap((service) => service.ports ?? []);
    expect(ports.length).toBeGreaterThan(0);
    for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:/);
    expect(services['postgresql']?.environment?.['POSTGRES_PASSWORD']).toMatch(/^\$\{POSTGRES_PASSWORD:\?/);
  });
});
