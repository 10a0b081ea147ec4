import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { buildWorkflowBundle, MAX_BUNDLE_BYTES } from '../../../src/temporal/bundle.js';

let folder: string;

beforeEach(() => {
  mkdirSync('.cache', { recursive: true });
  folder = mkdtempSync(join(process.cwd(), '.cache', 'bundle-test-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function workflows(body: string): string {
  const path = join(folder, 'index.ts');
  const names = relative(folder, 'src/workflows').replaceAll('\\', '/');
  writeFileSync(
    path,
    `import { PermafrostPhase } from '${names}/search-attributes.js';
     import { WORKFLOWS } from '${names}/names.js';
     export async function backup(): Promise<string> { return PermafrostPhase.name + WORKFLOWS.backup; }
     ${body}`,
  );
  return path;
}

test('workflow code is bundled with the names that it needs', async () => {
  const to = join(folder, 'out', 'workflow-bundle.js');
  expect(await buildWorkflowBundle(workflows(''), to)).toBe(to);
  expect(readFileSync(to, 'utf8')).toContain('PermafrostPhase');
  expect(statSync(to).size).toBeLessThan(MAX_BUNDLE_BYTES);
}, 60_000);

test('a bundle that something big got into is refused and not written', async () => {
  const to = join(folder, 'workflow-bundle.js');
  const big = workflows(`export const ballast = '${'x'.repeat(MAX_BUNDLE_BYTES)}';`);
  await expect(buildWorkflowBundle(big, to)).rejects.toMatchObject({ type: 'Unexpected' });
  expect(statSync(to, { throwIfNoEntry: false })).toBeUndefined();
}, 60_000);
