import { join, resolve } from 'node:path';
import type { Configuration, InstanceConfig } from '../src/config/configuration.js';
import { Failure } from '../src/errors.js';
import { endedBy } from '../src/hosts/ended-by.js';
import { localHost } from '../src/hosts/local.js';
import { offsiteOf, withOffsite } from '../src/offsite/read.js';
import { withReading } from '../src/records/readers.js';
import type { Context } from './cli/command.js';
import { stopSignal } from './cli/stop-signal.js';
import { chooseBackupToFetch, type ToFolderOptions } from './to-folder/choose.js';
import { begunIn } from './to-folder/folder.js';
import { layOut, type ToLayOut } from './to-folder/lay-out.js';
import { tellLaidOut } from './to-folder/tell.js';

export type { ToFolderOptions } from './to-folder/choose.js';

/**
 * `restore --to DIR`: lays a backup out as plain files, in this process and without Temporal. Interrupted, the same command
 * goes on. Damage ends it with 6: what is good is there, and what is not is named.
 */
export async function restoreToFolder(
  context: Context,
  configuration: Configuration,
  instance: InstanceConfig,
  options: ToFolderOptions,
): Promise<void> {
  const { io, out } = context;
  const path = resolve(options.to);
  const before = await begunIn(path);
  const stop = stopSignal(io, out);
  const local = localHost({ folder: join(configuration.state, 'host') });
  const host = endedBy(local, stop.signal);
  try {
    const wanted = await chooseBackupToFetch(configuration, instance, { ...options, before, host });
    const { from, backup } = wanted;
    const offsite = offsiteOf(configuration, from);
    const reading: ToLayOut['reading'] = (use, work) =>
      withOffsite(configuration, instance, offsite, (copy) => use(copy), 'folder', host, work);
    const laid = await withReading(configuration.state, from, backup, () =>
      layOut({ ...wanted, configuration, host, reading, path, before, out, signal: stop.signal }),
    );
    tellLaidOut(context, laid);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    throw cancelled(path, instance, options);
  } finally {
    stop.close();
    await local.close();
  }
}

function cancelled(path: string, { domain }: InstanceConfig, { backup, from }: ToFolderOptions): Failure {
  const words = ['permafrost', 'restore', domain, backup, '--to', path];
  if (from !== undefined) words.push('--from', from);
  return new Failure('Cancelled', 'the restore was interrupted', {
    next: `What has come stays in ${path}, and this goes on there: ${words.join(' ')}`,
  });
}
