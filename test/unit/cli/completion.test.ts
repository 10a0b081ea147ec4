import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Run, withGlobalOptions } from '../../../scripts/cli/command.js';
import { knownNames } from '../../../scripts/cli/completion-names.js';
import { completeWords } from '../../../scripts/cli/completion-words.js';
import { permafrostCommand } from '../../../scripts/permafrost.js';
import { CapturedIo } from './captured-io.js';

const names = { instances: ['example.social', 'other.example'], offsites: ['vault', 'cloud'] };

function words(...typed: string[]): string[] | 'files' {
  const completion = completeWords(
    withGlobalOptions(permafrostCommand(new Run(new CapturedIo()))),
    typed,
    names,
  );
  return completion.files ? 'files' : completion.candidates.map(({ word }) => word);
}

describe('what Tab offers', () => {
  test('every verb, and none that is hidden', () => {
    expect(words('')).toEqual(expect.arrayContaining(['up', 'backup', 'status', 'doctor', 'completion']));
    expect(words('completion', '')).not.toContain('words');
  });

  test.each([
    [['schedule', 'pa'], ['pause']],
    [['backup', 'e'], ['example.social']],
    [['backup', 'example.social', ''], []],
    [
      ['backup', '--quiesce', ''],
      ['brief', 'full', 'none'],
    ],
    [['backup', '--quiesce', 'full', 'o'], ['other.example']],
    [['backup', '--only', 'database,se'], ['database,secrets']],
    [
      ['backup', '--only', 'database,'],
      ['database,secrets', 'database,media', 'database,redis'],
    ],
    [['backup', '--offsite=v'], ['--offsite=vault']],
    [['backup', '--offsite', '=', 'v'], ['vault']], // as bash splits it
    [['backup', '--allow', 'smaller'], ['smaller-database']],
    [['backup', '--dry-run', 'ex'], ['example.social']],
    [['keep', '20261121T031700Z', 'ot'], ['other.example']],
    [['prune', '--offsite', 'vault,'], ['vault,cloud']],
    [['copy', '--from', 'vault', '--to', 'c'], ['cloud']],
    [['check-fr'], ['check-freshness']],
    [['backup', '--dr'], ['--dry-run']],
    [['cancel', 'ot'], ['other.example']],
    [
      ['offsite', 'init', ''],
      ['vault', 'cloud'],
    ],
    [['completion', 'f'], ['fish']],
    [['nonsense', 'x'], []],
  ])('%j', (typed, expected) => expect(words(...typed)).toEqual(expected));

  test('a file where an option wants one', () => expect(words('--config', '')).toBe('files'));
});

describe('the names of a configuration', () => {
  let folder: string;
  let file: string;
  const here = process.cwd();
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'permafrost-names-'));
    file = join(folder, 'permafrost.yaml');
    const text =
      'instances: { example.social: { host: unfinished } }\noffsites: { vault: {}, "x$(id)": {}, "a\\e[2J": {} }\n';
    await writeFile(file, text);
    process.chdir(folder);
  });
  afterAll(async () => {
    process.chdir(here);
    await rm(folder, { recursive: true, force: true });
  });

  test('are read from one that is not finished yet, and only those that do no harm on a command line', async () => {
    await chmod(file, 0o644);
    expect(await knownNames(undefined, {})).toEqual({ instances: ['example.social'], offsites: ['vault'] });
  });

  test('are not read from a file in this folder that others may write; they are when it is named', async () => {
    await chmod(file, 0o666);
    expect(await knownNames(undefined, {})).toEqual({ instances: [], offsites: [] });
    expect((await knownNames(file, {})).instances).toEqual(['example.social']);
    expect((await knownNames(undefined, { PERMAFROST_CONFIG: file })).instances).toEqual(['example.social']);
  });

  test('are none where there is no configuration', async () => {
    expect(await knownNames(join(folder, 'none.yaml'), {})).toEqual({ instances: [], offsites: [] });
  });
});
