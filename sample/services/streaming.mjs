/** The sample's streaming service. Its health page answers OK whatever is wrong, as Mastodon's does. */
import { createServer } from 'node:http';
import { env } from './env.mjs';
import { onEnd } from './process.mjs';

const server = createServer((request, response) => {
  const healthy = request.url === '/api/v1/streaming/health';
  response.writeHead(healthy ? 200 : 404, { 'Content-Type': 'text/plain', Connection: 'close' });
  response.end(healthy ? 'OK' : 'Not Found');
});
server.listen(Number(env.PORT || 4000), env.BIND || '127.0.0.1', () => console.log('streaming: listening'));

onEnd(() => new Promise((resolve) => server.close(resolve)));
