import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '../../../src/errors.js';
import type { OffsitePlace } from '../../../src/offsite/offsite.js';
import { treeOffsite } from '../../../src/offsite/tree.js';
import type { TreeTransport } from '../../../src/offsite/tree-transport.js';
import { conformance } from './conformance.js';

/**
 * The kind of off-site that docs/adding-an-offsite.md makes up to show how a kind is added: a folder, by find and cp.
 * That it passes shows that the contract says all that a kind has to do.
 */
function folderTransport(place: OffsitePlace, folder: string, bandwidth = 0): TreeTransport {
  const { host, as } = place;
  const shell = (script: string, ...words: string[]) => ['sh', '-c', `set -e; ${script}`, 'sh', ...words];
  const at = (path: string) => join(folder, path);
  return {
    kind: 'folder',
    check: async () => {
      const { exitCode } = await host.run(['test', '-d', folder], { as, okCodes: [0, 1] });
      if (exitCode === 0) return;
      throw new Failure('NotFound', `${folder} is not there`, { next: 'permafrost offsite init own' });
    },
    create: async () => {
      const { exitCode } = await host.run(['test', '-e', folder], { as, okCodes: [0, 1] });
      if (exitCode === 0) throw new Failure('Refused', `${folder} is there already`);
      await host.run(['mkdir', '-p', folder], { as });
    },
    listArgv: (below, depth = 9) =>
      Promise.resolve(
        shell(
          '[ -d "$1" ] || exit 0; find "$1" -maxdepth "$2" -type f ! -name "*.partial" -printf "%s\\t%P\\n"',
          ...[at(below), String(depth)],
        ),
      ),
    sendArgv: (from, to, { overwrite = false } = {}) =>
      Promise.resolve(
        shell(
          `cd "$1"; find -L . -type f -printf '%s %P\\n' | while read -r size name; do
            if [ "$3" = false ] && [ "$(stat -c %s "$2/$name" 2>/dev/null)" = "$size" ]; then continue; fi
            mkdir -p "$(dirname "$2/$name")"; cp "$name" "$2/$name.partial"; mv "$2/$name.partial" "$2/$name"
            [ "$4" = 0 ] || sleep "$(( size * 100 / $4 ))e-2"
          done`,
          ...[from, at(to), String(overwrite), String(bandwidth)],
        ),
      ),
    sendProgress: () => ({}),
    fetchArgv: (from, names, to) =>
      Promise.resolve(
        shell(
          `while read -r name; do
            [ ! -f "$1/$name" ] || { mkdir -p "$(dirname "$3/$name")"; cp "$1/$name" "$3/$name"; }
          done < "$2"`,
          ...[at(from), names, to],
        ),
      ),
    readArgv: (path) => Promise.resolve(['cat', '--', at(path)]),
    write: async (path, content) => {
      const script = 'mkdir -p "$(dirname "$1")"; cat > "$1.partial"; mv "$1.partial" "$1"';
      await host.run(shell(script, at(path)), { as, stdin: content });
    },
    remove: async (below, names) => {
      const script =
        'mkdir -p "$1"; cd "$1"; xargs -r rm -f -- < "$2"; cd ..; find "$1" -type d -empty ! -path "*/media/*" -delete';
      await host.run(shell(script, at(below), names), { as });
      return 'removed';
    },
    failureOf: (exitCode, output) => {
      const type = output.includes('No such file') ? 'NotFound' : 'OffsiteUnavailable';
      return new Failure(type, `the folder: ${String(exitCode)} ${output}`);
    },
  };
}

conformance('a kind of our own: a folder', async (folder) => {
  const configFile = join(folder, 'empty');
  await writeFile(configFile, '');
  return {
    config: { kind: 'rclone', name: 'own', remote: 'none:', configFile, encrypted: false },
    open: (place, config, domain) =>
      treeOffsite('own', place, folderTransport(place, join(folder, 'place', domain), config.bandwidth), {
        recipients: [],
      }),
    behind: join(folder, 'place'),
    encrypts: 'nothing',
    pool: true,
    wrong: [],
    secrets: [],
  };
});
