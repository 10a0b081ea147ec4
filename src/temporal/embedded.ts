import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../errors.js';
import { type Tool, toolPath } from '../hosts/tools.js';
import { type Claim, claimFolder } from './claim.js';
import { mayRetire, openRuns } from './former-server.js';
import type { Log } from './log.js';
import { endProcess, serversOf } from './processes.js';
import { type CarriedSchedule, findFormerTool, type MadeBy, ServerFiles } from './server-files.js';
import { type RunningServer, startServer } from './server-process.js';

/** A server that dies is started again after this; twice as long after each failure, up to the second. */
const RESTART_MS = { first: 500, most: 30_000 } as const;

const LOG_CHECK_MS = 60_000;
const ORPHAN_GRACE_MS = 10_000;

/** A server whose database is new: without search attributes, retention and schedules. */
export interface FreshServer {
  /** `127.0.0.1:port`. */
  readonly address: string;
  readonly namespace: string;
  /** The schedules of the server before, as their operator left them (paused, and why). Empty the first time. */
  readonly schedules: readonly CarriedSchedule[];
}

export interface EmbeddedOptions {
  /** The state folder. All of this is in `temporal/` below it. */
  readonly state: string;
  readonly port: number;
  readonly uiPort: number;
  /** Without: any free port. */
  readonly metricsPort?: number;
  /** The Temporal CLI; without: the pinned one. */
  readonly temporal?: Tool;
  /**
   * Furnishes a fresh database: namespace settings and schedules. Called until it succeeds, also after a restart, so it
   * must be safe to repeat. `start` fails when it fails.
   */
  readonly onFresh: (fresh: FreshServer) => Promise<void>;
  readonly log: Log;
  /** How often to look whether the last open run has ended, while a former version serves. Milliseconds. */
  readonly lookAgainMs?: number;
}

/**
 * A Temporal server of our own: the pinned Temporal CLI's `server start-dev`, on loopback, with its history in a file.
 *
 * It is started again when it dies. One that was left behind by a killed Permafrost is ended at the next start.
 *
 * Temporal does not migrate the file of this server, so a database belongs to the version that made it. When another
 * version is pinned, the former one serves its own database until no run is open; then the database is kept aside and
 * the new version starts on a fresh one, which `onFresh` furnishes.
 */
export class EmbeddedServer {
  readonly #options: EmbeddedOptions & { temporal: Tool };
  readonly #files: ServerFiles;
  #claim: Claim | undefined;
  #server: RunningServer | undefined;
  #version: string | undefined;
  #former: Tool | undefined;
  #supervision: Promise<void> | undefined;
  #stopRequest = new AbortController();

  constructor(options: EmbeddedOptions) {
    this.#options = { ...options, temporal: options.temporal ?? toolPath('temporal') };
    this.#files = new ServerFiles(join(options.state, 'temporal'));
  }

  /** `127.0.0.1:port`. */
  get address(): string {
    return `127.0.0.1:${this.#options.port}`;
  }

  get uiAddress(): string {
    return `http://127.0.0.1:${this.#options.uiPort}`;
  }

  /** The version that serves now: a former one while a run of its time is open. */
  get version(): string | undefined {
    return this.#version;
  }

  /** The server's process, which changes when it is started again. */
  get pid(): number | undefined {
    return this.#server?.pid;
  }

  /**
   * Starts the server and returns when it answers and is furnished.
   *
   * @throws Failure `Refused` when another Permafrost holds the state folder or a port is taken; `TemporalUnreachable`
   *   when the server does not come up; whatever `onFresh` throws.
   */
  async start(): Promise<void> {
    if (this.#claim !== undefined)
      throw new Failure('Unexpected', 'this Temporal server was started already');
    await this.#makeFolders();
    this.#claim = claimFolder(this.#files.folder);
    this.#stopRequest = new AbortController();
    try {
      await this.#open();
      await this.#furnish();
    } catch (error) {
      await this.#close();
      throw error;
    }
    this.#supervision = this.#supervise();
  }

  /** Ends the server, cleanly, and gives the state folder free. Safe to repeat. */
  async stop(): Promise<void> {
    this.#stopRequest.abort();
    await this.#supervision;
    this.#supervision = undefined;
    await this.#close();
  }

  async #makeFolders(): Promise<void> {
    try {
      await this.#files.makeFolders();
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new Failure(
        'ConfigInvalid',
        `The state folder ${this.#options.state} cannot be used (${code ?? 'unknown'})`,
        {
          next: 'Let it belong to the user who runs Permafrost, or name another folder as "state" in the configuration.',
          cause: error,
        },
      );
    }
  }

