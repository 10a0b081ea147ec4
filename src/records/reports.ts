import { createHmac, randomBytes } from 'node:crypto';
import { link, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { giveToOwner, stateFolder } from './owner.js';

/**
 * The reports that this machine keeps of an instance's drills, restores and undos:
 * `<state>/reports/<domain>/<name>.json`, and `<name>.html`, the page that is made of it.
 */

/** `drill-20261201T050000Z`; the time is that of its start. */
export const reportNamePattern = /^(?:drill|restore|undo)-\d{8}T\d{6}Z$/;

export function reportsFolder(state: string, domain: string): string {
  return join(state, 'reports', domain);
}

/** Keeps a report, each of its files whole or not at all. One of the same name is replaced. */
export async function writeReport(
  state: string,
  domain: string,
  name: string,
  { html, json }: { html: string; json: string },
): Promise<void> {
  await stateFolder(state, 'reports');
  const folder = await stateFolder(state, join('reports', domain));
  for (const [kind, text] of Object.entries({ json, html })) {
    const path = join(folder, `${name}.${kind}`);
    await writeFile(`${path}.new`, text, { mode: 0o600 });
    await giveToOwner(state, `${path}.new`);
    await rename(`${path}.new`, path);
  }
}

/** Names of the reports that are here, the newest first. */
export async function reportNames(state: string, domain: string): Promise<string[]> {
  const files = await readdir(reportsFolder(state, domain)).catch(nothingThere);
  return files
    .flatMap((file) => (file.endsWith('.json') ? [file.slice(0, -'.json'.length)] : []))
    .filter((name) => reportNamePattern.test(name))
    .sort((one, other) => (timeIn(one) < timeIn(other) ? 1 : -1));
}

/** The text of a report; undefined when it is not here. */
export async function readReport(
  state: string,
  domain: string,
  name: string,
  kind: 'html' | 'json',
): Promise<string | undefined> {
  if (!reportNamePattern.test(name)) return undefined;
  const [text] = await readFile(join(reportsFolder(state, domain), `${name}.${kind}`), 'utf8')
    .then((read) => [read])
    .catch(nothingThere);
  return text;
}

/**
 * What opens a report's page on the server that `up` and `worker` run: whoever knows one page's address knows no other.
 *
 * @returns 32 hexadecimal digits
 */
export async function reportToken(state: string, domain: string, name: string): Promise<string> {
  const key = await reportsKey(state);
  return createHmac('sha256', key).update(`${domain}/${name}`).digest('hex').slice(0, 32);
}

/**
 * The address of a report's page, as a browser on this machine sees it.
 *
 * @param served as the configuration says.
 * @returns undefined when no pages are served.
 */
export async function reportUrl(
  served: { state: string; reports: { port: number; url?: string } | null },
  domain: string,
  name: string,
): Promise<string | undefined> {
  if (served.reports === null) return undefined;
  const base = served.reports.url ?? `http://127.0.0.1:${String(served.reports.port)}`;
  return `${base}/${await reportToken(served.state, domain, name)}/${domain}/${name}.html`;
}

/** Bytes. */
const keyLength = 32;

/** A random key, made at its first use; two processes that make it at once end with the same one. */
async function reportsKey(state: string): Promise<Buffer> {
  const path = join(await stateFolder(state, 'reports'), 'key');
  const [there] = await readFile(path)
    .then((key) => [key])
    .catch(nothingThere);
  if (there?.length === keyLength) return there;
  if (there !== undefined) await rm(path, { force: true }); // cut by a full disk, or a power cut
  const whole = `${path}.${randomBytes(6).toString('hex')}.new`;
  try {
    const file = await open(whole, 'wx', 0o600);
    try {
      await file.writeFile(randomBytes(keyLength));
      await file.sync();
    } finally {
      await file.close();
    }
    await giveToOwner(state, whole);
    await link(whole, path).catch((error: unknown) => {
      if (codeOf(error) !== 'EEXIST') throw error;
    });
  } finally {
    await rm(whole, { force: true });
  }
  return readFile(path);
}

function timeIn(name: string): string {
  return name.slice(name.indexOf('-') + 1);
}

function nothingThere(error: unknown): [] {
  if (codeOf(error) === 'ENOENT') return [];
  throw error;
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
