import { readFile } from 'node:fs/promises';
import type { AcknowledgedPost } from '../../sample/writer.js';

/** The posts that the writer was told of so far, oldest first. */
export async function acknowledgedPosts(log: string): Promise<AcknowledgedPost[]> {
  const text = await readFile(log, 'utf8');
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as AcknowledgedPost);
}

/** What the writer noticed of a night: posts acknowledged since then, and the longest time without one. */
export async function noticedSince(
  log: string,
  since: Date,
): Promise<{ posted: number; longestGapMs: number }> {
  const times = (await acknowledgedPosts(log)).map(({ ackedAt }) => Date.parse(ackedAt));
  const from = times.findIndex((time) => time >= since.getTime());
  const noticed = from < 0 ? [] : times.slice(from);
  // The gap that the night began in counts too.
  const gaps = noticed.map((time, index) => time - (times[from + index - 1] ?? time));
  return { posted: noticed.length, longestGapMs: Math.max(0, ...gaps) };
}
