import { timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Configuration } from '../../src/config/configuration.js';
import { readReport, reportNamePattern, reportToken } from '../../src/records/reports.js';

/**
 * Serves the pages of drills and restores, so that Temporal's UI can link to them. Whoever reaches this machine's
 * loopback can ask; a page is given to who knows its address, of which 32 digits cannot be guessed. Nothing can be
 * listed or changed, and what is given may load nothing and run nothing.
 */
export interface ReportServer {
  /** Ends at once; who is reading gets no more. */
  close(): Promise<void>;
}

export interface ServedReports {
  readonly state: string;
  /** 0: any that is free. */
  readonly port: number;
  readonly domains: () => readonly string[];
}

/**
 * @returns also the port.
 * @throws the system's error when the port cannot be had.
 */
export async function serveReports(served: ServedReports): Promise<ReportServer & { port: number }> {
  const server = createServer((request, response) => {
    answer(served, request, response).catch(() => {
      if (!response.headersSent) refuse(response, 500);
      response.end();
    });
  });
  // Slow readers, on a loopback: none.
  server.requestTimeout = 10_000;
  server.maxConnections = 50;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(served.port, '127.0.0.1', resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : served.port,
    close: async () => {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

/** Serves them as the configuration says; where that does not work the rest goes on without. */
export async function serveConfigured(
  { reports, state, instances }: Configuration,
  complain: (text: string) => void,
): Promise<ReportServer | undefined> {
  if (reports === null) return undefined;
  try {
    return await serveReports({ state, port: reports.port, domains: () => Object.keys(instances) });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    complain(
      `The pages of drills and restores are not served: 127.0.0.1:${String(reports.port)} cannot be had (${code}). ` +
        'Another port: reports: { port: … }; none: reports: off.',
    );
    return undefined;
  }
}

/** No script, no frame, no referrer, no cache; whatever a page should hold. */
const headers = {
  'content-security-policy':
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'x-robots-tag': 'noindex',
  'cache-control': 'no-store',
} as const;

const types = { html: 'text/html; charset=utf-8', json: 'application/json' } as const;

async function answer(
  served: ServedReports,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    refuse(response, 405);
    return;
  }
  const [, token = '', domain = '', name = '', kind = ''] =
    /^\/([0-9a-f]{32})\/([a-z0-9.-]{1,253})\/([a-zA-Z0-9-]{1,60})\.(html|json)$/.exec(request.url ?? '') ??
    [];
  if ((kind !== 'html' && kind !== 'json') || !reportNamePattern.test(name)) {
    refuse(response, 404);
    return;
  }
  const right = served.domains().includes(domain) && (await reportToken(served.state, domain, name));
  if (right === false || !timingSafeEqual(Buffer.from(token), Buffer.from(right))) {
    refuse(response, 404);
    return;
  }
  const text = await readReport(served.state, domain, name, kind);
  if (text === undefined) {
    refuse(response, 404);
    return;
  }
  const body = Buffer.from(text);
  response.writeHead(200, { ...headers, 'content-type': types[kind], 'content-length': body.length });
  response.end(request.method === 'HEAD' ? undefined : body);
}

function refuse(response: ServerResponse, status: 404 | 405 | 500): void {
  const more = status === 405 ? { allow: 'GET, HEAD' } : {};
  response.writeHead(status, { ...headers, ...more, 'content-type': 'text/plain; charset=utf-8' });
  response.end('There is no such report.\n');
}
