import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { recoverySheetCommand } from '../../scripts/recovery-sheet.js';
import { sheetProblem } from '../../scripts/sheet/gather.js';
import { offsiteKeys } from '../../scripts/sheet/key-files.js';
import { signManifest } from '../../src/backups/signature.js';
import type { Configuration } from '../../src/config/configuration.js';
import { loadConfiguration } from '../../src/config/load.js';
import { instanceOf, offsiteOf, withOffsite } from '../../src/offsite/read.js';
import { signingKey } from '../../src/records/signing-key.js';
import { aManifest } from '../unit/backups/a-manifest.js';
import { CapturedIo } from '../unit/cli/captured-io.js';

const domain = 'example.social';
/** What must be on a sheet only when somebody asks for it. */
const secrets = ['AGE-SECRET-KEY-', 'PRIVATE KEY', 'only-in-the-conf'];

let folder: string;
let configuration: Configuration;
const at = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'permafrost-sheet-'));
  await mkdir(at('place'));
  await mkdir(at('live'));
  await writeFile(at('live/.ruby-version'), '3.4.7\n');
  await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', at('id')]);
  await execa('age-keygen', ['-o', at('age.key')]);
  const { stdout: recipient } = await execa('age-keygen', ['-y', at('age.key')]);
  const [type = '', key = ''] = (await readFile(at('id.pub'), 'utf8')).split(' ');
  await writeFile(at('known'), `[box.example]:23 ${type} ${key}\nother.example ${type} ${key}\n`);
  await writeFile(
    at('rclone.conf'),
    `[disk]\ntype = alias\nremote = ${folder}/place\ndescription = only-in-the-conf\n`,
  );
  await writeFile(
    at('permafrost.yaml'),
    `instances: { ${domain}: { host: local, mastodon: { root: live }, offsites: [disk] } }
offsites:
  disk: { kind: rclone, remote: "disk:", configFile: rclone.conf, encrypted: false }
  box: { kind: rsync, target: "u@box.example:/srv", port: 23, identityFile: id, knownHosts: known, recipients: [${recipient.trim()}], ageIdentityFile: age.key }
state: state
`,
  );
  configuration = await loadConfiguration({ file: at('permafrost.yaml') });
  const manifest = { ...aManifest, copy: { ...aManifest.copy, offsite: 'disk' } };
  const signed = signManifest(manifest, await signingKey(configuration.state));
  await withOffsite(
    configuration,
    instanceOf(configuration, domain),
    offsiteOf(configuration, 'disk'),
    async (disk) => {
      await disk.create();
      await disk.seal(signed, false);
    },
  );
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function permafrost(words: readonly string[], { answer }: { answer?: string } = {}) {
  const io = new CapturedIo({}, answer !== undefined);
  const ended = io.run(recoverySheetCommand, ...words, '--config', configuration.file);
  const typing = setInterval(() => {
    if (io.stdout.text.includes('Write them?')) io.stdin.write(answer ?? '');
  }, 50);
  const exitCode = await ended.finally(() => {
    clearInterval(typing);
  });
  return { exitCode, out: io.stdout.text, err: io.stderr.text };
}

test('a sheet says what the instance is, where its backups are, and what to run; it holds no secret', async () => {
  const { exitCode, out, err } = await permafrost([]);
  expect([exitCode, err]).toEqual([0, '']);
  for (const secret of secrets) expect(out).not.toContain(secret);
  expect(out).toMatch(/^# Recovery sheet: example\.social\n/);
  for (const word of ['4.5.2', '3.4.7', `\`${aManifest.backup}\` on disk`, `\`${at('live')}\``, '`disk:`'])
    expect(out).toContain(word);
  expect(out).toContain(`\`/etc/permafrost/disk.rclone.conf\`: disk: rclone's configuration`);
  const blocks = [...out.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, text]) => text);
  expect(blocks).toHaveLength(5);
  expect(blocks[0]).toMatch(/^git clone \S+.* \/opt\/permafrost\ncd \/opt\/permafrost && npm run setup\n$/);
  expect(blocks[1]).toContain("cat > /etc/permafrost/permafrost.yaml <<'END'");
  expect(blocks[1]).toContain('-----BEGIN PUBLIC KEY-----');
  expect(blocks.slice(2).join('')).toBe(
    ['list', 'unit install', 'restore', 'restore']
      .map((verb) => `node /opt/permafrost/dist/scripts/permafrost.js ${verb}`)
      .map((line, at) => line + [` ${domain}`, '', ` ${domain} --plan`, ` ${domain} --yes`][at])
      .join('\n') + '\n',
  );
});

