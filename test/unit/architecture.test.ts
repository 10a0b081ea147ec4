import { existsSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ESLint } from 'eslint';
import { format, resolveConfig } from 'prettier';
import { describe, expect, test } from 'vitest';
import { manifestJsonSchema } from '../../src/backups/manifest.js';
import { configurationJsonSchema } from '../../src/config/json-schema.js';
import { MAX_BUNDLE_BYTES, workflowBundle } from '../../src/temporal/bundle.js';

/** The rules that docs/architecture.md draws, and that something holds: here is the proof that it does. */

const project = fileURLToPath(new URL('../..', import.meta.url));
const eslint = new ESLint({ cwd: project });

async function complaints(filePath: string, code: string): Promise<string[]> {
  const [result] = await eslint.lintText(code, { filePath: join(project, filePath) });
  return (result?.messages ?? []).map(({ ruleId }) => (ruleId ?? 'parse').replace('@typescript-eslint/', ''));
}

describe('lint refuses', () => {
  test.each([
    ['a workflow that reads files', 'src/workflows/planted.ts', `import { readFileSync } from 'node:fs';`],
    ['a workflow that runs commands', 'src/workflows/planted.ts', `import { execa } from 'execa';`],
    ['a workflow that parses with zod', 'src/workflows/planted.ts', `import { z } from 'zod';`],
    [
      'a workflow that loads activities',
      'src/workflows/planted.ts',
      `import { createActivities } from '../activities/index.js';`,
    ],
    [
      'a workflow that loads hosts',
      'src/workflows/planted.ts',
      `import { localHost } from '../hosts/local.js';`,
    ],
    [
      'a host that knows activities',
      'src/hosts/planted.ts',
      `import { activity } from '../activities/activity.js';`,
    ],
    [
      'a host that knows Mastodon',
      'src/hosts/planted.ts',
      `import { inspect } from '../mastodon/inspect.js';`,
    ],
    [
      'a manifest that knows off-sites',
      'src/backups/planted.ts',
      `import { x } from '../offsite/restic.js';`,
    ],
    [
      'an off-site that knows Mastodon',
      'src/offsite/planted.ts',
      `import { x } from '../mastodon/survey.js';`,
    ],
    [
      'an off-site that knows activities',
      'src/offsite/planted.ts',
      `import { x } from '../activities/jobs.js';`,
    ],
    [
      'Mastodon that knows activities',
      'src/mastodon/planted.ts',
      `import { x } from '../activities/jobs.js';`,
    ],
    [
      'a configuration that knows Temporal',
      'src/config/planted.ts',
      `import { x } from '../temporal/log.js';`,
    ],
    [
      'Temporal that knows activities',
      'src/temporal/planted.ts',
      `import { x } from '../activities/jobs.js';`,
    ],
    [
      'activities that know workflows',
      'src/activities/planted.ts',
      `import { x } from '../workflows/backup.js';`,
    ],
  ])('%s', async (_, file, code) => {
    const used = /\{ (\w+) \}/.exec(code)?.[1] ?? '';
    const rules = await complaints(file, `${code}\nexport const planted = ${used};\n`);
    expect(rules).toEqual([expect.stringMatching(/no-restricted-imports$/)]);
  });

  test.each([
    [
      'a run that may be terminated by a timeout',
      `export const options = { workflowExecutionTimeout: '1h' };`,
    ],
    ['a run timeout', `export const options = { workflowRunTimeout: '1h' };`],
    ['a start that terminates another', `export const policy = { conflict: Policies.TERMINATE_EXISTING };`],
    ['a schedule that terminates another', `export const policy = { overlap: Overlap.TERMINATE_OTHER };`],
  ])('%s', async (_, code) => {
    const head =
      'declare const Policies: Record<string, string>;\ndeclare const Overlap: Record<string, string>;\n';
    for (const file of ['src/temporal/planted.ts', 'scripts/planted.ts']) {
      expect(
        (await complaints(file, head + code)).filter((rule) => rule === 'no-restricted-syntax'),
      ).toHaveLength(1);
    }
  });

  test.each([
    ['any', 'export function planted(x: any): void { void x; }', 'no-explicit-any'],
    [
      'a promise that something is there',
      'export const planted = (x?: string) => x!.length;',
      'no-non-null-assertion',
    ],
    [
      'types that are loaded',
      `import { Host } from '../hosts/host.js';\nexport type P = Host;`,
      'consistent-type-imports',
    ],
  ])('%s', async (_, code, rule) => {
    expect(await complaints('src/activities/planted.ts', `${code}\n`)).toEqual([rule]);
  });

  test('nothing of what is right', async () => {
    const workflow = [
      `import { proxyActivities } from '@temporalio/workflow';`,
      `import type { Activities } from '../activities/index.js';`,
      `import { backupIdOf } from '../backups/id.js';`,
      `export const planted = [proxyActivities<Activities>, backupIdOf];\n`,
    ].join('\n');
    expect(await complaints('src/workflows/planted.ts', workflow)).toEqual([]);
    const activities = `import { TASK_QUEUE } from '../workflows/names.js';\nexport const planted = TASK_QUEUE;\n`;
    expect(await complaints('src/activities/planted.ts', activities)).toEqual([]);
  });
});

