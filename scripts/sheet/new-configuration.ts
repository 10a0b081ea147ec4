import { Document, stringify, visit } from 'yaml';
import type { Configuration, OffsiteConfig } from '../../src/config/configuration.js';
import { configurationInput } from '../../src/config/explain.js';
import { parseConfiguration } from '../../src/config/load.js';

/**
 * The configuration with which one instance is restored on a new server: Permafrost and Mastodon on the same machine, no
 * schedule until somebody says that all is well, and every file in one folder. What is the default is left out. Pure.
 *
 * @param files by off-site: the keys of its files and where they lie on the new server.
 * @param signing where the public keys of signatures lie there.
 */
export function newConfiguration(
  configuration: Configuration,
  domain: string,
  files: ReadonlyMap<string, Readonly<Record<string, string>>>,
  signing: readonly string[],
): string {
  const given = record(record(configurationInput(configuration)['instances'])[domain]);
  const offsites = Object.fromEntries(
    Object.values(configuration.offsites)
      .filter(({ name }) => configuration.instances[domain]?.offsites.includes(name) === true)
      .map((offsite) => [offsite.name, newOffsite(offsite, files.get(offsite.name) ?? {})]),
  );
  const { mastodon, database, quiesce, allow, verify, retention } = given;
  const instance = {
    ...{ host: 'local', mastodon, database, quiesce, allow, verify, retention },
    schedule: { backup: 'none', drill: 'none' },
  };
  const whole = {
    instances: { [domain]: instance },
    offsites,
    ...(signing.length === 0 ? {} : { trustedKeys: [...signing] }),
  };
  const document = new Document(withoutDefaults(whole, domain));
  visit(document, {
    // What is short stands on a line of its own: the sheet is to be printed.
    Collection: (_key, node) => {
      if (JSON.stringify(node).length > 60) return undefined;
      node.flow = true;
      return visit.SKIP;
    },
  });
  return document.toString({ lineWidth: 0, flowCollectionPadding: true });
}

function newOffsite(
  offsite: OffsiteConfig,
  files: Readonly<Record<string, string>>,
): Record<string, unknown> {
  const input = record(record(configurationInput(alone(offsite))['offsites'])[offsite.name]);
  // On that day nobody waits for the sake of a neighbour.
  return { ...input, bandwidth: undefined, ...files };
}

/** A configuration that has one off-site and nothing else of its own. */
function alone(offsite: OffsiteConfig): Configuration {
  return { ...smallest('a.example', offsite.name), offsites: { [offsite.name]: offsite } };
}

function smallest(domain: string, offsite: string): Configuration {
  const text = stringify({
    instances: { [domain]: { host: 'local', mastodon: { root: '/root' } } },
    offsites: { [offsite]: { kind: 'restic', repository: '/there', passwordFile: '/password' } },
  });
  return parseConfiguration(text, '/etc/permafrost/permafrost.yaml', {});
}

function withoutDefaults(whole: { instances: object; offsites: object }, domain: string): object {
  const usual = configurationInput(smallest(domain, 'any'));
  const instance = different(
    record(record(whole.instances)[domain]),
    record(record(usual['instances'])[domain]),
  );
  const offsites = Object.entries(whole.offsites).map(([name, offsite]) => [
    name,
    different(record(offsite), offsiteDefaults),
  ]);
  return {
    ...whole,
    instances: { [domain]: { host: 'local', ...instance } },
    offsites: Object.fromEntries(offsites) as object,
  };
}

const offsiteDefaults = { encrypted: true };

/** What of an object is not the default; what is not an object is compared as it is. */
function different(given: Record<string, unknown>, usual: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(given).flatMap(([key, value]) => {
      const standard = usual[key];
      if (JSON.stringify(value) === JSON.stringify(standard) || value === undefined) return [];
      if (!isRecord(value) || !isRecord(standard)) return [[key, value]];
      return [[key, different(value, standard)]];
    }),
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function record(value: unknown): Record<string, unknown> {
  return isRecord(value) ? value : {};
}
