/** The broker of a cluster on this machine: a private nats-server, or one that runs already. */
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { NatsOptions } from './bus/options.js'
import type { ClusterOptions } from './cluster.js'
import {
  freePort, natsServerConfig, passwordVariable, roles, startNatsServer,
} from './natsServer.js'
import { readAuthFile } from './settings.js'

export interface Broker {
  /** Without credentials. */
  readonly url: string
  /** For an operator. */
  readonly nats: NatsOptions
  /** Credentials for the nodes. */
  readonly env: Readonly<Record<string, string>>
  /** null: not ours. */
  readonly pid: number | null
  readonly authFile: string | null
  /** Resolves with the cause when our broker has ended; null: not ours. */
  readonly exited: Promise<string> | null
  stop(): Promise<void>
  kill(): Promise<void>
}

/** No port to listen on. */
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
  const server = await startNatsServer({
    port, storeDir, env: { ...options.env, ...passwords },
    config: natsServerConfig({ auth: options.auth, port, storeDir }),
    logFile: join(options.data, 'logs', 'nats.log'),
  })
  if (server.port !== wanted && wanted !== 0) {
    options.tell(`Port ${wanted} is in use: NATS listens on ${server.port}.`)
  }
  return {
    url: server.url,
    nats: { servers: server.url, ...(authFile ? readAuthFile(authFile, 'operator') : {}) },
    env: authFile ? environmentOf({ servers: server.url, ...readAuthFile(authFile, 'node') }) : {},
    pid: server.pid,
    authFile,
    exited: server.exited,
    stop: () => server.stop(),
    kill: async () => {
      server.kill('SIGKILL')
      await server.exited
    },
  }
}

function foreignBroker(nats: NatsOptions): Broker {
  return {
    url: nats.servers, nats, env: environmentOf(nats), pid: null, authFile: null,
    exited: null,
    stop: async () => {}, kill: async () => {},
  }
}

/** As `engram node` reads it. The URL goes on the command line, where it holds no secret. */
function environmentOf(nats: NatsOptions): Record<string, string> {
  const { user, password, token, credsFile, tls } = nats
  return Object.fromEntries(Object.entries({
    ENGRAM_NATS_USER: user, ENGRAM_NATS_PASSWORD: password, ENGRAM_NATS_TOKEN: token,
    ENGRAM_NATS_CREDS: credsFile, ENGRAM_NATS_CA: tls?.caFile, ENGRAM_NATS_CERT: tls?.certFile,
    ENGRAM_NATS_KEY: tls?.keyFile,
  }).filter((entry): entry is [string, string] => entry[1] !== undefined))
}

/** Kept over restarts, so that what clients were given stays valid. */
function passwordFile(data: string): string {
  const path = join(data, 'nats.env')
  if (!existsSync(path)) {
    const lines = roles.map((role) =>
      `${passwordVariable(role)}=${randomBytes(24).toString('base64url')}\n`)
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
