/**
 * The bus on NATS. One connection is one life: it never reconnects (DESIGN section 5).
 *
 * Outbound: the nats package collects what is published within one turn of the event loop and
 * writes it in a microtask, so a burst costs one system call. `close()` discards what was not yet
 * written: nothing buffered goes out late.
 */
import { connect as natsConnect, ErrorCode } from 'nats'
import type { NatsError } from 'nats'
import { BusConnectError } from '../../actors/ports.js'
import type { Bus, BusConnection, Logger } from '../../actors/ports.js'
import { NatsBusConnection } from './connection.js'
import { greetingFault } from './greeting.js'
import { connectionOptions, inboxPrefix, natsDefaults, serverList } from './options.js'
import type { NatsOptions } from './options.js'

export type { NatsOptions, TlsOptions } from './options.js'

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

/**
 * A bus to the first of the servers that greets, tried in random order.
 * `connect()` rejects with BusConnectError; credentials that are refused and certificates that
 * are not trusted are not retryable, everything else is.
 */
export function natsBus(options: NatsOptions, logger: Logger = silent): Bus {
  return { connect: () => connect(options, logger) }
}

async function connect(options: NatsOptions, logger: Logger): Promise<BusConnection> {
  const servers = shuffled(serverList(options))
  if (servers.length === 0) throw new BusConnectError('no NATS server is named', false)
  let last: BusConnectError | null = null
  for (const server of servers) {
    try {
      return await dial(options, server, logger)
    } catch (error) {
      last = connectError(error, server)
      if (!last.retryable) break
    }
  }
  throw last ?? new BusConnectError('no NATS server is named', false)
}

async function dial(
  options: NatsOptions, server: string, logger: Logger,
): Promise<BusConnection> {
  if (!options.tls?.handshakeFirst) {
    const timeoutMs = options.connectTimeoutMs ?? natsDefaults.connectTimeoutMs
    const fault = await greetingFault(server, timeoutMs)
    if (fault) throw fault
  }
  const connection = await natsConnect(connectionOptions(options, server))
  return new NatsBusConnection(connection, inboxPrefix(options), logger, {
    pingIntervalMs: options.pingIntervalMs ?? natsDefaults.pingIntervalMs,
    maxPingOut: options.maxPingOut ?? natsDefaults.maxPingOut,
  })
}

function shuffled(servers: string[]): string[] {
  return servers
    .map((server) => ({ server, at: Math.random() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ server }) => server)
}

const refusals: ReadonlySet<string> = new Set<string>([
  ErrorCode.AuthorizationViolation, ErrorCode.AuthenticationExpired, ErrorCode.AccountExpired,
  ErrorCode.BadAuthentication, ErrorCode.BadCreds, ErrorCode.Tls,
  ErrorCode.ServerOptionNotAvailable, ErrorCode.InvalidOption,
])

/** OpenSSL's verdicts on a certificate, as Node spells them. */
const distrust = /^(ERR_TLS|ERR_SSL|ERR_OSSL|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|CERT_)/

function connectError(error: unknown, server: string): BusConnectError {
  if (error instanceof BusConnectError) return error
  const code = (error as Partial<NatsError> | null)?.code ?? ''
  const why = error instanceof Error && error.message ? error.message : code || String(error)
  const retryable = !refusals.has(code) && !distrust.test(code)
  const hint = code === ErrorCode.AuthorizationViolation
    ? 'the server refuses these credentials' : why
  return new BusConnectError(`cannot connect to NATS at ${redact(server)}: ${hint}`,
    retryable, error)
}

function redact(server: string): string {
  return server.replace(/\/\/[^@/]*@/, '//***@')
}
