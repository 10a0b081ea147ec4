import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type SampleInstance, startSampleInstance } from '../sample/instance.js';
import { Failure } from '../src/errors.js';
import { Dataset } from './data/dataset.js';
import { type Size, sizeOf } from './data/population.js';
import type { Options } from './options.js';

/** As a small server's PostgreSQL is set up; nothing waits for the disk, in any of the ways that are compared. */
const settings = { shared_buffers: '256MB', max_wal_size: '4GB', checkpoint_timeout: '1h' };

/** Where a bench takes place: the instance with its data, and folders for the ways. */
export class Stage {
  readonly folder: string;
  readonly instance: SampleInstance;
  readonly dataset: Dataset;
  readonly #keep: boolean;

  private constructor(folder: string, instance: SampleInstance, dataset: Dataset, keep: boolean) {
    this.folder = folder;
    this.instance = instance;
    this.dataset = dataset;
    this.#keep = keep;
  }

  /**
   * Makes the data set, or opens the one that was kept.
   *
   * @throws Failure `ConfigInvalid` when the folder holds another one, or none of a bench's.
   */
  static async open(options: Options, say: (text: string) => void): Promise<Stage> {
    const { folder } = options;
    const size = sizeOf(options);
    const isKept = await isDataset(folder, size);
    await mkdir(folder, { recursive: true });
    await chmod(folder, 0o755);
    const place = join(folder, 'mastodon');
    let instance: SampleInstance | undefined;
    try {
      instance = await startSampleInstance({
        folder: place,
        domain: 'bench.example',
        postgres: { settings },
      });
      const dataset = isKept
        ? await Dataset.open(folder, instance)
        : await Dataset.make(folder, instance, size, say);
      return new Stage(folder, instance, dataset, options.keep);
    } catch (error) {
      await instance?.stop();
      // A half-made data set is no use, kept or not.
      if (!isKept) await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** A folder for one way in one round. */
  async wayFolder(name: string): Promise<string> {
    const folder = join(this.folder, 'ways', name);
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    return folder;
  }

  async close(): Promise<void> {
    await this.instance.stop();
    if (this.#keep) await rm(join(this.folder, 'ways'), { recursive: true, force: true });
    else await rm(this.folder, { recursive: true, force: true });
  }
}

async function isDataset(folder: string, size: Size): Promise<boolean> {
  if (!existsSync(folder) || (await readdir(folder)).length === 0) return false;
  const kept = await Dataset.sizeIn(folder);
  if (JSON.stringify(kept) === JSON.stringify(size)) return true;
  const what = kept === undefined ? 'something that is no data set' : 'a data set of another size';
  throw new Failure('ConfigInvalid', `In ${folder} there is ${what}.`, {
    next: 'Name another --folder, or remove this one.',
  });
}
