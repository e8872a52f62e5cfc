/** The socket below a connection of the nats package, which has no public access to it. */
import { Socket } from 'node:net'
import type { NatsConnection } from 'nats'

/**
 * Bytes read before the event loop gets its turn. libuv reads a socket up to 32 times in a row, 64
 * KiB each, and the package handles each piece at once: 20,000 small requests without a timer.
 */
const intakeBytesMax = 64 * 1024

/** undefined if the package keeps it elsewhere (its version is pinned). */
export function socketOf(connection: NatsConnection): Socket | undefined {
  const { protocol } = connection as { protocol?: { transport?: { socket?: unknown } } }
  const socket = protocol?.transport?.socket
  return socket instanceof Socket ? socket : undefined
}

/** Gives the event loop a turn when more arrives than should be handled in one go. */
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
