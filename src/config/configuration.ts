import type { Allowance } from '../backups/allowances.js';
import type { HostSpec } from '../hosts/open.js';

/** The configuration as the program uses it: everything has a value, paths are absolute, units are in the names. */

export interface Configuration {
  /** Absolute path of the file that it came from. */
  file: string;
  instances: Record<string, InstanceConfig>;
  offsites: Record<string, OffsiteConfig>;
  temporal: TemporalConfig;
  /** Absolute path of Permafrost's own folder on this machine. */
  state: string;
  /** Where the pages of drills and restores are served on this machine's loopback; null: nowhere. */
  reports: { port: number; url?: string } | null;
  /** Public keys, besides this machine's own, whose signatures on manifests are trusted. Absolute paths. */
  trustedKeys: string[];
}

export interface InstanceConfig {
  /** LOCAL_DOMAIN, in lower case. */
  domain: string;
  host: HostSpec;
  mastodon: {
    root: string;
    envFile?: string;
    media?: string;
    mediaCache: 'exclude' | 'include';
    redisDump?: string;
    services?: ServicesConfig;
    health?: string;
    /** Paths and patterns on the host. */
    extraFiles: string[];
  };
  database: {
    format: 'custom';
    jobs: number;
    lockWaitTimeoutMs: number;
    /** How often a full dump is taken at least, with deltas against it on the nights between; null: every night. */
    fullEveryMs: number | null;
    /** Where PostgreSQL itself answers, when the env file names a pooler. */
    host?: string;
    port?: number;
  };
  quiesce: { mode: 'brief' | 'full' | 'none'; budgetMs: number; leaseMs: number };
  /** Names of `Configuration.offsites`. */
  offsites: string[];
  /** Refusals of preflight that become warnings. */
  allow: Allowance[];
  /** Fractions from 0 to 1. */
  verify: { media: { new: number; old: number } };
  retention: { last: number; daily: number; weekly: number; monthly: number; yearly: number };
  /** What is absent does not run by itself. */
  schedule: { backup?: BackupSchedule; drill?: DrillSchedule };
  drill: {
    host: HostSpec;
    depth: 'files' | 'database' | 'application';
    rotateOffsites: boolean;
    /** Where scratch is made on the drill host; default: `scratch/scratch.ts`. */
    folder?: string;
    /** Needed for the depth `application` alone. */
    application?: DrillApplication;
  };
}

/** How a drill boots the web process of Mastodon's real code, cut off from the network. Nothing of it is secret. */
export interface DrillApplication {
  /** argv; `{port}`, `{sockets}`, `{media}` and `{scratch}` in a word stand for what the drill gives it. */
  command: string[];
  /** Where it is started, on the drill host: the folder of the code. */
  directory: string;
  /** Over the backup's own environment and under what a drill always sets. */
  environment: Record<string, string>;
  /** The user of the drill host that it runs as; default: the one that the scratch belongs to. */
  user?: string;
  /** The path that answers 200 when it is up. */
  health: string;
  /** Until that has to answer, milliseconds. */
  timeoutMs: number;
}

export type ServicesConfig =
  { kind: 'systemd'; units?: string[] } | { kind: 'commands'; services: CommandService[] };

/** A service of another supervisor than systemd, by its argv arrays. */
export interface CommandService {
  name: string;
  start: string[];
  stop: string[];
  status: string[];
}

export interface BackupSchedule {
  hour: number;
  minute: number;
  /** An IANA name. */
  timezone: string;
  catchUpMs: number;
  jitterMs: number;
}

export interface DrillSchedule extends BackupSchedule {
  /** Of the month, 1 to 28. */
  day: number;
}

export type OffsiteConfig = ResticConfig | RcloneConfig | RsyncConfig;

export interface ResticConfig {
  kind: 'restic';
  name: string;
  /** Bytes a second at most, each way. */
  bandwidth?: number;
  repository: string;
  passwordFile: string;
  identityFile?: string;
  knownHosts?: string;
  /** KEY=VALUE lines: credentials for S3, B2 and the like. */
  environmentFile?: string;
}

export interface RcloneConfig {
  kind: 'rclone';
  name: string;
  /** Bytes a second at most, each way. */
  bandwidth?: number;
  remote: string;
  configFile: string;
  /** Opens `configFile`, when rclone has encrypted it. */
  configPasswordFile?: string;
  /** false: the operator accepts that the remote does not encrypt. */
  encrypted: boolean;
}

export interface RsyncConfig {
  kind: 'rsync';
  name: string;
  /** Bytes a second at most, each way. */
  bandwidth?: number;
  /** `user@host:/folder` */
  target: string;
  /** Of SSH. */
  port: number;
  identityFile: string;
  knownHosts: string;
  recipients: string[];
  ageIdentityFile?: string;
  encrypted: boolean;
}

export type TemporalConfig =
  | { kind: 'embedded'; port: number; uiPort: number }
  | {
      kind: 'address';
      address: string;
      namespace: string;
      apiKeyFile?: string;
      tls?: true | { serverName?: string; caFile?: string; certFile?: string; keyFile?: string };
      /** What destroys or replaces needs no permit (`records/permits.ts`). */
      authenticatesClients?: true;
    }
  /** Temporal's own conventions: `temporal.toml` and TEMPORAL_* variables. */
  | { kind: 'profile'; profile?: string; file?: string; authenticatesClients?: true };
