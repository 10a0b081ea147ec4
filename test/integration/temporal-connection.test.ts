import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { expect, test, vi } from 'vitest';
import type { TemporalConfig } from '../../src/config/configuration.js';
import { connectClient, connectWorker } from '../../src/temporal/connection.js';
import { freePort } from '../../src/temporal/server-process.js';
import { cleanUp, scratchFolder, startedServer, type TestServer } from './temporal-server.js';

async function answersAs(temporal: TemporalConfig): Promise<string> {
  const { client, namespace, close } = await connectClient(temporal);
  await client.workflow.count("WorkflowId = 'any'");
  await close();
  return namespace;
}

test('a server is found by its address, and by a profile of Temporal’s own', async () => {
  const server = await startedServer();
  expect(
    await answersAs({ kind: 'embedded', port: server.options.port, uiPort: server.options.uiPort }),
  ).toBe('default');
  expect(await answersAs({ kind: 'address', address: server.address, namespace: 'default' })).toBe('default');

  const file = join(scratchFolder(), 'temporal.toml');
  writeFileSync(file, `[profile.night]\naddress = "${server.address}"\nnamespace = "default"\n`);
  expect(await answersAs({ kind: 'profile', profile: 'night', file })).toBe('default');
  vi.stubEnv('TEMPORAL_CONFIG_FILE', file);
  vi.stubEnv('TEMPORAL_PROFILE', 'night');
  cleanUp(() => void vi.unstubAllEnvs());
  expect(await answersAs({ kind: 'profile' })).toBe('default');
  vi.stubEnv('TEMPORAL_ADDRESS', `127.0.0.1:${await freePort()}`);
  await expect(connectClient({ kind: 'profile' })).rejects.toMatchObject({ type: 'TemporalUnreachable' });
});

test('a worker connects in the same way', async () => {
  const server = await startedServer();
  const worker = await connectWorker({ kind: 'address', address: server.address, namespace: 'default' });
  expect(worker.namespace).toBe('default');
  await worker.close();
});

test('a server that is not there is said to be so, with what to do', async () => {
  const port = await freePort();
  for (const open of [connectClient, connectWorker]) {
    await expect(open({ kind: 'embedded', port, uiPort: port + 1 })).rejects.toMatchObject({
      type: 'TemporalUnreachable',
      message: `Temporal does not answer at 127.0.0.1:${port}`,
      next: 'Start it with: permafrost up',
    });
  }
});

test('TLS with a certificate on both sides', async () => {
  const { address, folder } = await behindTls(await startedServer());
  const file = (name: string) => join(folder, name);
  const tls = {
    caFile: file('ca.pem'),
    serverName: 'temporal.example',
    certFile: file('us.pem'),
    keyFile: file('us.key'),
  };
  expect(await answersAs({ kind: 'address', address, namespace: 'default', tls })).toBe('default');
  const worker = await connectWorker({ kind: 'address', address, namespace: 'default', tls });
  await worker.close();

  const { caFile, serverName } = tls;
  await expect(
    connectClient({ kind: 'address', address, namespace: 'default', tls: { caFile, serverName } }),
  ).rejects.toMatchObject({ type: 'TemporalUnreachable' });
});

/** The development server knows no TLS: this ends it before the server, and wants a certificate of the client. */
async function behindTls(server: TestServer): Promise<{ address: string; folder: string }> {
  const folder = scratchFolder();
  const openssl = (...argv: string[]) => execFileSync('openssl', argv, { cwd: folder, stdio: 'ignore' });
  const certificate = (name: string, subject: string, ...more: string[]) => {
    const key = [
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-keyout',
      `${name}.key`,
    ];
    openssl('req', '-x509', ...key, '-out', `${name}.pem`, '-days', '1', '-subj', `/CN=${subject}`, ...more);
  };
  certificate('ca', 'test CA');
  const byCa = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-addext', 'basicConstraints=critical,CA:FALSE'];
  certificate('temporal', 'temporal', ...byCa, '-addext', 'subjectAltName=DNS:temporal.example');
  certificate('us', 'permafrost', ...byCa);
  const read = (name: string) => readFileSync(join(folder, name));
  const options = { key: read('temporal.key'), cert: read('temporal.pem'), ca: read('ca.pem') };
  const front = createServer(
    { ...options, requestCert: true, rejectUnauthorized: true, ALPNProtocols: ['h2'] },
    (socket) => {
      const back = connect(server.options.port, '127.0.0.1');
      socket.pipe(back).pipe(socket);
      socket.on('error', () => back.destroy());
      back.on('error', () => socket.destroy());
    },
  );
  front.listen(0, '127.0.0.1');
  await once(front, 'listening');
  cleanUp(() => void front.close());
  return { address: `127.0.0.1:${(front.address() as AddressInfo).port}`, folder };
}
