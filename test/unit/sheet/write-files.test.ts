import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execaSync } from 'execa';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { checkFiles, writeFiles } from '../../../scripts/sheet/write-files.js';

const folder = mkdtempSync(join(tmpdir(), 'permafrost-sheet-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const bash = (script: string) => execaSync('bash', ['-c', script], { reject: false });
const file = (name: string, content: string | Buffer) => ({
  path: join(folder, 'etc', name),
  what: 'a file',
  content: Buffer.from(content),
});

test('what is written is what it was, byte for byte, for its owner alone', () => {
  const lines = fc.array(
    fc.constantFrom('a', 'END', '', ' x ', '$HOME `id` \\', "'", '-----BEGIN KEY-----', 'ü'),
  );
  const contents = fc.oneof(
    lines.map((all) => all.join('\n')),
    lines.map((all) => `${all.join('\n')}\n`),
    fc.string(),
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  );
  let made = 0;
  fc.assert(
    fc.property(fc.array(contents, { minLength: 1, maxLength: 8 }), (all) => {
      made += 1;
      const files = all.map((content, index) => file(`${String(made)}-it's $(id) ${String(index)}`, content));
      const { exitCode, stdout, stderr } = bash(writeFiles(files));
      expect([exitCode, stdout, stderr]).toEqual([0, '', '']);
      for (const { path, content } of files) {
        expect(readFileSync(path).equals(content), content.toString('hex')).toBe(true);
        expect(statSync(path).mode & 0o777).toBe(0o600);
      }
      expect(bash(checkFiles(files))).toMatchObject({ exitCode: 0, stdout: '', stderr: '' });
    }),
    { numRuns: 40 },
  );
});

test('a key reads as it is, so that it can be typed', () => {
  const key = '-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk=\n-----END OPENSSH PRIVATE KEY-----\n';
  expect(writeFiles([file('key', key)])).toContain(`<<'END'\n${key}END`);
});

test('a wrong letter and a missing file are named', () => {
  const files = [file('right', 'one\n'), file('wrong', 'two\n'), file('gone', 'three\n')];
  bash(writeFiles(files));
  writeFileSync(join(folder, 'etc/wrong'), 'twö\n');
  rmSync(join(folder, 'etc/gone'));
  const { exitCode, stdout } = bash(checkFiles(files));
  expect(exitCode).toBe(1);
  expect(stdout.split('\n')).toEqual(['wrong', 'gone'].map((name) => `wrong: ${join(folder, 'etc', name)}`));
});
