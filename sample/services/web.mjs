/** The sample's web service: posts, a few of Mastodon's public pages, and `/health`, which answers OK whatever is wrong. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join, normalize } from 'node:path';
import { openDatabase } from './database.mjs';
import { env, root } from './env.mjs';
import { attachments } from './media.mjs';
import { post } from './posting.mjs';
import { onEnd } from './process.mjs';
import { Redis } from './redis.mjs';

const database = openDatabase(5);
const redis = new Redis();

const routes = [
  ['GET', /^\/health$/, (_, response) => send(response, 200, 'OK', 'text/plain')],
  ['POST', /^\/api\/v1\/statuses$/, createStatus],
  ['GET', /^\/api\/v1\/accounts\/lookup$/, whoeverMay(lookup)],
  ['GET', /^\/api\/v1\/accounts\/(-?\d+)\/statuses$/, whoeverMay(statuses)],
  ['GET', /^\/api\/v1\/statuses\/(\d+)$/, whoeverMay(status)],
  ['GET', /^\/\.well-known\/webfinger$/, webfinger],
  ['GET', /^\/api\/v2\/instance$/, instance],
  ['GET', /^\/system\/(.+)$/, systemFile],
];

const server = createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost');
  for (const [method, pattern, handler] of routes) {
    const found = method === request.method && pattern.exec(url.pathname);
    if (!found) continue;
    Promise.resolve(handler(request, response, url, found)).catch((error) => {
      console.error(`${request.method} ${url.pathname}: ${error.message}`);
      if (!response.headersSent) send(response, 500, { error: 'Internal Server Error' });
      else response.destroy();
    });
    return;
  }
  send(response, 404, { error: 'Not Found' });
});
server.listen(Number(env.PORT || 3000), env.BIND || '127.0.0.1', () => console.log('web: listening'));

onEnd(async () => {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeIdleConnections();
  await closed;
  redis.close();
  await database.end();
});

function send(response, status, body, type = 'application/json') {
  // A service that is being stopped takes no further requests on connections that are still open.
  if (!server.listening) response.setHeader('Connection', 'close');
  response.writeHead(status, { 'Content-Type': type });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

async function createStatus(request, response) {
  let body = '';
  for await (const chunk of request) body += chunk;
  const json = (request.headers['content-type'] ?? '').includes('json');
  const fields = json ? JSON.parse(body) : Object.fromEntries(new URLSearchParams(body));
  const text = fields.status ?? fields.text;
  if (typeof text !== 'string' || text === '') {
    return send(response, 422, { error: "Validation failed: Text can't be blank" });
  }
  const withMedia = fields.media === true || fields.media === 'true' || fields.media === '1';
  send(response, 200, await post(database, redis, { text, withMedia }));
}

/** Nobody can log in here: who would have to is turned away. */
function whoeverMay(handler) {
  const closed = ['LIMITED_FEDERATION_MODE', 'DISALLOW_UNAUTHENTICATED_API_ACCESS'].some(
    (name) => env[name] === 'true',
  );
  if (!closed) return handler;
  return (_, response) => send(response, 401, { error: 'This method requires an authenticated user' });
}

async function lookup(_, response, url) {
  const account = await findLocal(url.searchParams.get('acct') ?? '');
  if (!account) return send(response, 404, { error: 'Record not found' });
  send(response, 200, {
    id: account.id,
    username: account.username,
    acct: account.username,
    suspended: account.suspended,
  });
}

async function findLocal(acct) {
  const [username, domain] = acct.replace(/^acct:|^@/, '').split('@');
  if (domain && domain !== env.LOCAL_DOMAIN) return undefined;
  const { rows } = await database.query(
    `SELECT id, username, id_scheme, suspended_at IS NOT NULL AS suspended FROM accounts
     WHERE lower(username) = lower($1) AND domain IS NULL`,
    [username],
  );
  return rows[0];
}

async function webfinger(_, response, url) {
  const account = await findLocal(url.searchParams.get('resource') ?? '');
  if (!account) return send(response, 404, '', 'text/plain');
  if (account.suspended) return send(response, 410, '', 'text/plain');
  const actor = account.id_scheme === 0 ? `users/${account.username}` : `ap/users/${account.id}`;
  const href = `https://${env.LOCAL_DOMAIN}/${actor}`;
  const links = [{ rel: 'self', type: 'application/activity+json', href }];
  const body = { subject: `acct:${account.username}@${env.LOCAL_DOMAIN}`, aliases: [href], links };
  send(response, 200, JSON.stringify(body), 'application/jrd+json');
}

async function instance(_, response) {
  const { rows } = await database.query('SELECT count(*)::int AS users FROM users');
  send(response, 200, {
    domain: env.LOCAL_DOMAIN,
    version: '4.6.5',
    usage: { users: { total: rows[0].users } },
    configuration: { vapid: { public_key: env.VAPID_PUBLIC_KEY } },
  });
}

async function statuses(_, response, url, [, id]) {
  const limit = Math.min(Number(url.searchParams.get('limit') ?? 20) || 20, 40);
  const { rows } = await database.query(`${shownStatus} AND account_id = $1 ORDER BY id DESC LIMIT $2`, [
    id,
    limit,
  ]);
  send(response, 200, await withAttachments(rows));
}

async function status(_, response, __, [, id]) {
  const { rows } = await database.query(`${shownStatus} AND id = $1`, [id]);
  const [found] = await withAttachments(rows);
  if (found) send(response, 200, found);
  else send(response, 404, { error: 'Record not found' });
}

const shownStatus = `SELECT id, uri, text AS content, created_at FROM statuses
  WHERE deleted_at IS NULL AND visibility IN (0, 1)`;

async function withAttachments(rows) {
  const found = await attachments(
    database,
    rows.map(({ id }) => id),
  );
  return rows.map((row) => ({ ...row, media_attachments: found.get(row.id) ?? [] }));
}

async function systemFile(_, response, __, [, path]) {
  const file = normalize(join(root, 'public/system', decodeURIComponent(path)));
  if (!file.startsWith(normalize(join(root, 'public/system'))))
    return send(response, 404, { error: 'Not Found' });
  const found = await stat(file).catch(() => undefined);
  if (!found?.isFile()) return send(response, 404, { error: 'Not Found' });
  response.writeHead(200, { 'Content-Length': found.size });
  createReadStream(file).pipe(response);
}
