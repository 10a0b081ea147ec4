#!/usr/bin/env node
import { open, readFile, rename, rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Failure } from '../src/errors.js';
import { recordSheet } from '../src/records/recovery-sheets.js';
import { formatFields } from '../src/terminal/format.js';
import { plainText } from '../src/terminal/plain-text.js';
import { type Context, isMain, type Run, runScript } from './cli/command.js';
import { failureOf } from './cli/failures.js';
import { chooseInstance } from './cli/instance.js';
import { askerFor, missingFlag } from './init/ask.js';
import { markdown } from './sheet/document.js';
import { gatherFacts } from './sheet/gather.js';
import { sheetPage } from './sheet/page.js';
import { recoverySheet } from './sheet/sheet.js';

interface SheetOptions {
  output?: string;
  html?: boolean;
  markdown?: boolean;
  withSecrets?: boolean;
  yes?: boolean;
}

export function recoverySheetCommand(run: Run) {
  return run
    .command(
      'recovery-sheet',
      'write what is needed on the worst day, to print or to keep in a password manager',
    )
    .argument('[instance]', 'its LOCAL_DOMAIN, when there are several')
    .option('--output <file>', 'write it there, for its owner alone; else it is printed')
    .option('--html', 'a page to print; the default where the file ends with .html')
    .option('--markdown', 'Markdown; the default otherwise')
    .option('--with-secrets', 'with the keys themselves, so that it suffices alone; asks first')
    .option('--yes', 'do not ask')
    .action(async (name: string | undefined, options: SheetOptions, command) => {
      await sheet(run.context(command), name, options);
    });
}

async function sheet(context: Context, name: string | undefined, options: SheetOptions): Promise<void> {
  const { out } = context;
  if (options.html === true && options.markdown === true)
    throw new Failure('ConfigInvalid', '--html and --markdown exclude each other', {
      next: 'Say one of them.',
    });
  const configuration = await context.configuration();
  const instance = chooseInstance(configuration, name);
  const { domain } = instance;
  const file = options.output === undefined ? undefined : resolve(options.output);
  const withSecrets = options.withSecrets === true;
  if (withSecrets) await allowSecrets(context, file, options.yes === true);
  if (file !== undefined) await requireSheetOrNothing(file);

  const { facts, record } = await gatherFacts(configuration, instance, { withSecrets });
  const document = recoverySheet(facts);
  const html = options.html ?? (options.markdown !== true && file?.endsWith('.html') === true);
  const text = html ? sheetPage(document) : markdown(document);
  if (file !== undefined) await writePrivate(file, text);
  await recordSheet(configuration.state, domain, record).catch((error: unknown) => {
    out.complain(`status will not notice when this sheet no longer fits: ${failureOf(error).message}`);
  });
  out.complain(...facts.missing.map((line) => `Mind: ${plainText(line)}`));
  const { madeAt, mark } = record;
  const format = html ? 'html' : 'markdown';
  const told = { instance: domain, madeAt, mark, withSecrets, format, missing: facts.missing };
  if (file === undefined) return out.result({ ...told, text }, [text.trimEnd()]);
  out.result({ ...told, file }, [
    `The recovery sheet of ${domain} is written.`,
    ...formatFields([
      ['file', file],
      ['secrets', withSecrets ? 'IT OPENS THE BACKUPS: print it, put it away, and remove the file' : 'none'],
      ['mark', mark],
    ]),
  ]);
}

/** @throws Failure `ConfigInvalid` where nobody can be asked, `Cancelled` for a no. */
async function allowSecrets({ out }: Context, file: string | undefined, yes: boolean): Promise<void> {
  if (file === undefined)
    throw new Failure('ConfigInvalid', '--with-secrets writes keys, which do not belong on a terminal', {
      next: 'Say where with --output FILE, best on a disk that is in memory (/dev/shm) or encrypted.',
    });
  if (yes) return;
  const asker = askerFor(out, false);
  if (asker === undefined) throw missingFlag('Whether keys may be written into a file', '--yes');
  out.say(
    'The sheet will hold every key of the off-sites: whoever reads it reads the backups.',
    `It goes to ${file}, for its owner alone.`,
  );
  if (await asker.yesOrNo('Write them?', false)) return;
  throw new Failure('Cancelled', 'nothing was written', {
    next: 'Without the keys: leave --with-secrets out.',
  });
}

/** @throws Failure `Refused` for a file that is no recovery sheet. */
async function requireSheetOrNothing(file: string): Promise<void> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new Failure('Refused', `${file} cannot be written over`, {
      next: 'Choose another file.',
      cause: error,
    });
  });
  if (text === undefined || text === '' || text.slice(0, 2_000).includes('Recovery sheet: ')) return;
  throw new Failure('Refused', `${file} is there already, and is no recovery sheet`, {
    next: 'Choose another file, or move that one away.',
  });
}

/** Whole or not at all, and never readable for others, not even for a moment. */
async function writePrivate(file: string, text: string): Promise<void> {
  const temporary = `${file}.${String(process.pid)}.new`;
  try {
    const handle = await open(temporary, 'wx', 0o600);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    const reason = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new Failure('Refused', `${file} could not be written (${reason})`, {
      next: 'Choose another file.',
      cause: error,
    });
  }
}

if (isMain(import.meta.url)) await runScript(recoverySheetCommand);
