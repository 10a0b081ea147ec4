import { describe, expect, test } from 'vitest';
import { bad, type Check, exitCodeOfChecks, good, warning } from '../../../src/backups/checks.js';
import { doctorText } from '../../../src/terminal/doctor.js';
import { colour, plain } from '../../../src/terminal/paint.js';

const host = 'root@10.0.0.5';
const instance = 'example.social';
const at = (name: string, subject: string) => ({ name, subject, host, instance });
const well: Check[] = [
  good({ name: 'host', subject: 'host', host }, 'reached; its key is known; as root; x86_64, systemd'),
  good(at('database', 'database'), 'PostgreSQL 15.18, 6.2 GB; dumped by /usr/lib/postgresql/15/bin'),
  good(at('accounts', 'database'), 'the database has local accounts'),
  good({ name: 'own-tools', subject: 'own tools', host: 'local' }, 'restic 0.18.0, Temporal CLI 1.9.1'),
];
const temporal = bad(
  { name: 'temporal', subject: 'server', host: 'temporal' },
  'Temporal does not answer at 127.0.0.1:7233.',
  'Start it with: permafrost up',
);
const index = warning(
  at('database-indexes', 'indexes'),
  'public.index_statuses_on_uri is not valid: a dump leaves it out, and a restored database lacks it.',
  'In the database: REINDEX INDEX CONCURRENTLY public.index_statuses_on_uri;',
);

describe('what the doctor shows', () => {
  test('is one quiet line for each subject that is well', () => {
    expect(doctorText(well, plain)).toEqual([
      'example.social on root@10.0.0.5',
      '  ok       host       reached; its key is known; as root; x86_64, systemd',
      '  ok       database   PostgreSQL 15.18, 6.2 GB; dumped by',
      '                      /usr/lib/postgresql/15/bin',
      '',
      'This machine',
      '  ok       own tools  restic 0.18.0, Temporal CLI 1.9.1',
      '',
      'All is well.',
    ]);
  });

  test('is calm for somebody who has not started Temporal yet', () => {
    expect(doctorText([...well, temporal], plain).slice(-5)).toEqual([
      'Temporal',
      '  BAD      server     Temporal does not answer at 127.0.0.1:7233.',
      '                      → Start it with: permafrost up',
      '',
      'Only Temporal, or its worker, is missing.',
    ]);
  });

  test('says what is wrong, how bad it is and what mends it, within 80 columns', () => {
    const lines = doctorText([...well, index], plain);
    const text = lines.join('\n').replace(/\s+/g, ' ');
    expect(text).toContain('warning indexes public.index_statuses_on_uri is not valid');
    expect(text).toContain('→ In the database: REINDEX INDEX CONCURRENTLY public.index_statuses_on_uri;');
    expect(text).toContain('A backup can run. 1 warning.');
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  test('prints a file that mends it as it is to be copied', () => {
    const line = `backup ALL=(root) NOPASSWD: /usr/bin/systemd-run ${'--long-word '.repeat(12).trim()}`;
    const file = { path: '/etc/sudoers.d/permafrost', text: `# what it is\n${line}\n` };
    const finding = bad(at('sudo', 'sudo'), 'sudo does not allow it.', 'visudo', file);
    expect(doctorText([finding], plain)).toContain(line);
  });

  test('colours words only, and nothing from a host moves the cursor', () => {
    const strange = good({ name: 'x', subject: 'x', host }, 'a\u001b[2Jb\rc');
    expect(doctorText([strange], plain).join('')).not.toMatch(/[\u001b\r]/);
    const painted = doctorText([index], colour).join('\n');
    expect(painted).toContain('\u001b[33mwarning\u001b[39m');
  });

  test('keeps two instances of one host apart', () => {
    const other = { ...index, instance: 'other.social' };
    const titles = doctorText([...well, other], plain).filter((line) => /^\S/.test(line));
    expect(titles).toEqual([
      'root@10.0.0.5',
      'example.social on root@10.0.0.5',
      'other.social on root@10.0.0.5',
      'This machine',
      'A backup can run. 1 warning.',
    ]);
  });
});

test('the exit code: 0 with warnings alone, 7 when only Temporal is missing, else 3', () => {
  const broken = bad(at('redis', 'redis'), 'down', 'start it');
  expect(exitCodeOfChecks([...well, index])).toBe(0);
  expect(exitCodeOfChecks([...well, index, temporal])).toBe(7);
  expect(exitCodeOfChecks([...well, temporal, broken])).toBe(3);
});
