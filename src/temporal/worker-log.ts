import { DefaultLogger, type LogEntry, Runtime } from '@temporalio/worker';

/** Said with a line where it is there: which step of which run. */
const whereKeys = ['workflowId', 'activityType', 'attempt', 'sdkComponent'] as const;

/** The guard lets its look at the run go without waiting for it (policies.watch): said at the end of every run. */
const byDesign = 'Activity not found on completion.';

/**
 * Makes what the SDK and our workflows and activities log come out on stderr, warnings and errors alone, a line each.
 * To be called before anything connects as a worker; a process that has a runtime already (a test's) keeps it.
 */
export function installWorkerLog(write: (line: string) => void = (line) => process.stderr.write(line)): void {
  try {
    Runtime.install({
      logger: new DefaultLogger('WARN', (entry) => {
        if (!entry.message.startsWith(byDesign)) write(`${logLine(entry)}\n`);
      }),
      telemetryOptions: { logging: { forward: {}, filter: { core: 'WARN', other: 'ERROR' } } },
    });
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'IllegalStateError') throw error;
  }
}

/** `03:17:09Z WARN  message: reason (workflowId …, activityType …)`; what is more than a line is indented. */
export function logLine({ level, timestampNanos, message, meta }: LogEntry): string {
  const time = new Date(Number(timestampNanos / 1_000_000n)).toISOString().slice(11, 19);
  const known = new Map<string, unknown>(Object.entries(meta ?? {}));
  const reason = reasonOf(known.get('error'));
  const where = whereKeys.flatMap((key) => (known.has(key) ? [`${key} ${String(known.get(key))}`] : []));
  const text = [message, ...(reason === undefined ? [] : [reason])].join(': ');
  const place = where.length === 0 ? '' : ` (${where.join(', ')})`;
  return `${time}Z ${level.padEnd(5)} ${text.trimEnd().replaceAll('\n', '\n    ')}${place}`;
}

function reasonOf(error: unknown): string | undefined {
  if (error === undefined) return undefined;
  if (!(error instanceof Error)) return String(error);
  const cause = reasonOf(error.cause);
  return cause === undefined || cause === error.message ? error.message : `${error.message}: ${cause}`;
}
