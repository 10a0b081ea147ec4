import { parseEnvFile } from './env-file.js';
import type { Unit } from './units.js';

/** One of the places that Mastodon's environment is put together from. Variables may be secret. */
export type EnvSource =
  | { readonly kind: 'file'; readonly path: string }
  | {
      /** What a unit sets itself (`Environment=`), and the files where it does. */
      readonly kind: 'unit';
      readonly files: readonly string[];
      readonly variables: ReadonlyMap<string, string>;
    };

/**
 * The places that the web process's environment comes from, each winning over those before it: what systemd sets wins
 * over the env file, and a unit's `EnvironmentFile=` over its `Environment=` (systemd.exec(5); dotenv never overrides
 * what is set).
 *
 * @param environmentFiles the web unit's, patterns expanded.
 */
export function envSources(
  envFile: string,
  web: Pick<Unit, 'files' | 'environment'> | undefined,
  environmentFiles: readonly string[],
): EnvSource[] {
  return [
    { kind: 'file', path: envFile },
    ...(web === undefined || web.environment.size === 0
      ? []
      : [{ kind: 'unit' as const, files: web.files, variables: web.environment }]),
    ...environmentFiles.map((path) => ({ kind: 'file' as const, path })),
  ];
}

/** The files that a source stands in. */
export function filesOf(source: EnvSource): readonly string[] {
  return source.kind === 'file' ? [source.path] : source.files;
}

/** The environment that these sources make. @param texts of the files, by path; one that is not there sets nothing. */
export function environmentOf(
  sources: readonly EnvSource[],
  texts: ReadonlyMap<string, string>,
): Map<string, string> {
  return new Map(
    sources.flatMap((source) => [
      ...(source.kind === 'unit' ? source.variables : parseEnvFile(texts.get(source.path) ?? '')),
    ]),
  );
}

/** The unit whose environment counts: the web process's, or else any but streaming's, which takes less. */
export function webUnit<Known extends Pick<Unit, 'name'>>(units: readonly Known[]): Known | undefined {
  return (
    units.find((unit) => /web|puma/.test(unit.name)) ?? units.find((unit) => !/streaming/.test(unit.name))
  );
}
