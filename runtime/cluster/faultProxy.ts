/** A TCP proxy between one node and the broker, which can be stalled or cut. */
import { createConnection, createServer } from 'node:net'
import type { Server, Socket } from 'node:net'

export class Link {
  readonly #pairs = new Set<readonly [Socket, Socket]>()
  #isStalled = false
  #isCut = false

  private constructor(readonly server: Server, readonly port: number) {}

  /** Listens on a free port of 127.0.0.1. Rejects if it cannot. */
  static open(brokerUrl: string): Promise<Link> {
    const target = Number(new URL(brokerUrl).port)
    return new Promise((resolve, reject) => {
      const server = createServer({ allowHalfOpen: false })
      server.once('error', reject)
      server.listen(0, '127.0.0.1', () => {
        const address = server.address()
        const link = new Link(server, typeof address === 'object' && address ? address.port : 0)
        server.on('connection', (near) => link.#join(near, target))
        resolve(link)
      })
    })
  }

  /** Given to the node in place of the broker's URL. */
  get url(): string {
    return `nats://127.0.0.1:${this.port}`
  }

  #join(near: Socket, target: number): void {
    if (this.#isCut) {
      near.destroy()
      return
    }
    const far = createConnection({ host: '127.0.0.1', port: target, noDelay: true })
    near.setNoDelay(true)
    const pair = [near, far] as const
    this.#pairs.add(pair)
    for (const [from, to] of [[near, far], [far, near]] as const) {
      from.on('data', (data) => {
        // Propagate backpressure: do not buffer for a slow reader.
        if (!to.write(data)) from.pause()
      })
      to.on('drain', () => {
        if (!this.#isStalled) from.resume()
      })
      from.on('error', () => undefined)
      from.on('close', () => {
        to.destroy()
        this.#pairs.delete(pair)
      })
      if (this.#isStalled) from.pause()
    }
  }

  /** Passes nothing any more; both ends keep their connection. */
  stall(): void {
    this.#isStalled = true
    for (const [near, far] of this.#pairs) {
      near.pause()
      far.pause()
    }
  }

  /** Ends the connections, loses bytes under way, and refuses new connections. */
  cut(): void {
    this.#isCut = true
    for (const [near, far] of this.#pairs) {
      reset(near)
      reset(far)
    }
  }

  /** Undoes both: passes the stalled bytes, and accepts new connections. */
  heal(): void {
    this.#isStalled = false
    this.#isCut = false
    for (const [near, far] of this.#pairs) {
      near.resume()
      far.resume()
    }
  }

  /** Ends its connections, and stops listening. */
  close(): void {
    this.cut()
    this.server.close()
  }
}

/**
 * libuv refuses to reset a socket whose shutdown is under way, and Node then never closes it: this
 * process would spin at its end, waiting for that handle.
 */
function reset(socket: Socket): void {
  if (socket.connecting || socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}
