import type { Readable } from 'node:stream';
import { extract } from 'tar-stream';
import type { Manifest } from '../backups/manifest.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { firstOf, Wrong } from './check.js';
import type { FilesAtHand } from './files.js';

type SecretFile = NonNullable<Manifest['secrets']>['files'][number];

/** The archive of the secrets can be read to its end, and holds exactly the files of the manifest, modes and owners too. */
export async function secretsArchive({ host, received }: FilesAtHand): Promise<string> {
  const { manifest, files } = received;
  if (files.secrets === undefined)
    throw new Wrong('the archive of the secrets did not come as it was sealed');
  const expected = manifest.secrets?.files ?? [];
  const found = await archived(host, files.secrets);
  const problems = [
    ...expected.flatMap((file) => differenceOf(file, found.get(file.path))),
    ...[...found.keys()]
      .filter((path) => !expected.some((file) => file.path === path))
      .map((path) => `${path} is not in the manifest`),
  ];
  if (problems.length > 0) throw new Wrong(`the archive is not as the manifest says: ${firstOf(problems)}`);
  return `${String(found.size)} files with the modes and owners of the manifest, read to the end`;
}

function differenceOf(expected: SecretFile, found: SecretFile | undefined): string[] {
  if (found === undefined) return [`${expected.path} is missing`];
  const known = (name: string) => (name === 'UNKNOWN' ? '' : name);
  const words = (file: SecretFile) =>
    `${file.mode} ${known(file.owner)}:${known(file.group)} with ${String(file.bytes)} bytes`;
  return words(expected) === words(found)
    ? []
    : [`${expected.path} is ${words(found)} instead of ${words(expected)}`];
}

/** The regular files of a tar archive, by path. @throws Wrong when it cannot be read to its end. */
async function archived(host: Host, archive: string): Promise<Map<string, SecretFile>> {
  const stream = await host.stream(['cat', '--', archive]);
  try {
    const read = await readArchive(stream.stdout).catch((error: unknown) => String(error));
    stream.stdout.unpipe().resume();
    const { exitCode, stderr } = await stream.completed;
    if (exitCode !== 0)
      throw new Failure('CommandFailed', `${archive} on ${host.name} cannot be read: ${stderr.trim()}`, {
        host: host.name,
      });
    if (typeof read === 'string') throw new Wrong(`the archive of the secrets cannot be read: ${read}`);
    return read;
  } finally {
    stream.kill();
  }
}

async function readArchive(stdout: Readable): Promise<Map<string, SecretFile>> {
  const entries = extract();
  stdout.on('error', (error) => entries.destroy(error));
  stdout.pipe(entries);
  const files = new Map<string, SecretFile>();
  for await (const entry of entries) {
    const { name, type, mode = 0, uname = '', gname = '' } = entry.header;
    let bytes = 0;
    for await (const chunk of entry as AsyncIterable<Buffer>) bytes += chunk.length;
    if (type !== 'file' && type !== 'contiguous-file') continue;
    const octal = (mode & 0o7777).toString(8).padStart(4, '0');
    files.set(name, { path: name, mode: octal, owner: uname, group: gname, bytes });
  }
  return files;
}
