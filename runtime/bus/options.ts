/** What a NATS connection is made with, and how it is put to the nats package. */
import { readFileSync } from 'node:fs'
import { credsAuthenticator, nkeyAuthenticator } from 'nats'
import type { ConnectionOptions } from 'nats'
import { BusConnectError } from '../../actors/ports.js'

export interface TlsOptions {
  /** PEM files. Without `caFile` the system's authorities are trusted. */
  readonly caFile?: string | undefined
  readonly certFile?: string | undefined
  readonly keyFile?: string | undefined
  /** The server expects TLS before its greeting (nats-server 2.10 `handshake_first`). */
  readonly handshakeFirst?: boolean | undefined
}

/** At most one way of authentication is to be given; files are read anew at each connect. */
export interface NatsOptions {
  /** `nats://host:port`, or several with commas between; `tls://` asks for TLS. */
  readonly servers: string
  /** Shown in the server's list of connections. Default `engram`. */
  readonly name?: string
  readonly user?: string
  readonly password?: string
  readonly token?: string
  /** A `.creds` file: JWT and seed. */
  readonly credsFile?: string
  /** A file that holds an nkey seed, and nothing else. */
  readonly nkeySeedFile?: string
  readonly tls?: TlsOptions
  /** Answers arrive below it. Default `_INBOX`; nodes, by their settings, have one of their own. */
  readonly inboxPrefix?: string
  /** Default 500. A hung server is noticed after 2 to 3 intervals (with `maxPingOut` 2). */
  readonly pingIntervalMs?: number
  /** Pings without an answer before the connection counts as stale. Default 2. */
  readonly maxPingOut?: number
  /** For each server: greeting, and then connecting. Default 2,000. */
  readonly connectTimeoutMs?: number
}

export const natsDefaults = {
  name: 'engram',
  pingIntervalMs: 500,
  maxPingOut: 2,
  connectTimeoutMs: 2000,
  inboxPrefix: '_INBOX',
} as const

export function serverList(options: NatsOptions): string[] {
  return options.servers.split(',').map((server) => server.trim()).filter(Boolean)
}

export function inboxPrefix(options: NatsOptions): string {
  return options.inboxPrefix ?? natsDefaults.inboxPrefix
}

/**
 * Options for the nats package. `reconnect` is off: on a re-dial the package would flush answers
 * that were buffered under the old connection, which section 5 forbids. `noAsyncTraces` saves a
 * stack trace per request.
 * @throws BusConnectError (not retryable) when a credentials file cannot be read
 */
export function connectionOptions(options: NatsOptions, server: string): ConnectionOptions {
  const { user, password, token, tls } = options
  const usesTls = tls !== undefined || /^tls:/i.test(server)
  const { caFile, certFile, keyFile, handshakeFirst } = tls ?? {}
  return {
    servers: [server],
    name: options.name ?? natsDefaults.name,
    timeout: options.connectTimeoutMs ?? natsDefaults.connectTimeoutMs,
    // The connection pings by itself; these are out of the way.
    pingInterval: 3_600_000,
    maxPingOut: 2,
    reconnect: false,
    waitOnFirstConnect: false,
    maxReconnectAttempts: 0,
    ignoreClusterUpdates: true,
    noAsyncTraces: true,
    noEcho: false,
    // getaddrinfo knows /etc/hosts; the package's own resolver asks DNS servers only.
    resolve: false,
    inboxPrefix: inboxPrefix(options),
    ...(user === undefined ? {} : { user, pass: password ?? '' }),
    ...(token === undefined ? {} : { token }),
    ...authenticator(options),
    ...(usesTls ? { tls: {
      ...(caFile ? { caFile } : {}), ...(certFile ? { certFile } : {}),
      ...(keyFile ? { keyFile } : {}), ...(handshakeFirst ? { handshakeFirst } : {}),
    } } : {}),
  }
}

function authenticator(options: NatsOptions): Pick<ConnectionOptions, 'authenticator'> {
  const { credsFile, nkeySeedFile } = options
  if (credsFile) return { authenticator: credsAuthenticator(secret(credsFile)) }
  if (!nkeySeedFile) return {}
  const seed = Buffer.from(secret(nkeySeedFile).toString('utf8').trim())
  return { authenticator: nkeyAuthenticator(new Uint8Array(seed)) }
}

function secret(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new BusConnectError(`cannot read the NATS credentials: ${why}`, false, error)
  }
}
