import type { Io } from './io.js';
import type { Output } from './output.js';

/** SIGTERM and Ctrl-C as a wish to stop in good order; further ones only say that it takes a moment. */
export function stopSignal(io: Io, out: Output): { signal: AbortSignal; close(): void } {
  const stop = new AbortController();
  const listener = () => {
    out.say(stop.signal.aborted ? 'Still stopping …' : 'Stopping …');
    stop.abort();
  };
  const closers = [io.onSignal('SIGTERM', listener), io.onSignal('SIGINT', listener)];
  return { signal: stop.signal, close: () => closers.forEach((close) => close()) };
}
