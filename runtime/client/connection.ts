/** The client's NATS connection. Unlike a node's, it reconnects by itself. */
import { connect as natsConnect } from 'nats'
import type { NatsConnection } from 'nats'
import { checkFiles } from '../bus/credentials.js'
import { dial, greetingOf, withTls } from '../bus/dial.js'
import { connectRemedy, faultOf, NatsConnectError } from '../bus/faults.js'
import type { ConnectFault } from '../bus/faults.js'
import type { ServerInfo } from '../bus/greeting.js'
import type { NatsOptions } from '../bus/natsOptions.js'
import { connectionOptions, serverList, shuffled } from '../bus/options.js'
import { ConnectError } from './errors.js'

/**
 * Opens a connection that is re-dialled for ever after.
 * Opens a connection that is dialled again whenever it is lost.
 */
export async function openConnection(given: NatsOptions): Promise<NatsConnection> {
  const options = { name: 'engram-client', ...given }
  const servers = shuffled(serverList(options))
  const { first, info } = await firstThatGreets(options, servers)
  const inOrder = [first, ...servers.filter((server) => server !== first)]
  try {
    return await natsConnect({
      ...connectionOptions(withTls(options, info), inOrder),
      noRandomize: true,
      ignoreClusterUpdates: false,
      reconnect: true,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 100,
      reconnectJitter: 100,
      // Two of these detect a half-open connection; by default that takes minutes.
      pingInterval: options.pingIntervalMs ?? 2000,
    })
  } catch (error) {
    throw await connectError(options, first, info, error)
  }
}

interface Greeted {
  readonly first: string
  readonly info: ServerInfo | null
}

async function firstThatGreets(
  options: NatsOptions,
  servers: readonly string[],
): Promise<Greeted> {
  let last: unknown = new TypeError('no NATS server is given')
  for (const first of servers) {
    try {
      // Faults that can be found without a server come first.
      checkFiles(options)
      return { first, info: await greetingOf(options, first) }
    } catch (error) {
      last = error
    }
  }
  throw await connectError(options, options.servers, null, last)
}

/** The package tries other servers after the first, and reports the last that failed. */
async function connectError(
  options: NatsOptions,
  server: string,
  info: ServerInfo | null,
  error: unknown,
): Promise<ConnectError> {
  const cause = error instanceof NatsConnectError || info === null
    ? error
    : await dial(options, server).then((connection) => connection.close(), (fault: Error) => fault)
      ?? error
  const fault: ConnectFault = cause instanceof NatsConnectError
    ? cause.fault
    : faultOf(cause, options, info)
  const at = cause instanceof NatsConnectError
    ? cause.server
    : options.servers.replaceAll(/\/\/[^@/,]*@/g, '//***@')
  return new ConnectError(`cannot connect to NATS at ${at}: ${fault.what}`, fault,
    connectRemedy(fault, (setting) => optionNames[setting]), cause)
}

/** Names of the settings as a program gives them. */
const optionNames = {
  servers: 'servers',
  user: 'user',
  password: 'password',
  token: 'token',
  credsFile: 'credsFile',
  nkeySeedFile: 'nkeySeedFile',
  caFile: 'tls.caFile',
  certFile: 'tls.certFile',
  keyFile: 'tls.keyFile',
  tlsFirst: 'tls.handshakeFirst',
  inboxPrefix: 'inboxPrefix',
}
