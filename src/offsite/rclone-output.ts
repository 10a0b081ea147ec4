import { z } from 'zod';
import { lastMessage } from './lines.js';

/** What rclone prints with `--use-json-log`, and what its configuration says of remotes. Pure. */

const logLine = z.object({ level: z.string(), msg: z.string(), object: z.string().default('') });

const statsLine = z.object({
  stats: z.object({
    bytes: z.number().default(0),
    transfers: z.number().default(0),
    deletes: z.number().default(0),
  }),
});

/** How far a transfer is, from the end of its log. */
export function transferProgress(tail: string): { bytes?: number; files?: number } {
  const stats = lastMessage(tail, statsLine)?.stats;
  return stats === undefined ? {} : { bytes: stats.bytes, files: stats.transfers };
}

export interface LogMessage {
  /** The file that it is about; empty when it is about none. */
  readonly object: string;
  readonly text: string;
}

/** Statistics, attempts, and what is said of a remote at every call: the reason of a failure is something else. */
const chatter =
  /^\s*Transferred:|^Attempt \d+\/\d+|^Removing partially written|not attempting retries|^No host key validation/;

/** The complaints in a log, each once: without statistics, and without the count of attempts. */
export function complaintsOf(output: string): LogMessage[] {
  const found = new Map<string, LogMessage>();
  for (const line of output.split('\n')) {
    const { level, msg, object } = parsed(line) ?? { level: 'error', msg: line.trim(), object: '' };
    if (msg === '' || level === 'info' || level === 'debug') continue;
    if (chatter.test(msg)) continue;
    found.set(`${object}\0${msg}`, { object, text: msg });
  }
  return [...found.values()];
}

function parsed(line: string): z.output<typeof logLine> | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    return logLine.safeParse(JSON.parse(line)).data ?? { level: 'info', msg: '', object: '' };
  } catch {
    return { level: 'info', msg: '', object: '' }; // the first line of a tail may be cut
  }
}

/** The complaints as one line, for a message. */
export function saidBy(output: string): string {
  const texts = complaintsOf(output).map(({ object, text }) => (object === '' ? text : `${object}: ${text}`));
  return texts.slice(-4).join('; ').slice(-1500);
}

/** crypt cannot open what is stored: the way there is not to blame. ("corrupted on transfer" does not say where.) */
const damage =
  /failed to authenticate decrypted block|bad magic|not an encrypted file|too short to be encrypted|truncated/i;

/** Whether rclone complains of what is stored and of nothing else. */
export function isDamageAlone(output: string): boolean {
  const complaints = complaintsOf(output);
  const about = complaints.filter(({ object }) => object !== '');
  return about.length > 0 && about.every(({ text }) => damage.test(text));
}

/**
 * Whether a removal was refused for good: object stores with a lock, or keys without the right to delete; an append-only
 * file system or server. `some` when other files went.
 */
export function refusedRemoval(output: string): 'all' | 'some' | undefined {
  const refused = complaintsOf(output).some(
    ({ text }) => /^Couldn't delete/.test(text) && refusal.test(text),
  );
  if (!refused) return undefined;
  // Its count has those in it that it could not remove.
  const tried = lastMessage(output, statsLine)?.stats.deletes ?? 0;
  const failed = Number(/failed to delete (\d+) files/.exec(output)?.[1] ?? tried);
  return tried > failed ? 'some' : 'all';
}

/** Not 401: a token that has expired, and may be renewed. */
const refusal =
  /access ?denied|\b40[35]\b|forbidden|not ?allowed|lacks capability|permission denied|operation not permitted|read-only file system|WORM|object.?lock|retention|append.?only/i;

const remoteSchema = z.object({
  type: z.string(),
  remote: z.string().optional(),
  upstreams: z.string().optional(),
  no_data_encryption: z.string().optional(),
});
/** Remotes by their names, of what `rclone config dump` prints: without their secrets. */
export const remotesSchema = z.record(z.string(), remoteSchema);
export type Remotes = z.output<typeof remotesSchema>;

