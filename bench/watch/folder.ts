import { execa } from 'execa';

/** Bytes of all files below a folder. */
export async function bytesIn(folder: string): Promise<number> {
  const { stdout } = await execa('du', ['--apparent-size', '--bytes', '--summarize', '--', folder]);
  return Number(stdout.split('\t')[0]);
}

/** Everything that is still on its way to the disk is there: what one wrote must not slow the next one down. */
export async function settled(): Promise<void> {
  await execa('sync');
}
