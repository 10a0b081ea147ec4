import { hashFolder } from './hash-folder.js';
import { Failure } from '../errors.js';
import { anyExitCode } from '../hosts/host.js';
import type { MediaFile, Offsite, ReadFile, StoredFile } from './offsite.js';
import { longTimeoutMs, removeFiles, streamTree, type Tree, writeNames } from './tree-commands.js';
import { hashOfPoolName, poolFolder, poolName } from './tree-layout.js';
import { placeFilesArgv } from './tree-scripts.js';

/** The media of a tree: a pool of files that are called by their content, shared by all backups. */
export function treeMedia(
  tree: Tree,
): Required<Pick<Offsite, 'mediaKey' | 'listMedia' | 'readMedia' | 'fetchMedia' | 'mend'>> {
  const { transport, place } = tree;
  const { host, as } = place;

  /** Fetches contents into `folder/files`; what is damaged or not there does not come. */
  async function fetch(hashes: ReadonlySet<string>, folder: string): Promise<string> {
    const files = `${folder}/files`;
    await host.run(['sh', '-c', 'umask 077; mkdir -p -- "$1"', 'sh', files], { as });
    await writeNames(tree, `${folder}/names`, [...hashes].map(poolName));
    const fetched = await host.run(await transport.fetchArgv(poolFolder, `${folder}/names`, files), {
      ...{ as, okCodes: anyExitCode, timeoutMs: longTimeoutMs },
    });
    if (fetched.exitCode !== 0) {
      const failure = transport.failureOf(fetched.exitCode, fetched.stderr);
      if (!(failure instanceof Failure) || failure.type !== 'VerifyFailed') throw failure;
    }
    return files;
  }

  async function remove(folder: string): Promise<void> {
    await host.run(['rm', '-rf', '--', folder], { as, timeoutMs: 600_000 });
  }

  return {
    mediaKey: ({ sha256 }) => sha256,

    async *listMedia(): AsyncIterable<StoredFile> {
      for await (const { path, bytes } of streamTree(tree, poolFolder, 2)) {
        const key = hashOfPoolName(path);
        if (key !== undefined) yield { key, size: bytes };
      }
    },

    async *readMedia(_part, wanted, scratch): AsyncIterable<ReadFile> {
      if (wanted.length === 0) return;
      try {
        await remove(scratch);
        const files = await fetch(new Set(wanted.map(({ sha256 }) => sha256)), scratch);
        for await (const { path, sha256 } of hashFolder(host, as, files)) {
          const key = hashOfPoolName(path);
          if (key !== undefined) yield { key, sha256 };
        }
      } finally {
        await remove(scratch);
      }
    },

    async fetchMedia(_part, wanted, into) {
      if (wanted.length === 0) return;
      // Inside, so that the files need only be renamed.
      const scratch = `${into}/.permafrost-fetch`;
      try {
        await remove(scratch);
        const files = await fetch(new Set(wanted.map(({ sha256 }) => sha256)), scratch);
        const stdin = Buffer.concat(
          wanted.flatMap((file) => [Buffer.from(`${file.sha256}\0`), pathOf(file), Buffer.from('\0')]),
        );
        await host.run(placeFilesArgv(files, into), { as, stdin, timeoutMs: 3_600_000 });
      } finally {
        await remove(scratch);
      }
    },

    async mend(_part, keys) {
      const names = keys.filter((key) => /^[0-9a-f]{64}$/.test(key)).map(poolName);
      if ((await removeFiles(tree, poolFolder, names)) === 'removed') return;
      throw new Failure(
        'Refused',
        `off-site ${tree.name} lets nothing be removed: damaged media stay there`,
        {
          next: 'remove them (media/…) there with a key that may remove files; the next backup sends them again',
        },
      );
    },
  };
}

function pathOf({ path, pathBytes }: MediaFile): Buffer {
  return pathBytes ?? Buffer.from(path);
}