export interface Encryption {
  readonly encrypted: boolean;
  /** The remotes on the way, as an operator knows them: `vault (alias)`, `disk (local)`. */
  readonly way: readonly string[];
}

/** What only hands on, to the remote that it names. */
const wrappers = ['alias', 'chunker', 'compress', 'hasher', 'cache'];
/** The same, for several. */
const joints = ['union', 'combine'];

/**
 * Whether everything that is written to a remote is encrypted before it leaves the host: it is a `crypt`, or hands all on
 * to such.
 *
 * @returns undefined for a remote that the configuration does not have.
 */
export function encryptionOf(remotes: Remotes, remote: string): Encryption | undefined {
  return follow(remotes, remote, []);
}

function follow(remotes: Remotes, remote: string, way: readonly string[]): Encryption | undefined {
  const at = describe(remotes, remote);
  if (at === undefined) return undefined;
  const { shown, type, plain, on } = at;
  const here = [...way, shown];
  if (type === 'crypt') return { encrypted: !plain, way: here };
  // A remote that leads to itself would go on for ever.
  if (way.includes(shown) || on.length === 0) return { encrypted: false, way: here };
  const ends = on.map((next) => follow(remotes, next, here));
  const bad = ends.find((end) => end?.encrypted !== true);
  if (bad === undefined && ends.every((end) => end !== undefined)) return ends[0];
  return bad ?? { encrypted: false, way: here };
}

interface Described {
  shown: string;
  type: string;
  /** A crypt that encrypts names alone. */
  plain: boolean;
  /** The remotes that it hands on to. */
  on: string[];
}

/** A remote as rclone writes it: `name:path`, `name,option=value:path`, `:type,option=value:path`, or a folder. */
function describe(remotes: Remotes, remote: string): Described | undefined {
  const { name, options } = splitRemote(remote);
  if (name === null) return { shown: 'a local folder', type: 'local', plain: true, on: [] };
  const inline = name.startsWith(':');
  const known = inline ? { type: name.slice(1) } : Object.hasOwn(remotes, name) ? remotes[name] : undefined;
  if (known === undefined) return undefined;
  const said = { ...known, ...Object.fromEntries(options), type: known.type } as Remotes[string];
  const upstreams = (said.upstreams ?? '').split(/\s+/).filter((one) => one !== '');
  return {
    shown: inline ? name : `${name} (${said.type})`,
    type: said.type,
    plain: /^(?:true|1|yes)$/i.test(said.no_data_encryption ?? ''),
    on: wrappers.includes(said.type)
      ? [said.remote ?? '']
      : joints.includes(said.type)
        ? upstreams.map((one) => (said.type === 'combine' ? one.replace(/^[^=]*=/, '') : one))
        : [],
  };
}

function splitRemote(remote: string): { name: string | null; options: [string, string][] } {
  // rclone's own: a name is at the beginning, up to a colon; option values may be quoted, with quotes doubled.
  const [, name, tail = ''] =
    /^(:?[\w.+@][\w.+@ -]*)((?:,[\w]+(?:=(?:"(?:[^"]|"")*"|'(?:[^']|'')*'|[^,:"']*))?)*):/.exec(remote) ?? [];
  if (name === undefined) return { name: null, options: [] };
  const options = [...tail.matchAll(/,(\w+)(?:=("(?:[^"]|"")*"|'(?:[^']|'')*'|[^,:"']*))?/g)].map(
    ([, key = '', value]): [string, string] => [key, value === undefined ? 'true' : unquote(value)],
  );
  return { name, options };
}

function unquote(value: string): string {
  const quote = value[0];
  if (quote !== '"' && quote !== "'") return value;
  return value.slice(1, -1).replaceAll(`${quote}${quote}`, quote);
}
