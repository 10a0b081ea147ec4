import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ReportServer, serveConfigured, serveReports } from '../../scripts/cli/report-server.js';
import { reportCommand } from '../../scripts/report.js';
import { keepReport, type KeptReport } from '../../src/activities/keep-report.js';
import type { Configuration } from '../../src/config/configuration.js';
import { loadConfiguration } from '../../src/config/load.js';
import { instanceOf, offsiteOf, withOffsite } from '../../src/offsite/read.js';
import type { Offsite } from '../../src/offsite/offsite.js';
import { reportToken } from '../../src/records/reports.js';
import { aManifest } from '../unit/backups/a-manifest.js';
import { CapturedIo } from '../unit/cli/captured-io.js';
import { doneUndo, passedDrill } from '../unit/reports/examples.js';

const domain = 'example.social';
const { backup } = aManifest;
const report = { ...passedDrill, backup, from: 'disk' };
const name = `drill-${report.drill}`;

let folder: string;
let configuration: Configuration;
let kept: KeptReport;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'permafrost-reports-'));
  await mkdir(join(folder, 'place'));
  await writeFile(join(folder, 'rclone.conf'), `[disk]\ntype = alias\nremote = ${folder}/place\n`);
  await writeFile(
    join(folder, 'permafrost.yaml'),
    `instances: { ${domain}: { host: local, mastodon: { root: live } } }
offsites: { disk: { kind: rclone, remote: "disk:", configFile: rclone.conf, encrypted: false } }
reports: { port: 8243 }
state: state
`,
  );
  await mkdir(join(folder, 'state'), { mode: 0o700 });
  configuration = await loadConfiguration({ file: join(folder, 'permafrost.yaml') });
  await onDisk(async (offsite) => {
    await offsite.create();
    await offsite.seal(aManifest, false);
  });
  kept = await keepReport(configuration, { kind: 'drill', report });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function onDisk<T>(use: (offsite: Offsite) => Promise<T>): Promise<T> {
  return withOffsite(configuration, instanceOf(configuration, domain), offsiteOf(configuration, 'disk'), use);
}

async function permafrost(...words: string[]): Promise<CapturedIo & { exitCode: number }> {
  const io = new CapturedIo();
  const exitCode = await io.run(reportCommand, ...words, '--config', configuration.file);
  return Object.assign(io, { exitCode });
}

test('a report is kept here, for its owner alone, and beside the backup', async () => {
  expect(kept).toMatchObject({ name, warnings: [] });
  const page = join(folder, 'state/reports', domain, `${name}.html`);
  expect((await stat(page)).mode & 0o777).toBe(0o600);
  expect(JSON.parse(await readFile(page.replace('.html', '.json'), 'utf8'))).toEqual(report);
  expect(await onDisk(async (offsite) => (await offsite.listAttached(backup)).sort())).toEqual([
    `${name}.html`,
    `${name}.json`,
  ]);
  expect(await onDisk((offsite) => offsite.readAttached(backup, `${name}.html`))).toBe(
    await readFile(page, 'utf8'),
  );
});

test('what cannot be kept beside the backup is a warning, and the report is here all the same', async () => {
  const later = { ...report, drill: '20270101T050000Z', from: 'gone' };
  const { warnings } = await keepReport(configuration, { kind: 'drill', report: later });
  expect(warnings).toEqual([expect.stringMatching(/not beside .* on gone: .*no off-site 'gone'/)]);
  const early = { ...report, drill: '20270101T060000Z', backup: 'latest', from: '' };
  expect((await keepReport(configuration, { kind: 'drill', report: early })).warnings).toEqual([]);
  const undo = { ...doneUndo, restore: '20270101T070000Z' };
  expect((await keepReport(configuration, { kind: 'undo', report: undo })).warnings).toEqual([]);
  const { exitCode, stdout } = await permafrost('--json');
  expect(exitCode).toBe(0);
  const listed = JSON.parse(stdout.text) as { name: string; status: string }[];
  expect(listed.map((one) => one.name)).toEqual([
    'undo-20270101T070000Z',
    'drill-20270101T060000Z',
    'drill-20270101T050000Z',
    name,
  ]);
  expect(listed.at(-1)).toMatchObject({
    kind: 'drill',
    status: 'passed',
    backup,
    from: 'disk',
    url: kept.url,
  });
});

