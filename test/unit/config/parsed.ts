import { expect } from 'vitest';
import type { Configuration } from '../../../src/config/configuration.js';
import { parseConfiguration } from '../../../src/config/load.js';
import { Failure } from '../../../src/errors.js';

/** Where the configurations of these tests would lie. */
export const file = '/etc/permafrost/permafrost.yaml';

/** As if it stood in that file. */
export function load(text: string, env: NodeJS.ProcessEnv = {}): Configuration {
  return parseConfiguration(text, file, env);
}

/** The lines of problems that this configuration is refused with. */
export function problems(text: string): string[] {
  try {
    load(text);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    expect(error.type).toBe('ConfigInvalid');
    return error.message
      .split('\n')
      .slice(1)
      .map((line) => line.trim());
  }
  return [];
}
