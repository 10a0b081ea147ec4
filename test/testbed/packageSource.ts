import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where this machine's own distribution comes from. */
export interface PackageSource {
  /** `bookworm`, `noble` */
  readonly suite: string;
  readonly mirror: string;
  readonly components: string;
  readonly keyring: string;
}

interface Entry {
  readonly uri: string;
  readonly suites: readonly string[];
  readonly keyring: string | undefined;
}

/** Read from os-release and apt's sources, in both of their formats (sources.list(5)); null when they do not tell. */
export function packageSource(): PackageSource | null {
  const release = readFileSync('/etc/os-release', 'utf8');
  const suite = /^VERSION_CODENAME="?(\w+)/m.exec(release)?.[1];
  const distribution = /^ID="?(\w+)/m.exec(release)?.[1];
  if (suite === undefined || distribution === undefined) return null;
  const entry = sources().find(({ suites }) => suites.includes(suite));
  const keyring = entry?.keyring ?? `/usr/share/keyrings/${distribution}-archive-keyring.gpg`;
  if (entry === undefined || !existsSync(keyring)) return null;
  const components = distribution === 'ubuntu' ? 'main,universe' : 'main';
  return { suite, mirror: entry.uri, components, keyring };
}

function sources(): Entry[] {
  const folder = '/etc/apt/sources.list.d';
  const more = existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
  return ['/etc/apt/sources.list', ...more].filter(existsSync).flatMap((path) => {
    const text = readFileSync(path, 'utf8').replaceAll(/^#.*\n/gm, '');
    return path.endsWith('.sources') ? text.split(/\n\s*\n/).flatMap(stanza) : text.split('\n').flatMap(line);
  });
}

function stanza(text: string): Entry[] {
  const field = (name: string): string | undefined =>
    new RegExp(`^${name}:[ \t]*(.+)$`, 'm').exec(text)?.[1]?.trim();
  const uri = field('URIs')?.split(/\s+/)[0];
  const signedBy = field('Signed-By');
  if (uri === undefined || !(field('Types') ?? '').includes('deb')) return [];
  return [
    {
      uri,
      suites: (field('Suites') ?? '').split(/\s+/),
      keyring: signedBy?.startsWith('/') ? signedBy : undefined,
    },
  ];
}

function line(text: string): Entry[] {
  const found = /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)/.exec(text);
  const [, options, uri, suite] = found ?? [];
  if (uri === undefined || suite === undefined) return [];
  return [{ uri, suites: [suite], keyring: /signed-by=(\/\S+)/.exec(options ?? '')?.[1] }];
}
