import type { RcloneConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import { anyExitCode, type RunResult } from '../hosts/host.js';
import type { OffsitePlace } from './offsite.js';
import { isDamageAlone, saidBy } from './rclone-output.js';

/** rclone as it is called for one remote at one place: with its keys in files, and its exit codes understood. */
export function rcloneCommand(config: RcloneConfig, place: OffsitePlace) {
  const { host, keys, as } = place;
  const key = (file: string) => `${keys}/${config.name}.${file}`;

  /** The argv of an rclone command that never asks anything; its log is JSON, with how far it is every second. */
  async function argv(...words: readonly string[]): Promise<string[]> {
    return [
      ...[await place.tool('rclone'), ...words],
      ...['--config', key('rclone-conf'), '--ask-password=false'],
      ...(config.configPasswordFile === undefined
        ? []
        : ['--password-command', `cat ${key('rclone-password')}`]),
      ...['--use-json-log', '--stats', '1s', '--stats-log-level', 'NOTICE'],
      // The default waits a minute for a place that does not answer, three times ten times.
      ...['--contimeout', '20s', '--timeout', '2m', '--retries-sleep', '2s'],
      ...(config.bandwidth === undefined ? [] : ['--bwlimit', `${String(config.bandwidth)}B`]),
    ];
  }

  /** A short command; the caller looks at how it ended. */
  async function run(
    words: readonly string[],
    { timeoutMs = 120_000, stdin }: { timeoutMs?: number; stdin?: string } = {},
  ): Promise<RunResult> {
    return host.run(words, {
      ...{ as, okCodes: anyExitCode, timeoutMs, maxOutputBytes: 16 << 20 },
      ...(stdin === undefined ? {} : { stdin }),
    });
  }

  /**
   * What another ending than 0 means (rclone's manual, "Exit code": 3 folder and 4 file not found, 5 and 6 errors that
   * another attempt may or will not mend, 7 fatal; 1 most others), so far as its words say more than its number.
   */
  function failureOf(exitCode: number, output: string): Failure {
    const said = saidBy(output) || `rclone ended with ${String(exitCode)}`;
    const where = { host: host.name };
    const off = `off-site ${config.name}`;
    if (exitCode === 3 || exitCode === 4)
      return new Failure('NotFound', `${off}: what was asked for is not there (${said})`, {
        ...where,
        next: 'is the remote in the configuration right, and its disk mounted?',
      });
    if (isDamageAlone(output))
      return new Failure('VerifyFailed', `${off}: what is stored there is damaged: ${said}`, {
        ...where,
        next: `permafrost verify --from ${config.name} --depth all names everything that is damaged there`,
      });
    if (/decrypt configuration|not allowed to ask for password/i.test(said))
      return new Failure(
        'AuthFailed',
        `${off}: ${config.configFile} is encrypted and cannot be opened: ${said}`,
        {
          ...where,
          next: "say in configPasswordFile where the password of rclone's configuration lies",
        },
      );
    if (/didn't find section in config|didn't find backend|unknown type/i.test(said))
      return new Failure(
        'ConfigInvalid',
        `${off}: rclone does not know the remote ${config.remote}: ${said}`,
        {
          ...where,
          next: `see the remotes with: rclone --config ${config.configFile} listremotes`,
        },
      );
    if (/knownhosts: key|host key mismatch/i.test(said))
      return new Failure(
        'HostKeyRejected',
        `${off}: the server shows another key than the one that is known: ${said}`,
        {
          ...where,
          next: 'compare the key with the server before you change known_hosts',
        },
      );
    if (
      /AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|unable to authenticate|ssh-agent|unauthorized|invalid_grant|expired_access_token|invalid.credentials|\b40[13]\b/i.test(
        said,
      ) &&
      !/rate.?limit|too many requests|slow ?down/i.test(said)
    )
      return new Failure(
        'AuthFailed',
        `${off} does not accept the credentials of ${config.configFile}: ${said}`,
        {
          ...where,
          next: 'see whether they are still valid, and whether they may write there',
        },
      );
    if (/no space left|quota|insufficient storage|\b507\b|disk full/i.test(said))
      return new Failure('OffsiteUnavailable', `${off} is full: ${said}`, {
        ...where,
        next: `make room there, or keep fewer backups (retention); permafrost prune removes what retention does not keep`,
      });
    return new Failure(
      'OffsiteUnavailable',
      `${off}: rclone ended with ${String(exitCode)} on ${host.name}: ${said}`,
      { ...where, next: 'see the message of rclone; the run tries again by itself for a while' },
    );
  }

  return { argv, run, failureOf };
}
