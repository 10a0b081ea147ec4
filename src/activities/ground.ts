import { activityInfo } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import type { Configuration, InstanceConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import { type HostSpec, openHost } from '../hosts/open.js';
import { provideTool, type ToolName } from '../hosts/tools.js';
import { inspectInstance, inspectServices, type Instance } from '../mastodon/inspect.js';
import type { ServiceFacts } from '../mastodon/services.js';
import { appUserOf } from '../mastodon/survey.js';
import { instanceOf } from '../offsite/read.js';

/** What activities stand on: the configuration, the hosts, and what was found on them. */
export interface Dependencies {
  /** Read anew at every call, so that an edited file holds from the next run on. */
  configuration(): Promise<Configuration>;
  /** For the guard and the reconciler, which look at other runs. */
  client: Client;
}

export interface InstanceGround {
  readonly configuration: Configuration;
  readonly config: InstanceConfig;
  readonly host: Host;
}

/** Keeps hosts open, and remembers instances for the length of a run: nothing is looked up while services stand still. */
export class Ground {
  readonly client: Client;
  readonly #configuration: () => Promise<Configuration>;
  readonly #hosts = new Map<string, Host>();
  readonly #instances = new Map<string, Promise<Instance>>();
  readonly #tools = new Map<string, Promise<string>>();

  constructor(dependencies: Dependencies) {
    this.client = dependencies.client;
    this.#configuration = () => dependencies.configuration();
  }

  configuration(): Promise<Configuration> {
    return this.#configuration();
  }

  /** @throws Failure `ConfigInvalid` for an instance that the configuration does not have. */
  async open(domain: string): Promise<InstanceGround> {
    const configuration = await this.#configuration();
    const config = instanceOf(configuration, domain);
    return { configuration, config, host: this.hostOf(config.host) };
  }

  /** The host where an instance's backups are drilled. @throws Failure `ConfigInvalid` as `open`. */
  async drillGround(domain: string): Promise<InstanceGround> {
    const { configuration, config } = await this.open(domain);
    return { configuration, config, host: this.hostOf(config.drill.host) };
  }

  /** A host that the configuration, or a permit, names; kept open. */
  hostOf(spec: HostSpec): Host {
    const key = JSON.stringify(spec);
    let host = this.#hosts.get(key);
    if (host === undefined) {
      host = openHost(spec);
      this.#hosts.set(key, host);
    }
    return host;
  }

  /** The instance as it was found for this backup, looked at once for each; `now` looks anew. */
  async inspect(domain: string, backup: string | 'now'): Promise<InstanceGround & { instance: Instance }> {
    const ground = await this.open(domain);
    const key = `${domain}/${backup}`;
    let found = backup === 'now' ? undefined : this.#instances.get(key);
    if (found === undefined) {
      found = inspectInstance(ground.host, ground.config);
      // One run at a time for each instance: older ones are not asked for again.
      for (const old of this.#instances.keys()) if (old.startsWith(`${domain}/`)) this.#instances.delete(old);
      this.#instances.set(key, found);
      found.catch(() => this.#instances.delete(key));
    }
    return { ...ground, instance: await found };
  }

  /** A tool on the instance's host, looked for once in a run; anew where an attempt before this one has failed. */
  async tool(run: { instance: string; backup: string }, name: ToolName): Promise<string> {
    const { host } = await this.open(run.instance);
    const key = `${run.instance}/${run.backup}/${name}`;
    let found = activityInfo().attempt > 1 ? undefined : this.#tools.get(key);
    if (found === undefined) {
      found = provideTool(host, name);
      const ofRun = `${run.instance}/${run.backup}/`;
      for (const old of this.#tools.keys())
        if (old.startsWith(`${run.instance}/`) && !old.startsWith(ofRun)) this.#tools.delete(old);
      this.#tools.set(key, found);
      found.catch(() => this.#tools.delete(key));
    }
    return found;
  }

  /** All that it takes to bring services back; asks neither the database nor Redis. */
  async services(domain: string): Promise<InstanceGround & { services: ServiceFacts }> {
    const ground = await this.open(domain);
    const known = await this.#remembered(domain);
    return { ...ground, services: known ?? (await inspectServices(ground.host, ground.config)) };
  }

  /** Mastodon's user: all that it takes to tidy up; asks neither the database nor Redis. */
  async appUser(domain: string): Promise<InstanceGround & { appUser: string }> {
    const ground = await this.open(domain);
    const known = await this.#remembered(domain);
    return {
      ...ground,
      appUser: known?.appUser ?? (await appUserOf(ground.host, ground.config.mastodon.root)),
    };
  }

  async #remembered(domain: string): Promise<Instance | undefined> {
    const remembered = [...this.#instances.entries()].find(([key]) => key.startsWith(`${domain}/`))?.[1];
    return remembered?.catch(() => undefined);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#hosts.values()].map((host) => host.close()));
    this.#hosts.clear();
  }
}

export function refuse(message: string, next: string, host?: Host): Failure {
  return new Failure('Refused', message, { next, ...(host ? { host: host.name } : {}) });
}
