import { readFileSync } from 'node:fs';
import { Client, Connection, isGrpcServiceError } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { NativeConnection } from '@temporalio/worker';
import type { TemporalConfig } from '../config/configuration.js';
import { Failure } from '../errors.js';

/** How long a server may take to answer before it counts as unreachable, in milliseconds. */
const CONNECT_TIMEOUT_MS = 5_000;

/** gRPC's status codes for a key or certificate that is not accepted. */
const PERMISSION_DENIED = 7;
const UNAUTHENTICATED = 16;

export interface TlsOptions {
  serverNameOverride?: string;
  serverRootCACertificate?: Uint8Array;
  clientCertPair?: { crt: Uint8Array; key: Uint8Array };
}

/** What both kinds of connection (client and worker) are made with. */
export interface ConnectionOptions {
  /** `host:port`. */
  address: string;
  tls?: TlsOptions | boolean;
  /** A secret: never log these options. */
  apiKey?: string;
  /** Sent with every request as gRPC metadata; may be secret. */
  metadata?: Record<string, string>;
}

export interface TemporalTarget {
  readonly connectionOptions: ConnectionOptions;
  readonly namespace: string;
}

/**
 * Where Temporal is and how to get in, from the configuration.
 *
 * A profile is read by Temporal's own conventions: `temporal.toml` (`TEMPORAL_CONFIG_FILE`, else the usual place), then
 * `TEMPORAL_*` variables, which win (docs.temporal.io/develop/environment-configuration). An address is taken as it is
 * written. An API key switches TLS on.
 *
 * @throws Failure `ConfigInvalid` when a file cannot be read or a profile does not exist.
 */
export function temporalTarget(
  temporal: TemporalConfig,
  env: NodeJS.ProcessEnv = process.env,
): TemporalTarget {
  switch (temporal.kind) {
    case 'embedded':
      return { connectionOptions: { address: `127.0.0.1:${temporal.port}` }, namespace: 'default' };
    case 'address':
      return addressTarget(temporal);
    case 'profile':
      return profileTarget(temporal, env);
  }
}

function addressTarget(temporal: Extract<TemporalConfig, { kind: 'address' }>): TemporalTarget {
  const apiKey =
    temporal.apiKeyFile === undefined ? undefined : readSecret('temporal.apiKeyFile', temporal.apiKeyFile);
  const tls = temporal.tls === undefined ? undefined : tlsOptions(temporal.tls);
  return {
    connectionOptions: {
      address: temporal.address,
      ...(apiKey === undefined ? {} : { apiKey, tls: true }),
      ...(tls === undefined ? {} : { tls }),
    },
    namespace: temporal.namespace,
  };
}

function tlsOptions(
  tls: NonNullable<Extract<TemporalConfig, { kind: 'address' }>['tls']>,
): TlsOptions | true {
  if (tls === true) return true;
  if ((tls.certFile === undefined) !== (tls.keyFile === undefined)) {
    throw new Failure('ConfigInvalid', 'temporal.tls needs certFile and keyFile together, or neither', {
      next: 'Name both files, or leave both out.',
    });
  }
  return {
    ...(tls.serverName === undefined ? {} : { serverNameOverride: tls.serverName }),
    ...(tls.caFile === undefined
      ? {}
      : { serverRootCACertificate: readBytes('temporal.tls.caFile', tls.caFile) }),
    ...(tls.certFile === undefined || tls.keyFile === undefined
      ? {}
      : {
          clientCertPair: {
            crt: readBytes('temporal.tls.certFile', tls.certFile),
            key: readBytes('temporal.tls.keyFile', tls.keyFile),
          },
        }),
  };
}

