import { once } from 'node:events';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, ClientChannel } from 'ssh2';
import { Failure } from '../errors.js';
import type { Host } from './host.js';
import { shellLine } from './quote.js';
import { ShellHost } from './shell-host.js';
import { connect, type SshAddress } from './ssh-connection.js';
import { exitCodeFrom, feed, type Running, type StartOptions, type Transport } from './transport.js';

export interface SshSpec {
  readonly user: string;
  readonly address: string;
  readonly port: number;
  readonly identityFile?: string;
  readonly passphraseFile?: string;
  /** Default: `~/.ssh/known_hosts`. */
  readonly knownHosts?: string;
  /** What needs another user is run by `sudo -n`. */
  readonly sudo: boolean;
  /** Permafrost's own folder there; default as for the local host. */
  readonly folder?: string;
  /** Do not make that folder. */
  readonly look?: boolean;
}

/** A machine reached over SSH. Connects with the first command, and again when the connection was lost. */
export function sshHost(spec: SshSpec): Host {
  return new ShellHost(new SshTransport(spec));
}

/** sshd's MaxSessions is 10 by default (sshd_config(5)); two are kept for ending what hangs. */
const sessionsAtOnce = 8;
/** The kernel takes no longer argument (MAX_ARG_STRLEN), and sshd hands the whole line over as one. */
const maxLineBytes = 128 * 1024 - 64;
/** Where an sshd allows fewer sessions than its default, one of ours has to end first. */
const sessionRetry = { pauseMs: 500, attempts: 60 };

class SshTransport implements Transport {
  readonly name: string;
  readonly sudo: boolean;
  readonly folder: string | undefined;
  readonly look: boolean;
  readonly #address: SshAddress;
  readonly #waiting: (() => void)[] = [];
  #sessions = 0;
  #client: Promise<Client> | undefined;

  constructor(spec: SshSpec) {
    this.name = `${spec.user}@${spec.address}${spec.port === 22 ? '' : `:${spec.port}`}`;
    this.sudo = spec.sudo;
    this.folder = spec.folder;
    this.look = spec.look === true;
    this.#address = {
      host: this.name,
      user: spec.user,
      address: spec.address,
      port: spec.port,
      identityFile: spec.identityFile,
      passphraseFile: spec.passphraseFile,
      knownHosts: spec.knownHosts ?? join(homedir(), '.ssh', 'known_hosts'),
    };
  }

  async start(argv: readonly string[], options: StartOptions = {}): Promise<Running> {
    // `exec`: the login shell makes way, so that a signal reaches the command itself.
    const line = `exec ${shellLine(argv)}`;
    if (Buffer.byteLength(line) > maxLineBytes)
      throw new Failure('InvalidInput', `A command for ${this.name} is longer than 128 KiB.`, {
        next: 'Hand the data over on stdin.',
      });
    const release = options.urgent === true ? () => undefined : await this.#session();
    try {
      const { client, channel } = await this.#open(line);
      client.once('close', release);
      channel.once('close', () => {
        client.off('close', release);
        release();
      });
      // A server may close a channel while we write to it; that it ended is told by its exit.
      channel.on('error', () => undefined);
      if (options.stdin instanceof Readable) feed(options.stdin, channel);
      else channel.end(options.stdin);
      return new SshCommand(this.name, client, channel, () => this.start(['true'], { urgent: true }));
    } catch (error) {
      release();
      throw error;
    }
  }

  async close(): Promise<void> {
    const client = await this.#client?.catch(() => undefined);
    this.#client = undefined;
    if (client === undefined) return;
    const closed = once(client, 'close');
    client.end();
    await Promise.race([closed, sleep(2_000, undefined, { ref: false })]);
    client.destroy();
  }

  #connected(): Promise<Client> {
    if (this.#client !== undefined) return this.#client;
    const connecting = connect(this.#address);
    this.#client = connecting;
    const forget = (): void => {
      if (this.#client === connecting) this.#client = undefined;
    };
    connecting.then((client) => client.once('close', forget), forget);
    return connecting;
  }

  async #open(line: string): Promise<{ client: Client; channel: ClientChannel }> {
    for (let attempt = 1; ; attempt++) {
      const client = await this.#connected();
      const outcome = await new Promise<ClientChannel | (Error & { reason?: unknown })>((resolve) => {
        const lost = (): void => resolve(new Error('the connection was lost'));
        client.once('close', lost);
        client.exec(line, (error, channel) => {
          client.off('close', lost);
          resolve(error ?? channel);
        });
      });
      if (!(outcome instanceof Error)) return { client, channel: outcome };
      // Only a refused session is known not to have started anything.
      const refused = outcome.reason !== undefined;
      if (!refused || attempt >= sessionRetry.attempts)
        throw new Failure(
          'HostUnreachable',
          refused
            ? `${this.name} allows no further session: ${outcome.message}.`
            : `The connection to ${this.name} was lost while a command was started; it may have run.`,
          {
            host: this.name,
            next: 'See whether the host and the network are up, then try again.',
            cause: outcome,
          },
        );
      await sleep(sessionRetry.pauseMs);
    }
  }

  async #session(): Promise<() => void> {
    if (this.#sessions >= sessionsAtOnce) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#sessions++;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const next = this.#waiting.shift();
      if (next === undefined) this.#sessions--;
      else next();
    };
  }
}

class SshCommand implements Running {
  readonly stdout = new PassThrough({ highWaterMark: 1024 * 1024 });
  readonly stderr = new PassThrough();
  readonly exited: Promise<number>;
  readonly #channel: ClientChannel;
  readonly #probe: () => Promise<Running>;

  constructor(host: string, client: Client, channel: ClientChannel, probe: () => Promise<Running>) {
    this.#channel = channel;
    this.#probe = probe;
    this.exited = new Promise((resolve, reject) => {
      channel.once('exit', (code: number | null, signal?: string) => resolve(exitCodeFrom(code, signal)));
      // What was cut must not look like what ended: until the host has closed the session, its output is not whole.
      const cut = (): void => {
        const lost = new Failure(
          'HostUnreachable',
          `The connection to ${host} was lost while a command ran there.`,
          {
            host,
            next: 'It may have been finished or not: look before running it again.',
          },
        );
        reject(lost);
        this.stdout.destroy(lost);
        this.stderr.destroy(lost);
      };
      client.once('close', cut);
      // An exit that came in the same packet as the session's beginning was told before anybody listened: here it is
      // told again.
      channel.once('close', (code?: number | null, signal?: string) => {
        client.off('close', cut);
        if (code !== undefined) resolve(exitCodeFrom(code, signal));
        reject(new Failure('HostUnreachable', `${host} closed a session without an exit code.`, { host }));
        this.stdout.end();
        this.stderr.end();
      });
    });
    this.exited.catch(() => undefined);
    this.stdout.on('error', () => undefined);
    this.stderr.on('error', () => undefined);
    channel.pipe(this.stdout, { end: false });
    channel.stderr.pipe(this.stderr, { end: false });
  }

  abandon(): void {
    this.#channel.unpipe().resume();
    this.#channel.stderr.unpipe().resume();
    this.#channel.close();
    this.stdout.destroy();
    this.stderr.destroy();
  }

  /** Answers come in order: when a later command has ended, all that this one wrote before its end is here. */
  async drained(): Promise<void> {
    const probe = await this.#probe();
    probe.stdout.resume();
    probe.stderr.resume();
    await probe.exited;
    probe.abandon();
  }
}