  async #close(): Promise<void> {
    await this.#server?.stop();
    this.#server = undefined;
    this.#version = undefined;
    this.#claim?.release();
    this.#claim = undefined;
  }

  /** Starts the version that the database asks for. No server of ours runs when it is called. */
  async #open(): Promise<void> {
    await this.#endOrphans();
    await this.#files.boundLog();
    const { temporal, log } = this.#options;
    this.#former = undefined;
    if (this.#files.hasDatabase()) {
      const made = await this.#files.madeBy();
      const outcome =
        made?.version === temporal.version ? await this.#serveAgain() : await this.#serveFormer(made);
      if (outcome === 'serving') return;
      const kept = await this.#files.setAside(made?.version ?? 'unknown');
      log.info(`Temporal ${temporal.version} starts on a fresh database; the former one is in ${kept}`);
    }
    const furnishing = await this.#files.furnishing();
    if (furnishing?.version !== temporal.version) {
      await this.#files.writeFurnishing({ version: temporal.version, schedules: [] });
    }
    await this.#files.writeMadeBy(temporal);
    return this.#serve(temporal);
  }

  /**
   * Serves the database that this version made. The schema is written when the file is created and at no other time
   * (temporalio/cli, internal/devserver): a server that was killed just then has left a file that no server can use.
   */
  async #serveAgain(): Promise<'serving' | 'unusable'> {
    const { temporal, log } = this.#options;
    try {
      await this.#serve(temporal);
      return 'serving';
    } catch (error) {
      const unfurnished = (await this.#files.furnishing())?.version === temporal.version;
      if (!unfurnished || !(error instanceof Failure) || error.type !== 'TemporalUnreachable') throw error;
      log.warn('The Temporal database was left half-made, with nothing in it');
      return 'unusable';
    }
  }

  /** Serves the database of a former version while a run of its time is open. */
  async #serveFormer(made: MadeBy | undefined): Promise<'serving' | 'done'> {
    const { temporal, log } = this.#options;
    const former = made === undefined ? undefined : await findFormerTool(made);
    if (former === undefined) {
      const version = made?.version ?? '(unknown)';
      log.warn(
        `The database is of Temporal ${version}, whose program is gone: what was open then cannot go on`,
      );
      return 'done';
    }
    if (await mayRetire(former, temporal.version, this.#files, log)) return 'done';
    await this.#serve(former);
    this.#former = former;
    return 'serving';
  }

  async #serve(tool: Tool): Promise<void> {
    this.#server = await startServer(this.#settings(tool));
    this.#version = tool.version;
  }

  #settings(tool: Tool) {
    const { port, uiPort, metricsPort } = this.#options;
    return {
      binary: tool.path,
      database: this.#files.database,
      port,
      uiPort,
      ...(metricsPort === undefined ? {} : { metricsPort }),
      logFile: this.#files.logFile,
      home: this.#files.home,
    };
  }

  async #endOrphans(): Promise<void> {
    for (const orphan of serversOf(this.#files.database)) {
      this.#options.log.warn(
        `Temporal server ${orphan.pid} was left behind by a Permafrost that was killed: ending it`,
      );
      await endProcess(orphan, ORPHAN_GRACE_MS);
    }
  }

  async #furnish(): Promise<void> {
    const furnishing = await this.#files.furnishing();
    if (furnishing === undefined || furnishing.version !== this.#version) return;
    const { schedules } = furnishing;
    await this.#options.onFresh({ address: this.address, namespace: 'default', schedules });
    await this.#files.clearFurnishing();
  }

  /** The one loop that watches the server: nothing else starts or ends it until `stop`. */
  async #supervise(): Promise<void> {
    const { log } = this.#options;
    let furnished = true;
    while (!this.#stopRequested) {
      const lookAgain = this.#former !== undefined || !furnished;
      const ended = await this.#endedWithin(lookAgain ? (this.#options.lookAgainMs ?? 5_000) : LOG_CHECK_MS);
      if (this.#stopRequested) return;
      await this.#files.boundLog().catch((error: unknown) => log.warn(`The Temporal log: ${reason(error)}`));
      if (ended !== undefined) log.error(`The Temporal server ended by itself (${ended}): starting it again`);
      if (ended !== undefined || (await this.#formerIsDone())) await this.#openUntilItWorks();
      if (this.#stopRequested) return;
      furnished = await this.#furnish().then(
        () => true,
        (error: unknown) => {
          log.error(`The fresh Temporal server could not be furnished yet: ${reason(error)}`);
          return false;
        },
      );
    }
  }

  get #stopRequested(): boolean {
    return this.#stopRequest.signal.aborted;
  }

  /** How the server ended, or undefined when it still runs after this time or a stop was asked for. */
  async #endedWithin(ms: number): Promise<string | undefined> {
    const done = new AbortController();
    const signal = AbortSignal.any([this.#stopRequest.signal, done.signal]);
    const timer = sleep(ms, undefined, { signal }).catch(() => undefined);
    try {
      return await Promise.race([this.#server?.ended, timer]);
    } finally {
      done.abort();
    }
  }

  async #formerIsDone(): Promise<boolean> {
    if (this.#former === undefined || this.#server === undefined) return false;
    try {
      return (await openRuns(this.address)).length === 0;
    } catch {
      return false;
    }
  }

  async #openUntilItWorks(): Promise<void> {
    for (
      let waitMs: number = RESTART_MS.first;
      !this.#stopRequested;
      waitMs = Math.min(2 * waitMs, RESTART_MS.most)
    ) {
      try {
        await this.#server?.stop();
        await this.#open();
        this.#options.log.info(`Temporal ${this.#version} answers at ${this.address}`);
        return;
      } catch (error) {
        this.#options.log.error(`${reason(error)}; trying again in ${waitMs / 1000} seconds`);
        await sleep(waitMs, undefined, { signal: this.#stopRequest.signal }).catch(() => undefined);
      }
    }
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
