import type { Host, Identity } from '../hosts/host.js';

/** A file in the archive: what its path leads to, where that is a link. */
export interface ArchivedFile {
  readonly path: string;
  /** Octal: `0600`. */
  readonly mode: string;
  readonly owner: string;
  readonly group: string;
  readonly bytes: number;
}

/**
 * Prints the archive: the files and folders that the arguments lead to and all that is in them, once each, with the
 * modes and owners of what links lead to. A link to a folder, or to nothing, that lies in a folder is left out: what it
 * leads to may be anything, as large as a disk.
 */
const archiveScript = `set -o pipefail; export LC_ALL=C; cd / || exit
find -H "$@" \\( -type d -o -type f -o -type l -xtype f \\) -print0 | sort -zu |
  tar --create --format=pax --absolute-names --dereference --hard-dereference --no-recursion \\
    --null --files-from=- --file=-`;

/** Prints "mode TAB owner TAB group TAB bytes TAB path" of each file of the archive, a NUL after each. */
const listScript = `set -o pipefail; export LC_ALL=C; cd / || exit
find -H "$@" \\( -type f -o -type l -xtype f \\) -print0 | sort -zu |
  xargs -0 -r stat -L --printf='%a\\t%U\\t%G\\t%s\\t%n\\0' --`;

/** $1 file, $2 how many of the words after it make the archive; the rest lists it. */
const keepScript = `umask 077; cd / && set -o pipefail; file=$1 n=$2; shift 2
"\${@:1:n}" | tee -- "$file.new" | sha256sum | cut -d ' ' -f 1 && mv -- "$file.new" "$file" && stat -c %s -- "$file" && "\${@:n+1}"`;

/**
 * Archives files and folders of a host into a file of the login user there: content, modes and owners, links as what
 * they lead to.
 *
 * @param paths absolute; a link is followed, to a folder too.
 * @param as who reads them.
 */
export async function archiveSecrets(
  host: Host,
  { paths, as, file }: { paths: readonly string[]; as: Identity; file: string },
): Promise<{ bytes: number; sha256: string; files: ArchivedFile[] }> {
  const script = (text: string) => host.argvAs(['bash', '-c', text, 'bash', ...paths], as);
  const archive = await script(archiveScript);
  const argv = ['bash', '-c', keepScript, 'bash', file, String(archive.length), ...archive];
  const { stdout } = await host.run([...argv, ...(await script(listScript))], { timeoutMs: 120_000 });
  const [sha256 = '', size = '', ...rest] = stdout.split('\n');
  const records = rest.join('\n').split('\0').slice(0, -1);
  const files = records.map((record) => {
    const [mode = '', owner = '', group = '', bytes = '0', ...path] = record.split('\t');
    return { path: path.join('\t'), mode: mode.padStart(4, '0'), owner, group, bytes: Number(bytes) };
  });
  return { bytes: Number(size), sha256, files };
}

/** The texts of files in an archive that `archiveSecrets` made, by path. @throws Failure `CommandFailed` for one that is not in it. */
export async function archivedTexts(
  host: Host,
  archive: string,
  paths: readonly string[],
): Promise<Map<string, string>> {
  const extract = ['tar', '--extract', '--to-stdout', '--occurrence=1', '--absolute-names', '--no-unquote'];
  const texts = paths.map(async (path) => {
    const { stdout } = await host.run([...extract, `--file=${archive}`, '--', path]);
    return [path, stdout] as const;
  });
  return new Map(await Promise.all(texts));
}
