/** Options of a NATS connection as the nats package takes them. */
import { isIP } from 'node:net'
import type { Socket } from 'node:net'
import { checkServerIdentity } from 'node:tls'
import type { PeerCertificate } from 'node:tls'
import type { ConnectionOptions } from 'nats'
import { authenticatorOf, checkFiles } from './credentials.js'
import { address } from './greeting.js'
import type { NatsOptions } from './natsOptions.js'

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

/** In random order, to spread clients over the servers. */
export function shuffled(servers: readonly string[]): string[] {
  return servers
    .map((server) => ({ server, at: Math.random() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ server }) => server)
}

export function inboxPrefix(options: NatsOptions): string {
  return options.inboxPrefix ?? natsDefaults.inboxPrefix
}

/**
 * Options for the nats package. `reconnect` is off: on a re-dial the package would flush answers
 * that were buffered under the old connection. `noAsyncTraces` saves a stack trace per request.
 * @throws CredentialFileError
 */
export function connectionOptions(
  options: NatsOptions,
  servers: readonly string[],
): ConnectionOptions {
  checkFiles(options)
  const { user, password, token } = options
  const tls = tlsOptions(options, servers)
  const authenticator = authenticatorOf(options)
  return {
    servers: [...servers],
    name: options.name ?? natsDefaults.name,
    timeout: options.connectTimeoutMs ?? natsDefaults.connectTimeoutMs,
    // The connection has its own pings; this interval keeps the package's out of the way.
    pingInterval: 3_600_000,
    maxPingOut: 2,
    reconnect: false,
    waitOnFirstConnect: false,
    maxReconnectAttempts: 0,
    ignoreClusterUpdates: true,
    noAsyncTraces: true,
    noEcho: false,
    // getaddrinfo reads /etc/hosts; the package's own resolver asks DNS servers only.
    resolve: false,
    inboxPrefix: inboxPrefix(options),
    ...(user === undefined ? {} : { user, pass: password ?? '' }),
    ...(token === undefined ? {} : { token }),
    ...(authenticator ? { authenticator } : {}),
    ...(tls ? { tls } : {}),
  }
}

type Checks = NonNullable<ConnectionOptions['tls']> & {
  readonly checkServerIdentity: typeof checkIdentity
  readonly servername?: string
}

/** Null: the server decides about TLS. If one URL is `tls://`, TLS is required. */
function tlsOptions({ tls }: NatsOptions, servers: readonly string[]): Checks | null {
  if (tls === undefined && !servers.some((server) => /^tls:/i.test(server))) return null
  const { caFile, certFile, keyFile, handshakeFirst } = tls ?? {}
  const [host = '', ...others] = new Set(servers.map((server) => address(server).host))
  return {
    checkServerIdentity: checkIdentity,
    // Without its own resolver the package gives the server no name; here there is only one.
    ...(others.length === 0 && isIP(host) === 0 ? { servername: host } : {}),
    ...(caFile ? { caFile } : {}),
    ...(certFile ? { certFile } : {}),
    ...(keyFile ? { keyFile } : {}),
    ...(handshakeFirst ? { handshakeFirst } : {}),
  }
}

/**
 * Node checks the certificate of a server that was dialled by its address against `localhost`,
 * since the package hands over a socket without a name. This checks it against that address.
 * `this`: the options of the TLS connection.
 */
function checkIdentity(
  this: { readonly servername?: string; readonly socket?: Socket } | undefined,
  host: string,
  certificate: PeerCertificate,
): Error | undefined {
  const dialled = this?.servername || host !== 'localhost'
    ? undefined
    : this?.socket?.remoteAddress
  if (dialled === undefined) return checkServerIdentity(host, certificate)
  const fault = checkServerIdentity(dialled, certificate)
  // The server may have been dialled as localhost.
  return fault && /^(127\.|::1$)/.test(dialled) ? checkServerIdentity(host, certificate) : fault
}
