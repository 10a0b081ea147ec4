import type { Configuration, InstanceConfig } from '../../src/config/configuration.js';
import { Failure } from '../../src/errors.js';
import { suggestion } from './suggest.js';

/**
 * The instance that is meant; it may be left out when there is only one.
 *
 * @throws Failure `ConfigInvalid` for an unknown one, with what was probably meant.
 */
export function chooseInstance(configuration: Configuration, name: string | undefined): InstanceConfig {
  const known = Object.keys(configuration.instances);
  if (name !== undefined) {
    const instance = configuration.instances[name.toLowerCase()];
    if (instance !== undefined) return instance;
    throw new Failure('ConfigInvalid', `${configuration.file} has no instance ${name}`, {
      next: suggestion(name, known),
    });
  }
  const [only, ...others] = Object.values(configuration.instances);
  if (only !== undefined && others.length === 0) return only;
  throw new Failure('ConfigInvalid', `${configuration.file} has several instances, and none was named`, {
    next: `Name one of them: ${known.join(', ')}`,
  });
}

/** The instance that is named, else all of them. */
export function chooseInstances(configuration: Configuration, name: string | undefined): InstanceConfig[] {
  return name === undefined ? Object.values(configuration.instances) : [chooseInstance(configuration, name)];
}