test('another machine finds it beside the backup, and makes the page itself', async () => {
  await onDisk((offsite) => offsite.attach(backup, `${name}.html`, '<script>alert(1)</script>'));
  await rm(join(folder, 'state/reports'), { recursive: true });
  const listed = await permafrost();
  expect(listed.stdout.text).toMatch(new RegExp(`${name} +passed +${backup} +disk`));
  const { exitCode, stdout } = await permafrost(name, '--json');
  expect(exitCode).toBe(0);
  const { file, report: read } = JSON.parse(stdout.text) as { file: string; report: unknown };
  expect(read).toEqual(report);
  expect(await readFile(file, 'utf8')).toContain('This backup restores');
  expect(await readFile(file, 'utf8')).not.toContain('script');

  await onDisk((offsite) =>
    offsite.attach(backup, `${name}.json`, JSON.stringify({ ...report, drill: 'x' })),
  );
  await rm(join(folder, 'state/reports'), { recursive: true });
  const refused = await permafrost(name);
  expect(refused.exitCode).toBe(2);
  expect(refused.stderr.text.replace(/\s+/g, ' ')).toContain(
    `${name} on disk is not the report of that name`,
  );
});

test('its address opens the page, and nothing else opens anything', async () => {
  kept = await keepReport(configuration, { kind: 'drill', report });
  const { state } = configuration;
  const other = await keepReport(configuration, { kind: 'undo', report: doneUndo });
  const server: ReportServer & { port: number } = await serveReports({
    state,
    port: 0,
    domains: () => [domain],
  });
  try {
    const path = new URL(kept.url ?? '').pathname;
    const token = path.split('/')[1] ?? '';
    expect(kept.url).toBe(
      `http://127.0.0.1:8243/${await reportToken(state, domain, name)}/${domain}/${name}.html`,
    );
    const { status, headers, body } = await ask(server.port, path);
    expect([status, headers['content-type']]).toEqual([200, 'text/html; charset=utf-8']);
    expect(body).toContain('This backup restores');
    expect(headers['content-security-policy']).toMatch(/^default-src 'none';.*sandbox$/);
    expect(headers['cache-control']).toBe('no-store');
    expect(JSON.parse((await ask(server.port, path.replace('.html', '.json'))).body)).toEqual(report);
    expect((await ask(server.port, path, 'HEAD')).body).toBe('');

    const none = [
      '/',
      `/${token}`,
      `/${token}/`,
      `/${token}/${domain}/`,
      path.replace(token, '0'.repeat(32)),
    ];
    const wrong = [
      path.replace(name, `undo-${doneUndo.restore}`),
      path.replace(domain, 'other.example'),
      `/${token}/${domain}/../key`,
      `/${token}/${domain}/..%2f..%2fkey`,
      `/${token}/${domain}/${name}.html.new`,
      `${path}?x`,
      `/${'a'.repeat(100_000)}`,
    ];
    for (const at of [...none, ...wrong]) {
      const refused = await ask(server.port, at);
      expect(refused.status, at).toBeGreaterThanOrEqual(404);
      expect(refused.body).not.toContain('backup');
    }
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE'])
      expect((await ask(server.port, path, method)).status, method).toBe(405);
    expect((await ask(server.port, new URL(other.url ?? '').pathname)).status).toBe(200);

    const said: string[] = [];
    const complain = (text: string) => void said.push(text);
    const taken = { ...configuration, reports: { port: server.port } };
    expect(await serveConfigured(taken, complain)).toBeUndefined();
    expect(said).toEqual([expect.stringMatching(/not served: 127\.0\.0\.1:\d+ .*EADDRINUSE.*reports: off/)]);
    expect(await serveConfigured({ ...configuration, reports: null }, complain)).toBeUndefined();
    expect(said).toHaveLength(1);
  } finally {
    await server.close();
  }
});

function ask(port: number, path: string, method = 'GET') {
  return new Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; body: string }>(
    (resolve, reject) => {
      // Not fetch, which tidies a path up before it asks.
      const asked = request({ host: '127.0.0.1', port, path, method }, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => (body += text));
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body });
        });
      });
      asked.on('error', reject);
      asked.end();
    },
  );
}

test('a key that a power cut has left empty is made anew, and then stays', async () => {
  const token = () => reportToken(configuration.state, domain, name);
  const before = await token();
  await writeFile(join(configuration.state, 'reports/key'), '');
  const after = await token();
  expect((await readFile(join(configuration.state, 'reports/key'))).length).toBe(32);
  expect(after).not.toBe(before);
  expect(await token()).toBe(after);
});
