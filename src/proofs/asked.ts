import { Failure } from '../errors.js';
import type { Host } from '../hosts/host.js';
import type { Schema } from '../mastodon/media-files.js';
import { type DatabaseAccess, psql, psqlLines } from '../mastodon/psql.js';
import { sqlName } from '../mastodon/sql-words.js';
import { NotSeen, Wrong } from './check.js';
import type { RestoredDatabase } from './database.js';
import { withoutValues } from './load-failures.js';

/** What a look at a database has at hand. */
export type AtDatabase = RestoredDatabase & { readonly asked: Asked; readonly schema: Schema };

/** A query may go through the largest table, and through every index. */
const longestMs = 12 * 3_600_000;

/** How often `tell` is asked whether the proof is still wanted. */
const tellEveryMs = 1_000;

/** The question does not fit what is in the database: a table or a column is not there. */
export class Unanswerable extends NotSeen {}

/**
 * Asks a database on behalf of its proof: ended as soon as nobody wants it any more, and what PostgreSQL says of damaged
 * content is a finding.
 */
export class Asked {
  readonly #host: Host;
  readonly #access: DatabaseAccess;
  readonly #reader: DatabaseAccess;
  readonly #role: string;
  readonly #stop = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #subjects = new Set<string>();

  constructor({
    host,
    access,
    reader = access,
    role,
    tell,
  }: Pick<RestoredDatabase, 'host' | 'access' | 'reader' | 'role' | 'tell'>) {
    this.#host = host;
    this.#access = access;
    this.#reader = reader;
    this.#role = role === undefined ? '' : `SET ROLE ${sqlName(role)};`;
    this.#timer = setInterval(() => {
      try {
        tell?.({ subject: [...this.#subjects].join(', ') });
      } catch (error) {
        this.#stop.abort(error);
      }
    }, tellEveryMs);
  }

  /** Says what is looked at, for as long as it is. */
  async about<T>(subject: string, look: () => Promise<T>): Promise<T> {
    this.#stop.signal.throwIfAborted();
    this.#subjects.add(subject);
    try {
      return await look();
    } finally {
      this.#subjects.delete(subject);
    }
  }

  /** Rows of all statements, as `psql` gives them. */
  async rows(sql: string): Promise<string[][]> {
    return this.#ask(this.#reader, `${settings}${this.#role}\n${sql}`);
  }

  /** The same as the user of `access`, a superuser it may be: for what no code of the dump takes part in. */
  async rowsAsAdmin(sql: string): Promise<string[][]> {
    return this.#ask(this.#access, `${settings}\n${sql}`);
  }

  async #ask(access: DatabaseAccess, sql: string): Promise<string[][]> {
    try {
      return await psql(this.#host, access, sql, { timeoutMs: longestMs, signal: this.#stop.signal });
    } catch (error) {
      throw judged(error);
    }
  }

  /** One column, as text. */
  async column(sql: string): Promise<string[]> {
    return (await this.rows(sql)).map(([value = '']) => value);
  }

  /** Lines of `COPY … TO STDOUT`, as they come. */
  async *lines(sql: string): AsyncGenerator<string> {
    try {
      yield* psqlLines(this.#host, this.#reader, `${settings}${this.#role}\n${sql}`, {
        signal: this.#stop.signal,
      });
    } catch (error) {
      throw judged(error);
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

/**
 * With the SQLSTATE of an error in front of it. Functions and operators are PostgreSQL's own: one of the dump's that fits
 * better (`public.max(varchar)`) would run in place of it.
 */
const settings = `\\set VERBOSITY verbose
SET search_path = pg_catalog; SET statement_timeout = 0; SET lock_timeout = 0;`;

/**
 * What an error says of the backup, by its SQLSTATE (PostgreSQL's manual, "PostgreSQL Error Codes"): content that cannot be
 * read is a finding, and so is what its own code complains of; a question that does not fit this schema, or is not
 * allowed, was not answered; else it is the server's trouble.
 */
function judged(error: unknown): unknown {
  if (!(error instanceof Failure) || error.type !== 'CommandFailed') return error;
  const [, state = '', said = ''] = /ERROR: +([0-9A-Z]{5}): (.*)/.exec(error.message) ?? [];
  const words = withoutValues(said).slice(0, 500);
  const unanswered = `this database does not answer the question: ${words}`;
  if (state === '42501') return new NotSeen(unanswered);
  switch (state.slice(0, 2)) {
    case 'XX':
    case '22':
    case '23':
    case 'P0':
      return new Wrong(`PostgreSQL cannot read it: ${words}`);
    case '0A':
      return new NotSeen(unanswered);
    case '42':
      return new Unanswerable(unanswered);
    default:
      return error;
  }
}
