import { verifyFolder } from '../backups/verify-sample.js';
import type { ResticConfig } from '../config/configuration.js';
import type { MediaFile, Offsite, OffsitePlace, ReadFile, StoredFile, StoredPartRef } from './offsite.js';
import { hashFolder } from './hash-folder.js';
import { linesOf } from './lines.js';
import { resticCommand } from './restic-command.js';
import { includeLine, isDamage, nodeSchema } from './restic-output.js';
import { hashTar } from './tar.js';

/** Files that are fetched by name; of more, their folders are: restic takes longer to tell many names than to restore. */
const mostNames = 2_000;

/** The media of a restic off-site: files of a snapshot, by their path. */
export function resticMedia(
  config: ResticConfig,
  place: OffsitePlace,
): Pick<Offsite, 'mediaKey' | 'listMedia' | 'readMedia' | 'readAllMedia' | 'fetchMedia'> {
  const { host, as } = place;
  const { argv, short, stream, readFailureOf } = resticCommand(config, place);
  const mediaOf = ({ snapshot = '', root = '' }: StoredPartRef) => ({
    snapshot,
    root,
    at: `${snapshot}:${root}`,
  });

  /** Restores files, or the folders that hold them; what is damaged or not there does not come. */
  async function restore(part: StoredPartRef, wanted: readonly MediaFile[], into: string): Promise<void> {
    const names =
      wanted.length <= mostNames
        ? wanted.map(({ path }) => path)
        : [...new Set(wanted.map(({ path }) => verifyFolder(path) || path))];
    const script = `umask 077; mkdir -p -- "$1" && cat > "$1.list"; target=$1; shift
"$@" --include-file "$target.list" --target "$target" > /dev/null; rc=$?; rm -f -- "$target.list"; exit $rc`;
    const words = await argv('restore', '--no-lock', mediaOf(part).at);
    const restored = await host.run(['sh', '-c', script, 'sh', into, ...words], {
      ...short,
      stdin: `${names.map(includeLine).join('\n')}\n`,
      timeoutMs: 24 * 3_600_000,
    });
    const said = restored.stderr || restored.stdout;
    if (restored.exitCode !== 0 && !isDamage(said)) throw readFailureOf(restored.exitCode, said);
  }

  return {
    mediaKey: ({ path }) => path,

    async *listMedia(part): AsyncIterable<StoredFile> {
      const { snapshot, root } = mediaOf(part);
      const listing = await stream('ls', '--no-lock', snapshot);
      const prefix = `${root.replace(/\/+$/, '')}/`;
      try {
        for await (const line of linesOf(listing.stdout)) {
          if (!line.includes('"type":"file"')) continue; // there are three folders for each file: not worth parsing
          const node = nodeSchema.safeParse(JSON.parse(line));
          if (!node.success || node.data.type !== 'file' || !node.data.path.startsWith(prefix)) continue;
          yield { key: node.data.path.slice(prefix.length), size: node.data.size };
        }
        const { exitCode, stderr } = await listing.completed;
        if (exitCode !== 0) throw readFailureOf(exitCode, stderr);
      } finally {
        listing.kill();
      }
    },

    async *readMedia(part, wanted, scratch): AsyncIterable<ReadFile> {
      if (wanted.length === 0) return;
      try {
        await host.run(['rm', '-rf', '--', scratch], { as, timeoutMs: 600_000 });
        await restore(part, wanted, scratch);
        for await (const { path, sha256 } of hashFolder(host, as, scratch)) yield { key: path, sha256 };
      } finally {
        await host.run(['rm', '-rf', '--', scratch], { as, timeoutMs: 600_000 });
      }
    },

    async *readAllMedia(part): AsyncIterable<ReadFile> {
      const archive = await stream('dump', '--no-lock', '--archive', 'tar', mediaOf(part).at, '/');
      try {
        let cut: unknown;
        try {
          yield* hashTar(archive.stdout);
        } catch (error) {
          cut = error; // of an archive that breaks off: restic says why
        }
        const { exitCode, stderr } = await archive.completed;
        if (exitCode !== 0) throw readFailureOf(exitCode, stderr);
        if (cut !== undefined) throw cut;
      } finally {
        archive.kill();
      }
    },

    async fetchMedia(part, wanted, into) {
      if (wanted.length > 0) await restore(part, wanted, into);
    },
  };
}
