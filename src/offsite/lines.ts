import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import type { z } from 'zod';

/** Reading what tools print, line by line. */

export async function* linesOf(stream: Readable): AsyncIterable<string> {
  const text = new StringDecoder('utf8');
  let rest = '';
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    const lines = (rest + text.write(chunk)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') yield line;
  }
  if (rest.trim() !== '') yield rest;
}

/** The last line of JSON output that is of this form. */
export function lastMessage<T>(output: string, schema: z.ZodType<T>): T | undefined {
  for (const line of output.trimEnd().split('\n').reverse()) {
    try {
      const message = schema.safeParse(JSON.parse(line));
      if (message.success) return message.data;
    } catch {
      continue; // the first line of a tail may be cut
    }
  }
  return undefined;
}