describe("the workflows' bundle", () => {
  const code = workflowBundle().then((bundle) =>
    'code' in bundle ? bundle.code : readFileSync(bundle.codePath, 'utf8'),
  );

  test('is small', async () => {
    expect(Buffer.byteLength(await code)).toBeLessThan(MAX_BUNDLE_BYTES);
  });

  test('holds the SDK and nothing else of others', async () => {
    const modules = (await code).matchAll(/^\/\*\*\*\/ "\.\/node_modules\/((?:@[^/"]+\/)?[^/"]+)/gm);
    const packages = new Set([...modules].map(([, name]) => name));
    expect(packages).toContain('@temporalio/workflow');
    expect(
      [...packages].filter(
        (name) => !/^@temporalio\/|^(long|ms|nexus-rpc|protobufjs|@protobufjs.*)$/.test(name ?? ''),
      ),
    ).toEqual([]);
  });

  test('holds of ours what is pure', async () => {
    const modules = (await code).matchAll(/^\/\*\*\*\/ "\.\/(?:dist\/)?src\/(\w+)/gm);
    const rooms = [...new Set([...modules].map(([, room]) => room))];
    expect(rooms.sort()).toEqual(['backups', 'errors', 'workflows']);
  });
});

test('one protobufjs for all of Temporal: with two, no recorded history can be read', () => {
  const version = (of: string) => {
    const from = createRequire(createRequire(import.meta.url).resolve(of));
    const folder = realpathSync(from.resolve('protobufjs/package.json'));
    return { folder, version: (JSON.parse(readFileSync(folder, 'utf8')) as { version: string }).version };
  };
  const found = ['@temporalio/common', '@temporalio/proto', '@temporalio/worker', '@temporalio/client'].map(
    version,
  );
  expect(new Set(found.map(({ folder }) => folder)).size).toBe(1);
  expect(found[0]?.version).toMatch(/^8\./);
});

test('there is no drawer for odds and ends', () => {
  const drawers = ['src', 'scripts', 'test', 'sample', 'setup', 'bench']
    .filter((folder) => existsSync(join(project, folder)))
    .flatMap((folder) => readdirSync(join(project, folder), { recursive: true, encoding: 'utf8' }))
    .filter((path) => /^(utils?|helpers?|common|misc|shared)$/.test(basename(path).replace(/\.\w+$/, '')));
  expect(drawers).toEqual([]);
});

describe('the published schemas', () => {
  test.each([
    ['docs/manifest.schema.json', manifestJsonSchema()],
    ['docs/configuration.schema.json', configurationJsonSchema()],
  ])('%s is the one of the code (UPDATE_SCHEMAS=1 writes it)', async (path, schema) => {
    const file = join(project, path);
    const text = JSON.stringify(schema);
    if (process.env['UPDATE_SCHEMAS'] === '1') {
      const style = await resolveConfig(file);
      writeFileSync(file, await format(text, { ...style, parser: 'json' }));
    }
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(JSON.parse(text));
  });
});