function profileTarget(
  temporal: Extract<TemporalConfig, { kind: 'profile' }>,
  env: NodeJS.ProcessEnv,
): TemporalTarget {
  const loaded = loadProfile(temporal, env);
  const { address, apiKey, metadata, tls } = loaded.connectionOptions;
  return {
    connectionOptions: {
      address: address ?? '127.0.0.1:7233',
      ...(apiKey === undefined ? {} : { apiKey }),
      ...(tls === undefined || tls === null ? {} : { tls: tls as TlsOptions | boolean }),
      ...(metadata === undefined ? {} : { metadata: metadata as Record<string, string> }),
    },
    namespace: loaded.namespace ?? 'default',
  };
}

function loadProfile(temporal: Extract<TemporalConfig, { kind: 'profile' }>, env: NodeJS.ProcessEnv) {
  const overrideEnvVars = Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
  try {
    return loadClientConnectConfig({
      overrideEnvVars,
      ...(temporal.profile === undefined ? {} : { profile: temporal.profile }),
      ...(temporal.file === undefined ? {} : { configSource: { path: temporal.file } }),
    });
  } catch (error) {
    // The first line alone: a TOML error goes on to quote the file, and an API key may be in it.
    const reason = error instanceof Error ? error.message.split('\n', 1)[0] : 'unknown reason';
    throw new Failure(
      'ConfigInvalid',
      `Temporal's profile "${temporal.profile ?? 'default'}" could not be read: ${reason}`,
      { next: 'Look at the file with: temporal config list' },
    );
  }
}

function readSecret(key: string, path: string): string {
  return Buffer.from(readBytes(key, path)).toString('utf8').trim();
}

function readBytes(key: string, path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Failure(
      'ConfigInvalid',
      `${key}: ${path} cannot be read (${(error as NodeJS.ErrnoException).code})`,
      {
        next: 'Check the path, and that the user who runs Permafrost may read the file.',
        cause: error,
      },
    );
  }
}

export interface TemporalClient {
  readonly client: Client;
  readonly connection: Connection;
  readonly namespace: string;
  close(): Promise<void>;
}

/**
 * Connects a client, and proves that the server answers.
 *
 * @throws Failure `TemporalUnreachable` after about 5 seconds, `AuthFailed`, `ConfigInvalid`.
 */
export async function connectClient(temporal: TemporalConfig): Promise<TemporalClient> {
  const { connectionOptions, namespace } = temporalTarget(temporal);
  try {
    const connection = await Connection.connect({ ...connectionOptions, connectTimeout: CONNECT_TIMEOUT_MS });
    const client = new Client({ connection, namespace });
    return { client, connection, namespace, close: () => connection.close() };
  } catch (error) {
    throw connectFailure(temporal, connectionOptions.address, error);
  }
}

export interface TemporalWorkerConnection {
  readonly connection: NativeConnection;
  readonly namespace: string;
  close(): Promise<void>;
}

/** Connects a worker. Asks by a client first, which gives up in time and says why; the failures are the same. */
export async function connectWorker(temporal: TemporalConfig): Promise<TemporalWorkerConnection> {
  await (await connectClient(temporal)).close();
  const { connectionOptions, namespace } = temporalTarget(temporal);
  try {
    const connection = await NativeConnection.connect(connectionOptions);
    return { connection, namespace, close: () => connection.close() };
  } catch (error) {
    throw connectFailure(temporal, connectionOptions.address, error);
  }
}

function connectFailure(temporal: TemporalConfig, address: string, error: unknown): Failure {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (isGrpcServiceError(cause) && [PERMISSION_DENIED, UNAUTHENTICATED].includes(cause.code)) {
    return new Failure('AuthFailed', `Temporal at ${address} does not accept our key or certificate`, {
      next: 'Check the API key or the certificate of the configuration, and that they are of this namespace.',
      cause: error,
    });
  }
  return new Failure('TemporalUnreachable', `Temporal does not answer at ${address}`, {
    next:
      temporal.kind === 'embedded'
        ? 'Start it with: permafrost up'
        : `Check the address and the network, then: temporal operator cluster health --address ${address}. ` +
          'A server of our own is started by: permafrost up, with "temporal: embedded" in the configuration.',
    cause: error,
  });
}
