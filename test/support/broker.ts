/** A private nats-server with JetStream; killed, paused and started again on the same port. */
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { basename, join } from 'node:path'
import { findNatsServer } from '../../runtime/cluster/natsServer.js'
import { Child } from './child.js'
import { freePort } from './environment.js'
import { Hopeless, waitFor } from './wait.js'

export class Broker {
  #child: Child | null = null

  private constructor(readonly directory: string, readonly port: number) {}

  /**
   * `base`: a configuration to begin with, of which what is given here replaces parts; `more`:
   * further lines. Both are for a server in a cluster.
   */
  static async start(directory: string, base = '', more: readonly string[] = []): Promise<Broker> {
    const broker = new Broker(directory, await freePort())
    mkdirSync(directory, { recursive: true })
    writeFileSync(broker.#configFile, [
      base,
      `server_name: "${broker.name}"`,
      `listen: "127.0.0.1:${broker.port}"`,
      `jetstream { store_dir: "${join(directory, 'jetstream')}" }`,
      ...more,
    ].join('\n'))
    await broker.start()
    return broker
  }

  get name(): string {
    return `engram-test-${basename(this.directory)}`
  }

  get #configFile(): string {
    return join(this.directory, 'nats.conf')
  }

  get logFile(): string {
    return join(this.directory, 'nats.log')
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`
  }

  get pid(): number {
    return this.#child?.pid ?? -1
  }

  async start(): Promise<void> {
    if (this.#child?.exit === null) throw new Error('the broker runs already')
    const child = new Child({
      label: 'nats-server',
      command: findNatsServer(),
      args: ['-c', this.#configFile],
      logFile: this.logFile,
    })
    this.#child = child
    await waitFor(`nats-server to listen on ${this.port}`, async () => {
      if (child.exit) throw new Hopeless(`nats-server did not start:\n${child.logTail(20)}`)
      return await listens(this.port)
    })
  }

  /** Ended without a signal: a panic of the server itself. */
  get hasEnded(): boolean {
    return this.#child !== null && this.#child.exit !== null
  }

  async kill(): Promise<void> {
    await this.#child?.kill()
  }

  pause(): void {
    this.#child?.signal('SIGSTOP')
  }

  resume(): void {
    this.#child?.signal('SIGCONT')
  }

  tail(lines: number): string {
    return this.#child?.logTail(lines) ?? ''
  }

  keepLogs(to: string): void {
    cpSync(this.logFile, join(to, `nats-server-${this.name}.log`))
  }
}

/** True if a NATS server greets on that port of this machine. */
export function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: '127.0.0.1', port })
    const end = (result: boolean): void => {
      socket.destroy()
      resolve(result)
    }
    socket.setTimeout(1000, () => end(false))
    socket.once('error', () => end(false))
    // A proxy before it takes the connection, and closes it while nobody listens behind.
    socket.once('close', () => end(false))
    socket.once('data', (data) => end(data.toString().startsWith('INFO ')))
  })
}
