import type { Configuration, InstanceConfig } from '../../src/config/configuration.js';
import { Failure } from '../../src/errors.js';
import { chooseInstance } from './instance.js';
import { suggestion } from './suggest.js';

/**
 * A backup and its instance as they are typed, in either order: `[INSTANCE] [BACKUP]`. What is left out is the only
 * instance, or `latest`.
 *
 * @throws Failure `NotFound` for a word that is neither, `ConfigInvalid` for an instance that there is not.
 */
export function backupAndInstance(
  configuration: Configuration,
  words: readonly string[],
): { instance: InstanceConfig; backup: string } {
  const known = Object.keys(configuration.instances);
  const isBackup = (word: string) => word === 'latest' || /^\d[\dTZ]*$/.test(word);
  const [first, second] = words;
  if (first !== undefined && second !== undefined) {
    const [instance, backup] = isBackup(first) && !isBackup(second) ? [second, first] : [first, second];
    return { instance: chooseInstance(configuration, instance), backup };
  }
  const isInstance = first !== undefined && known.includes(first.toLowerCase());
  if (first !== undefined && !isInstance && !isBackup(first)) {
    throw new Failure('NotFound', `'${first}' is neither a backup's id nor an instance`, {
      next: suggestion(first, ['latest', ...known]),
    });
  }
  return isInstance
    ? { instance: chooseInstance(configuration, first), backup: 'latest' }
    : { instance: chooseInstance(configuration, undefined), backup: first ?? 'latest' };
}
