/** One attempt to connect to one server, with an error that names cause and remedy. */
import { connect as natsConnect } from 'nats'
import type { NatsConnection } from 'nats'
import { checkFiles } from './credentials.js'
import { connectRemedy, faultOf, NatsConnectError } from './faults.js'
import type { ConnectFault, ConnectReason } from './faults.js'
import { greet } from './greeting.js'
import type { Greeting, ServerInfo } from './greeting.js'
import type { NatsOptions } from './natsOptions.js'
import { connectionOptions, natsDefaults } from './options.js'
import { shownName } from './settingNames.js'

/**
 * A connection that does not reconnect.
 * @throws NatsConnectError
 */
export async function dial(options: NatsOptions, server: string): Promise<NatsConnection> {
  let info: ServerInfo | null = null
  try {
    // Faults that can be found without the server come first.
    checkFiles(options)
    info = await greetingOf(options, server)
    return await natsConnect(connectionOptions(withTls(options, info), [server]))
  } catch (error) {
    if (error instanceof NatsConnectError) throw error
    const fault = faultOf(error, options, info)
    throw connectError(server, await refusalBehind(fault, options, server) ?? fault, error)
  }
}

const refusalWithinMs = 200

/** A server that is full greets, and then refuses; the package sees only that the socket ended. */
async function refusalBehind(
  { reason }: ConnectFault,
  options: NatsOptions,
  server: string,
): Promise<ConnectFault | null> {
  if (reason !== 'SERVER_REFUSES') return null
  const timeoutMs = options.connectTimeoutMs ?? natsDefaults.connectTimeoutMs
  const greeting = await greet(server, timeoutMs, refusalWithinMs)
  return greeting.kind === 'refused' ? greetingFault(greeting) : null
}

/**
 * The server's greeting; null: it begins with TLS, and cannot be read without.
 * @throws NatsConnectError
 */
export async function greetingOf(
  options: NatsOptions,
  server: string,
): Promise<ServerInfo | null> {
  if (options.tls?.handshakeFirst) return null
  const timeoutMs = options.connectTimeoutMs ?? natsDefaults.connectTimeoutMs
  const greeting = await greet(server, timeoutMs)
  if (greeting.kind === 'greeted') return greeting.info
  throw connectError(server, greetingFault(greeting), greeting.fault)
}

/** If only the server announced TLS, the package would not check the name in its certificate. */
export function withTls(options: NatsOptions, info: ServerInfo | null): NatsOptions {
  const isTls = info?.tls_required || info?.tls_available
  return isTls ? { ...options, tls: options.tls ?? {} } : options
}

export function connectError(
  server: string,
  fault: ConnectFault,
  cause?: unknown,
): NatsConnectError {
  const shown = server.replace(/\/\/[^@/]*@/, '//***@')
  return new NatsConnectError(shown, fault, connectRemedy(fault, shownName), cause)
}

const reasons = {
  refused: 'SERVER_REFUSES',
  silent: 'UNREACHABLE',
  foreign: 'NOT_NATS',
  unreachable: 'UNREACHABLE',
} as const satisfies Record<Exclude<Greeting['kind'], 'greeted'>, ConnectReason>

function greetingFault(greeting: Exclude<Greeting, { kind: 'greeted' }>): ConnectFault {
  const { kind, fault: { message } } = greeting
  const what = kind === 'silent'
    ? `${message}; one that expects TLS first needs ${shownName('tlsFirst')}`
    : message
  return { reason: reasons[kind], what }
}
