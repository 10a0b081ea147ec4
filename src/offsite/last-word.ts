import { complaintsOf } from './rclone-output.js';

/**
 * Why an entry did not come, in the words of the tool that says it best: rclone's log is JSON, age and rsync end with a
 * line that says nothing, and zstd complains of what age has cut off.
 */
export function lastWord({ exitCode, stderr }: { exitCode: number; stderr: string }): string {
  const said = complaintsOf(stderr).map(({ text }) => text.trim());
  const telling = said.filter((text) => !/^age: report unexpected|^rsync error:/.test(text));
  const word = telling.findLast((text) => text.startsWith('age: error:')) ?? telling.at(-1) ?? said.at(-1);
  return word?.slice(0, 200) ?? `exit code ${String(exitCode)}`;
}
