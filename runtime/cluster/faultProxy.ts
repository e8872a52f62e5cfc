/** A TCP proxy between one node and the broker, which can be stalled or cut. */
import { createConnection, createServer } from 'node:net'
import type { Server, Socket } from 'node:net'

export class Link {
  readonly #pairs = new Set<readonly [Socket, Socket]>()
  #isStalled = false
  #isCut = false

  private constructor(readonly server: Server, readonly port: number) {}

  /** Takes connections on a free port of 127.0.0.1. Rejects when it cannot listen. */
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

  /** For the node, in place of the broker's. */
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
        // Whoever does not read must be seen by who sends: nothing piles up in between.
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

  /** Nothing passes any more, both ends believe in the connection. */
  stall(): void {
    this.#isStalled = true
    for (const [near, far] of this.#pairs) {
      near.pause()
      far.pause()
    }
  }

  /** Connections end, what was under way is lost, new ones are refused. */
  cut(): void {
    this.#isCut = true
    for (const [near, far] of this.#pairs) {
      reset(near)
      reset(far)
    }
  }

  /** Whole again: what was stalled flows, new connections are taken. */
  heal(): void {
    this.#isStalled = false
    this.#isCut = false
    for (const [near, far] of this.#pairs) {
      near.resume()
      far.resume()
    }
  }

  /** Ends what it carries, and listens no more. */
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
