import type { Host } from './host.js';

/**
 * A host whose short commands end with a signal: those that run at that moment, with everything they started. What is
 * begun later runs as ever, so that whoever is cut off can tidy up. Jobs go on.
 *
 * @returns commands that are ended reject with the signal's reason.
 */
export function endedBy(host: Host, signal: AbortSignal): Host {
  const more = <Options extends { signal?: AbortSignal }>(options: Options | undefined) => ({
    ...options,
    ...(signal.aborted || options?.signal !== undefined ? {} : { signal }),
  });
  return {
    name: host.name,
    facts: () => host.facts(),
    run: (argv, options) => host.run(argv, more(options)),
    async stream(argv, options) {
      if (signal.aborted) return host.stream(argv, options);
      const stream = await host.stream(argv, more(options));
      const completed = stream.completed.then((ended) => {
        signal.throwIfAborted(); // what came of it may be cut, and must not be taken for all
        return ended;
      });
      completed.catch(() => undefined); // heard by whoever reads to the end
      return { stdout: stream.stdout, completed, kill: () => stream.kill() };
    },
    startJob: (id, argv, options) => host.startJob(id, argv, options),
    job: (id) => host.job(id),
    listJobs: () => host.listJobs(),
    putFile: (path, content, mode) => host.putFile(path, content, mode),
    argvAs: (argv, as) => host.argvAs(argv, as),
    close: () => host.close(),
  };
}
