import type { CommandService } from '../config/configuration.js';
import type { DatabaseConnection, RedisConnection } from './connections.js';
import type { EnvSource } from './environment.js';
import type { DatabaseAccess } from './psql.js';

/** One Mastodon server as it was found on its host. Holds secrets (`env`, passwords): never log or return it whole. */
export interface Instance {
  readonly domain: string;
  /** As configured; may be a symbolic link. */
  readonly root: string;
  readonly envFile: string;
  /** The env file, overridden by the web unit's `Environment=` and `EnvironmentFile=`, as its process sees it. */
  readonly env: ReadonlyMap<string, string>;
  /** What `env` was put together from. */
  readonly envSources: readonly EnvSource[];
  /** The owner of the root: the user that Mastodon runs as. */
  readonly appUser: string;
  readonly database: FoundDatabase;
  readonly redis: FoundRedis;
  /** null: no media on this host (object storage, or configured so). */
  readonly media: { readonly path: string; readonly cache: 'exclude' | 'include' } | null;
  readonly services: FoundServices;
  /** Answers 2xx on the host when the web service is up; null when it listens on a socket only. */
  readonly health: string | null;
  /** Absolute paths on the host of files and folders that exist, patterns expanded. */
  readonly extraFiles: readonly string[];
  readonly versions: {
    /** `4.5.1`, from the code in the root; null when it is not there (containers). */
    readonly mastodon: string | null;
    /** What the code asks for (`.ruby-version`, `.nvmrc`), not what runs. */
    readonly ruby: string | null;
    readonly node: string | null;
  };
  /** What an operator should know although it does not stop a backup, a sentence each. */
  readonly warnings: readonly string[];
}

export interface FoundDatabase extends DatabaseConnection {
  /** Of the server, e.g. 15. */
  readonly major: number;
  /** `15.18 (Debian 15.18-0+deb12u1)` */
  readonly serverVersion: string;
  /** Folder of the programs of the server's own major; else of the newest that can read it. */
  readonly binDir: string;
  /** On the server's disk. */
  readonly sizeBytes: number;
  /** The server runs on this host. */
  readonly local: boolean;
}

export interface FoundRedis extends RedisConnection {
  readonly appUser: string;
  /** The RDB file, on the machine where Redis runs; '' where that is another one and does not say it. */
  readonly dump: string;
  /** Redis's folder, where its append-only files lie too. */
  readonly dir: string;
  /** It writes an append-only file. */
  readonly aof: boolean;
  readonly version: string;
  /** It runs on this host. */
  readonly local: boolean;
}

export type FoundServices =
  | {
      readonly kind: 'systemd';
      readonly units: readonly {
        readonly name: string;
        readonly active: boolean;
        readonly enabled: boolean;
      }[];
    }
  | {
      readonly kind: 'commands';
      readonly services: readonly (CommandService & { readonly active: boolean })[];
    };

/** What `psql` needs to ask this instance's database. */
export function databaseAccess(instance: Pick<Instance, 'database' | 'appUser'>): DatabaseAccess {
  return { database: instance.database, appUser: instance.appUser, binDir: instance.database.binDir };
}