test('the keys go into a file alone, after a yes, and nowhere where something else is', async () => {
  const file = at('sheet.md');
  const keys = ['--with-secrets', '--output', file];
  expect(await permafrost(['--with-secrets', '--yes'])).toMatchObject({
    exitCode: 2,
    err: expect.stringContaining('--output FILE') as string,
  });
  expect(await permafrost(keys)).toMatchObject({
    exitCode: 2,
    err: expect.stringContaining('--yes') as string,
  });
  expect(await permafrost(keys, { answer: 'n\n' })).toMatchObject({ exitCode: 130 });
  await expect(stat(file)).rejects.toThrow('ENOENT');

  expect((await permafrost(keys, { answer: 'y\n' })).exitCode).toBe(0);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  const text = await readFile(file, 'utf8');
  expect(text).toContain('only-in-the-conf');
  expect(text).toContain('THIS SHEET OPENS YOUR BACKUPS');
  expect((await permafrost(['--output', file, '--html', '--json'])).exitCode).toBe(0);
  const page = await readFile(file, 'utf8');
  expect(page).toContain('<pre class="sh"><code>umask 077');
  for (const secret of secrets) expect(page).not.toContain(secret);

  await writeFile(at('letter'), 'Dear somebody');
  expect(await permafrost(['--output', at('letter')])).toMatchObject({ exitCode: 3 });
  expect(await readFile(at('letter'), 'utf8')).toBe('Dear somebody');
});

test('status says when the last sheet no longer fits, and only then', async () => {
  const problem = () => sheetProblem(configuration, instanceOf(configuration, domain));
  await rm(at('state/recovery-sheets'), { recursive: true });
  expect(await problem()).toBeUndefined();
  await permafrost([]);
  expect(await problem()).toBeUndefined();
  await permafrost(['--html']);
  expect(await problem()).toBeUndefined();
  const conf = await readFile(at('rclone.conf'));
  await writeFile(at('rclone.conf'), `${conf.toString()}# changed\n`);
  expect(await problem()).toMatch(
    /recovery sheet of \d{4}-\d\d-\d\d no longer fits.*permafrost recovery-sheet/,
  );
  await rm(at('rclone.conf'));
  expect(await problem()).toBeUndefined(); // who cannot read the keys cannot tell
  await writeFile(at('rclone.conf'), conf);
  expect(await problem()).toBeUndefined();
  await permafrost([]);
  const other = { ...instanceOf(configuration, domain), offsites: ['box'] };
  expect(await sheetProblem(configuration, other)).toContain('no longer fits');
});

test('keys are known by what does not give them away, and of a known_hosts file one server is enough', async () => {
  const box = offsiteOf(configuration, 'box');
  const { files, missing } = await offsiteKeys(box);
  expect(missing).toEqual([]);
  const { stdout } = await execa('ssh-keygen', ['-l', '-f', at('id')]);
  expect(stdout).toContain(files.get('identityFile')?.fingerprint ?? 'none');
  const { stdout: recipient } = await execa('age-keygen', ['-y', at('age.key')]);
  expect(files.get('ageIdentityFile')?.fingerprint).toBe(recipient.trim());
  expect(files.get('knownHosts')?.content?.toString()).toMatch(/^\[box\.example\]:23 \S+ \S+\n$/);
  const keyless = Object.entries(box).filter(([key]) => key !== 'ageIdentityFile');
  const without = await offsiteKeys(Object.fromEntries(keyless) as unknown as typeof box);
  expect(without.missing).toEqual([expect.stringContaining(recipient.trim())]);
  expect(without.files.get('ageIdentityFile')).not.toHaveProperty('content');
});
