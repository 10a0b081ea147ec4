import { connect } from 'node:net';
import { env } from './env.mjs';

/** A connection to Redis that is enough for the sample: words in, an answer out, opened again when it was lost. */
export class Redis {
  #socket;
  #waiting = [];
  #rest = Buffer.alloc(0);

  /** Sends one command and returns its answer. Rejects with Redis's own message, or when the connection is lost. */
  command(...words) {
    const socket = (this.#socket ??= this.#open());
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      socket.write(encode(words));
    });
  }

  close() {
    this.#socket?.destroy();
  }

  #open() {
    const socket = connect(place());
    socket.setNoDelay(true);
    socket.on('data', (data) => this.#read(data));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      const waiting = this.#waiting;
      this.#socket = undefined;
      this.#waiting = [];
      this.#rest = Buffer.alloc(0);
      for (const { reject } of waiting) reject(new Error('the connection to Redis was lost'));
    });
    if (env.REDIS_PASSWORD) {
      this.#waiting.push({ resolve: () => undefined, reject: () => undefined });
      socket.write(encode(['AUTH', env.REDIS_PASSWORD]));
    }
    return socket;
  }

  #read(data) {
    this.#rest = Buffer.concat([this.#rest, data]);
    for (let answer = decode(this.#rest, 0); answer; answer = decode(this.#rest, 0)) {
      this.#rest = this.#rest.subarray(answer.end);
      const { resolve, reject } = this.#waiting.shift();
      if (answer.value instanceof Error) reject(answer.value);
      else resolve(answer.value);
    }
  }
}

/** REDIS_URL wins whole, as in Mastodon's lib/mastodon/redis_configuration.rb: here for a socket alone. */
function place() {
  const path = /^unix:\/\/(.+)$/.exec(env.REDIS_URL ?? '')?.[1];
  return path ? { path } : { host: env.REDIS_HOST || 'localhost', port: Number(env.REDIS_PORT || 6379) };
}

function encode(words) {
  const parts = words.map(String).map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  return `*${parts.length}\r\n${parts.join('')}`;
}

/** The answer that starts at `at`, or undefined while it is not all here. */
function decode(buffer, at) {
  const line = buffer.indexOf('\r\n', at);
  if (line < 0) return undefined;
  const kind = String.fromCharCode(buffer[at]);
  const text = buffer.toString('utf8', at + 1, line);
  const after = line + 2;
  if (kind === '+') return { value: text, end: after };
  if (kind === '-') return { value: new Error(text), end: after };
  if (kind === ':') return { value: Number(text), end: after };
  const length = Number(text);
  if (length < 0) return { value: null, end: after };
  if (kind === '$') {
    const end = after + length;
    return buffer.length < end + 2 ? undefined : { value: buffer.toString('utf8', after, end), end: end + 2 };
  }
  const values = [];
  let end = after;
  for (let index = 0; index < length; index++) {
    const item = decode(buffer, end);
    if (!item) return undefined;
    values.push(item.value);
    end = item.end;
  }
  return { value: values, end };
}
