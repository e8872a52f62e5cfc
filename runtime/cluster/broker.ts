/** The broker of a cluster on this machine: a private nats-server, or one that already runs. */
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { NatsOptions } from '../bus/natsOptions.js'
import { passwordVariable, roles } from '../bus/roles.js'
import { natsEnvironment, readAuthFile } from '../config/natsSettings.js'
import type { ClusterOptions, ForeignBroker } from './clusterOptions.js'
import { freePort, natsServerConfig, startNatsServer } from './natsServer.js'
import type { NatsServer } from './natsServer.js'
import { here } from './nodeProcess.js'

export interface Broker {
  /** Has no credentials in it. */
  readonly url: string
  /** With the credentials of an operator. */
  readonly nats: NatsOptions
  /** Credentials for the nodes, as variables; the URL goes on their command line. */
  readonly env: Readonly<Record<string, string>>
  /** Flags of a person's commands that name the credentials. */
  readonly flags: readonly string[]
  /** null: the broker is not ours. */
  readonly pid: number | null
  readonly authFile: string | null
  /** null: the broker is not ours. */
  readonly logFile: string | null
  /** Resolves with the cause when our broker has ended by itself; null: it is not ours. */
  readonly exited: Promise<string> | null
  /**
   * Sends SIGKILL, and starts the same broker again after that time, on the same port and files. A
   * call while another one is under way ends with that one.
   * @throws NatsServerError when it does not come back; Error when it is not ours
   */
  bounce(downMs: number): Promise<void>
  stop(): Promise<void>
  kill(): Promise<void>
}

/** There is no port to listen on. */
export class PortBusyError extends Error {
  readonly code = 'PORT_BUSY'
  constructor(readonly port: number) {
    super(`port ${port} of 127.0.0.1 is in use`)
    this.name = 'PortBusyError'
  }
}

export async function startBroker(options: ClusterOptions): Promise<Broker> {
  if (options.nats) return foreignBroker(options.nats)
  const wanted = options.natsPort
  const port = await freePort(wanted)
  if (port !== wanted && wanted !== 0 && !options.stepOver) throw new PortBusyError(wanted)
  const authFile = options.auth ? passwordFile(options.data) : null
  const passwords = authFile ? passwordsIn(authFile) : {}
  const storeDir = join(options.data, 'nats')
  const launch = (at: number): Promise<NatsServer> =>
    startNatsServer({
      port: at,
      storeDir,
      env: { ...options.env, ...passwords },
      config: natsServerConfig({ auth: options.auth, port: at, storeDir }),
      logFile: join(options.data, 'logs', 'nats.log'),
    })
  const server = await launch(port)
  if (server.port !== wanted && wanted !== 0) {
    options.show(`Port ${wanted} is in use: NATS listens on ${server.port}.`)
  }
  return new PrivateBroker(server, launch, authFile)
}

class PrivateBroker implements Broker {
  readonly url: string
  readonly nats: NatsOptions
  readonly env: Readonly<Record<string, string>>
  readonly exited: Promise<string>
  readonly flags: readonly string[]
  #ended: (how: string) => void = () => {}
  #bouncing: Promise<void> | null = null
  #isStopped = false

  constructor(
    private server: NatsServer,
    private readonly launch: (port: number) => Promise<NatsServer>,
    readonly authFile: string | null,
  ) {
    const { url } = server
    this.url = url
    this.nats = { servers: url, ...(authFile ? readAuthFile(authFile, 'operator') : {}) }
    this.env = natsEnvironment(
      { servers: url, ...(authFile ? readAuthFile(authFile, 'node') : {}) },
    )
    this.flags = authFile ? ['--nats-auth', here(authFile)] : []
    this.exited = new Promise((resolve) => (this.#ended = resolve))
    this.#watch()
  }

  get pid(): number {
    return this.server.pid
  }

  get logFile(): string {
    return this.server.logFile
  }

  bounce(downMs: number): Promise<void> {
    this.#bouncing ??= this.#bounce(downMs).finally(() => (this.#bouncing = null))
    return this.#bouncing
  }

  async #bounce(downMs: number): Promise<void> {
    if (this.#isStopped) return
    try {
      await this.#end()
      await new Promise((resolve) => setTimeout(resolve, downMs))
      if (this.#isStopped) return
      const next = await this.launch(this.server.port)
      if (next.port !== this.server.port || this.#isStopped) {
        await next.stop()
        if (this.#isStopped) return
        throw new PortBusyError(this.server.port)
      }
      this.server = next
      this.#watch()
    } catch (error) {
      this.#ended(`nats-server was killed and could not be started again: ${String(error)}`)
      throw error
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await this.server.stop()
  }

  async kill(): Promise<void> {
    this.#isStopped = true
    await this.#end()
  }

  async #end(): Promise<void> {
    this.server.kill('SIGKILL')
    await this.server.exited
  }

  #watch(): void {
    void this.server.exited.then((how) => {
      if (!this.#bouncing) this.#ended(how)
    })
  }
}

function foreignBroker({ operator, node, flags }: ForeignBroker): Broker {
  return {
    url: operator.servers,
    nats: operator,
    env: natsEnvironment(node),
    flags,
    pid: null,
    authFile: null,
    logFile: null,
    exited: null,
    bounce: () => Promise.reject(new Error('this NATS server was not started here')),
    stop: async () => {},
    kill: async () => {},
  }
}

/** Kept over restarts, so that the credentials of clients stay valid. */
function passwordFile(data: string): string {
  const path = join(data, 'nats.env')
  if (!existsSync(path)) {
    const lines = roles.map((role) =>
      `${passwordVariable(role)}=${randomBytes(24).toString('base64url')}\n`
    )
    writeFileSync(path, lines.join(''), { mode: 0o600, flag: 'wx' })
  }
  return path
}

function passwordsIn(path: string): Record<string, string> {
  return Object.fromEntries(readFileSync(path, 'utf8').split('\n').flatMap((line) => {
    const at = line.indexOf('=')
    return at > 0 ? [[line.slice(0, at), line.slice(at + 1)] as const] : []
  }))
}
