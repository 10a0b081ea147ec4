import { flag } from './env.mjs';

/**
 * Ends the process on SIGTERM after `finish`, at the latest after half a second. With `--owner PID` it also ends when
 * that process is gone, so that a test that was killed leaves no service behind.
 */
export function onEnd(finish) {
  let ending = false;
  const end = () => {
    if (ending) return;
    ending = true;
    setTimeout(() => process.exit(0), 500).unref();
    Promise.resolve(finish()).finally(() => process.exit(0));
  };
  process.on('SIGTERM', end);
  process.on('SIGINT', end);

  const owner = Number(flag('--owner') ?? 0);
  if (owner > 0) setInterval(() => isThere(owner) || end(), 500).unref();
}

function isThere(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
