import { Failure } from '../errors.js';
import type { Host } from './host.js';

/** What a run calls on a host besides the tools of `tools.ts`: there on every Debian and Ubuntu, perl-base included. */
export const runPrograms = [
  ...['bash', 'perl', 'tar', 'find', 'sort', 'sha256sum', 'tee', 'stat', 'df', 'du', 'timeout'],
  ...['flock', 'setsid'],
] as const;

/** Those of the programs that the login user's PATH on the host does not have. */
export async function missingPrograms(
  host: Host,
  programs: readonly string[] = runPrograms,
): Promise<string[]> {
  const script = 'for program; do command -v -- "$program" > /dev/null || echo "$program"; done';
  const { stdout } = await host.run(['sh', '-c', script, 'sh', ...programs]);
  return stdout.split('\n').filter((name) => name !== '');
}

/** @throws Failure `ToolMissing` naming those that are not there. */
export async function requirePrograms(host: Host, programs: readonly string[] = runPrograms): Promise<void> {
  const missing = await missingPrograms(host, programs);
  if (missing.length === 0) return;
  throw new Failure('ToolMissing', `There is no ${missing.join(', ')} on ${host.name}.`, {
    host: host.name,
    next: `Install what is missing on ${host.name}.`,
  });
}
