import type { FollowJob } from './offsite.js';

/**
 * How files get to a place that is nothing but a tree of files, and back: what a kind of off-site without snapshots has
 * to bring along. `tree.ts` makes an off-site of it.
 *
 * Everything runs on the off-site's host (`OffsitePlace.host`). Paths there are relative to the instance's own folder
 * (`<remote>/<domain>`), joined with `/`, of the characters `A-Z a-z 0-9 . _ - /`; `''` is the folder itself.
 * Rights, owners and times are not kept: the manifest and the media index have them. Nothing is ever renamed there.
 */
export interface TreeTransport {
  readonly kind: string;

  /** As `Offsite.check`: `NotFound` until `create` was run there, so that a disk that is not mounted is no empty place. */
  check(): Promise<void>;

  /** As `Offsite.create`: makes the place, where places have folders, and proves that it can be written. */
  create(): Promise<void>;

  /**
   * The argv of a command that prints a line `<bytes>\t<path>` for each file below a folder (paths relative to it) that
   * has its final name. Nothing and exit code 0 when the folder is not there; any other exit code: the list is not
   * complete. Meant for jobs and streams: a pool of a million files never passes through memory.
   *
   * @param depth how many names deep: 1 lists the files in the folder itself.
   */
  listArgv(folder: string, depth?: number): Promise<readonly string[]>;

  /**
   * The argv of a command that copies all files below a local folder (following symbolic links) to a folder there. One
   * that is there with its size is not sent again, unless `overwrite`; one that was sent in part is gone on with, where
   * the place can do so; none has its final name before it is whole. Ends with 0 when all of them are there, and with
   * something else when one could not be read or a link leads nowhere; the others are sent all the same.
   *
   * @param options.few a hint: there are few files to send, and maybe very many in the folder there.
   */
  sendArgv(
    from: string,
    to: string,
    options?: { overwrite?: boolean; few?: boolean },
  ): Promise<readonly string[]>;

  /** How far a send is, from the end of what it printed. */
  sendProgress(tails: { stdoutTail: string; stderrTail: string }): { bytes?: number; files?: number };

  /**
   * The argv of a command that copies files from a folder there to a local folder, under the same relative paths. The
   * local file `names` lists them, a line each. What is not there is passed over with exit code 0.
   */
  fetchArgv(from: string, names: string, to: string): Promise<readonly string[]>;

  /**
   * The argv of a command that prints one file; where the place cannot stream, it is fetched into `scratch` first. Ends
   * with another exit code than 0 when the file is not there or did not come whole.
   *
   * @param scratch a private folder for this call alone; who calls removes it when the command has ended.
   * @param bytes that it has, when known.
   * @throws Failure `Refused` when `scratch` has no room for it.
   */
  readArgv(path: string, scratch: string, bytes?: number): Promise<readonly string[]>;

  /** Writes a small file, whole or not at all. Bytes that it already has are left alone. */
  write(path: string, content: string): Promise<void>;

  /**
   * Removes the files that the local file `names` lists, relative to a folder there; what is not there is no error.
   * Folders that are empty then go too, but for those of the pool.
   *
   * @returns `append-only` when the place lets nothing be removed.
   */
  remove(folder: string, names: string, follow: FollowJob): Promise<'removed' | 'append-only'>;

  /**
   * Whether a command's failure is of a kind that another attempt may mend, and what to tell: `NotFound` when what was
   * asked for is not there, `VerifyFailed` when the place says that what it holds is damaged.
   */
  failureOf(exitCode: number, output: string): Error;
}
