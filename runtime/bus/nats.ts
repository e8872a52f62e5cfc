/**
 * The bus on NATS. One connection is one life: it never reconnects.
 *
 * Outbound: the nats package collects what is published within one turn of the event loop and
 * writes it in a microtask, so a burst costs one system call. `close()` discards unwritten
 * messages: nothing buffered goes out late.
 */
import { BusConnectError } from '../../actors/ports/bus.js'
import type { Bus, BusConnection } from '../../actors/ports/bus.js'
import type { Logger } from '../../actors/ports/system.js'
import { NatsBusConnection } from './connection.js'
import { connectError, dial } from './dial.js'
import type { NatsOptions } from './natsOptions.js'
import { inboxPrefix, natsDefaults, serverList, shuffled } from './options.js'

export type { NatsOptions, TlsOptions } from './natsOptions.js'

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

/**
 * A bus to the first server that greets; servers are tried in random order. `connect()` rejects
 * with BusConnectError. Refused credentials and untrusted certificates are not retryable, most
 * other causes are (`connectReasons`).
 */
export function natsBus(options: NatsOptions, logger: Logger = silent): Bus {
  return { connect: () => connect(options, logger) }
}

async function connect(options: NatsOptions, logger: Logger): Promise<BusConnection> {
  const servers = shuffled(serverList(options))
  if (servers.length === 0) throw new BusConnectError('no NATS server is given', false)
  let last: BusConnectError | null = null
  for (const server of servers) {
    try {
      return await open(options, server, logger)
    } catch (error) {
      if (!(error instanceof BusConnectError)) throw error
      last = error
      if (!last.retryable) break
    }
  }
  throw last ?? new BusConnectError('no NATS server is given', false)
}

async function open(
  options: NatsOptions,
  server: string,
  logger: Logger,
): Promise<BusConnection> {
  const { name = natsDefaults.name } = options
  const prefix = inboxPrefix(options)
  const connection = new NatsBusConnection({
    nats: await dial(options, server),
    inboxPrefix: prefix,
    logger,
    liveness: {
      pingIntervalMs: options.pingIntervalMs ?? natsDefaults.pingIntervalMs,
      maxPingOut: options.maxPingOut ?? natsDefaults.maxPingOut,
    },
    dialSide: () => dial({ ...options, name: `${name}, answers` }, server),
  })
  const hears = await connection.hears().catch((error: unknown) => error as Error)
  if (hears === true) return connection
  await connection.close()
  throw connectError(server, hears === false
    ? { reason: 'FORBIDDEN', what: `these credentials may not subscribe to ${prefix}.>` }
    : { reason: 'FAILED', what: `it was closed again at once (${await connection.closed})` })
}
