/** The socket below a connection of the nats package, which does not show it in public. */
import { Socket } from 'node:net'
import type { NatsConnection } from 'nats'

/**
 * Bytes read before the event loop turns. libuv reads a socket up to 32 times in a row, 64 KiB
 * each, and the package handles each piece at once: 20,000 small requests, and no timer in between.
 */
const intakeBytesMax = 64 * 1024

/** undefined where the package keeps it elsewhere (its version is pinned). */
export function socketOf(connection: NatsConnection): Socket | undefined {
  const { protocol } = connection as { protocol?: { transport?: { socket?: unknown } } }
  const socket = protocol?.transport?.socket
  return socket instanceof Socket ? socket : undefined
}

/** Lets the event loop turn while more comes than it should handle in one go. */
export function limitIntake(socket: Socket): void {
  let bytes = 0
  const nextTurn = (): void => {
    if (bytes >= intakeBytesMax) socket.resume()
    bytes = 0
  }
  socket.on('data', (chunk: Buffer) => {
    if (bytes === 0) setImmediate(nextTurn)
    if (bytes < intakeBytesMax && bytes + chunk.length >= intakeBytesMax) socket.pause()
    bytes += chunk.length
  })
}
