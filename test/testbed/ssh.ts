import { execa } from 'execa';
import { Failure } from '../../src/errors.js';

export interface SshOptions {
  readonly stdin?: string;
  /** Exit codes that are no failure; default [0]. */
  readonly okCodes?: readonly number[];
}

export interface SshResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface SshKeys {
  readonly identityFile: string;
  readonly knownHosts: string;
}

/** Runs a command on a host through the system's ssh, trusting nothing but the testbed's own files. */
export async function ssh(
  keys: SshKeys,
  target: string,
  argv: readonly string[],
  { stdin = '', okCodes = [0] }: SshOptions = {},
): Promise<SshResult> {
  const options = {
    IdentityFile: keys.identityFile,
    IdentitiesOnly: 'yes',
    UserKnownHostsFile: keys.knownHosts,
    GlobalKnownHostsFile: '/dev/null',
    StrictHostKeyChecking: 'yes',
    BatchMode: 'yes',
    ConnectTimeout: '3',
    LogLevel: 'ERROR',
  };
  const flags = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  const command = argv.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  const result = await execa('ssh', ['-F', '/dev/null', ...flags, target, '--', command], {
    input: stdin,
    reject: false,
  });
  const { exitCode = -1, stdout, stderr } = result;
  if (!okCodes.includes(exitCode)) {
    throw new Failure(
      'CommandFailed',
      `${argv.join(' ')} on ${target} ended with ${String(exitCode)}: ${stderr || stdout}`,
    );
  }
  return { exitCode, stdout, stderr };
}
