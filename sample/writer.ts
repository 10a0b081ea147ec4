import { randomUUID } from 'node:crypto';
import { appendFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

export interface WriterOptions {
  /** The web service, `http://127.0.0.1:3000`. */
  readonly url: string;
  /** A file that gets one line of JSON for each acknowledged post: see `AcknowledgedPost`. Emptied first. */
  readonly log: string;
  /** From the beginning of a post to that of the next one, in milliseconds; default 50. */
  readonly everyMs?: number;
}

export interface AcknowledgedPost {
  readonly id: string;
  readonly mediaId?: string;
  /** The picture's path, `/system/…`. */
  readonly mediaUrl?: string;
  readonly text: string;
  /** ISO time with milliseconds, at which the answer had arrived. */
  readonly ackedAt: string;
}

export interface WriterCounts {
  /** Acknowledged posts: each of them is committed. */
  readonly posted: number;
  readonly withMedia: number;
  /** Attempts that found nobody listening. */
  readonly refused: number;
  /** Attempts that got another answer, or none: committed or not, nobody knows. */
  readonly failed: number;
  /** The longest time between two acknowledged posts. */
  readonly longestGapMs: number;
}

export interface Writer {
  /** So far. */
  counts(): WriterCounts;
  /** Waits until `posts` more posts are acknowledged. */
  more(posts: number): Promise<void>;
  /** Finishes the post in hand and returns the counts. */
  stop(): Promise<WriterCounts>;
}

/** Posts without pause, every third time with a picture, and never gives up. */
export function startWriter({ url, log, everyMs = 50 }: WriterOptions): Writer {
  const counts = { posted: 0, withMedia: 0, refused: 0, failed: 0, longestGapMs: 0 };
  let ending = false;
  let lastAck: number | undefined;

  const attempt = async (index: number): Promise<void> => {
    const text = `still writing ${String(index)} ${randomUUID()}`;
    const response = await fetch(new URL('/api/v1/statuses', url), {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ status: text, media: index % 3 === 0 }),
      signal: AbortSignal.timeout(10_000),
    });
    const answer: unknown = await response.json();
    if (!response.ok || !isPost(answer)) throw new Error(`HTTP ${String(response.status)}`);
    const now = Date.now();
    if (lastAck !== undefined) counts.longestGapMs = Math.max(counts.longestGapMs, now - lastAck);
    lastAck = now;
    const media = answer.media_attachments[0];
    const post: AcknowledgedPost = {
      id: answer.id,
      ...(media === undefined ? {} : { mediaId: media.id, mediaUrl: media.url }),
      text,
      ackedAt: new Date(now).toISOString(),
    };
    await appendFile(log, `${JSON.stringify(post)}\n`);
    counts.posted++;
    if (media !== undefined) counts.withMedia++;
  };

  const run = async (): Promise<void> => {
    await writeFile(log, '');
    for (let index = 0; !ending; index++) {
      const started = Date.now();
      await attempt(index).catch((error: unknown) => {
        if (isRefused(error)) counts.refused++;
        else counts.failed++;
      });
      await new Promise((resolve) => setTimeout(resolve, Math.max(5, everyMs - (Date.now() - started))));
    }
  };
  const running = run();

  return {
    counts: () => ({ ...counts }),
    async more(posts) {
      const goal = counts.posted + posts;
      while (counts.posted < goal && !ending) await new Promise((resolve) => setTimeout(resolve, 20));
    },
    async stop() {
      ending = true;
      await running;
      return { ...counts };
    },
  };
}

interface PostAnswer {
  readonly id: string;
  readonly media_attachments: readonly { readonly id: string; readonly url: string }[];
}

function isPost(answer: unknown): answer is PostAnswer {
  return typeof answer === 'object' && answer !== null && 'id' in answer && 'media_attachments' in answer;
}

function isRefused(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && 'code' in cause && cause.code === 'ECONNREFUSED';
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { url: { type: 'string' }, log: { type: 'string' } } });
  const writer = startWriter({
    url: values.url ?? 'http://127.0.0.1:3000',
    log: values.log ?? 'posts.jsonl',
  });
  const end = (): void => {
    void writer.stop().then((counts) => {
      console.log(JSON.stringify(counts));
    });
  };
  process.once('SIGINT', end);
  process.once('SIGTERM', end);
}
