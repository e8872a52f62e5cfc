/** The client's NATS connection: unlike a node's, it reconnects by itself. */
import { connect as natsConnect } from 'nats'
import type { NatsConnection } from 'nats'
import { connectionOptions, serverList } from '../bus/options.js'
import type { NatsOptions } from '../bus/options.js'
import { ConnectError } from './errors.js'

/**
 * Opens a connection that is re-dialled for ever after.
 * @throws ConnectError when the first attempt fails
 */
export async function openConnection(options: NatsOptions): Promise<NatsConnection> {
  const servers = serverList(options)
  try {
    return await natsConnect({
      ...connectionOptions({ name: 'engram-client', ...options }, servers[0] ?? ''),
      servers,
      ignoreClusterUpdates: false,
      reconnect: true,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 100,
      reconnectJitter: 100,
      // A half-open connection is noticed after two of these; the default takes minutes.
      pingInterval: options.pingIntervalMs ?? 2000,
    })
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    const shown = options.servers.replaceAll(/\/\/[^@/,]*@/g, '//***@')
    throw new ConnectError(`cannot connect to NATS at ${shown}: ${why}`, error)
  }
}
