import { Failure } from '../errors.js';
import type { Host } from './host.js';
import { findTool } from './tools.js';

/** What making a delta of a dump takes on a host, and putting one together: rdiff and zstd of the distribution. */
const deltaTools = ['rdiff', 'zstd'] as const;

/** The first of them that a host lacks, in words; undefined when both are there. @throws what `host` throws */
export async function lackingForDeltas(host: Host): Promise<{ what: string; next: string } | undefined> {
  for (const tool of deltaTools) {
    try {
      await findTool(host, tool);
    } catch (error) {
      if (!(error instanceof Failure) || error.type !== 'ToolMissing') throw error;
      const where = host.name === 'local' ? 'this machine' : host.name;
      return {
        what: `${tool} is not on ${where}, or too old`,
        next: `Deltas of the database need it: apt-get install ${tool} there, or say database.delta: off.`,
      };
    }
  }
  return undefined;
}
