/** A nats-server as a child of this process: for `engram up`, the tests and the benchmarks. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { accessSync, closeSync, constants, mkdirSync, openSync, readFileSync,
  writeFileSync } from 'node:fs'
import { createConnection, createServer } from 'node:net'
import { delimiter, join } from 'node:path'
import { passwordVariable, roles } from '../bus/roles.js'
import { repositoryFile } from '../system/paths.js'

export interface NatsServerOptions {
  /** Text of the configuration; default `natsServerConfig` without authorization. */
  readonly config?: string
  /** If busy, the next free one is used; 0, the default, takes any free one. */
  readonly port?: number
  /** Holds JetStream's files and the configuration; created if it does not exist. */
  readonly storeDir: string
  /** Added to the environment of this process; missing passwords are generated. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Default: `nats-server.log` in `storeDir`; appended to. */
  readonly logFile?: string
  /** Default: found in PATH and the usual places. */
  readonly command?: string
  /** Default 10,000. */
  readonly startTimeoutMs?: number
}

export interface NatsServer {
  readonly url: string
  readonly port: number
  readonly pid: number
  readonly logFile: string
  /** Resolves when the process has ended, for whatever cause; text for a log. */
  readonly exited: Promise<string>
  /** Ends it, by force after 5 s; resolves once it has ended. May be called again. */
  stop(): Promise<void>
  kill(signal: NodeJS.Signals): void
}

/** NATS_SERVER_MISSING: not installed; NATS_SERVER_FAILED: the message has its last lines. */
export class NatsServerError extends Error {
  constructor(readonly code: 'NATS_SERVER_MISSING' | 'NATS_SERVER_FAILED', message: string) {
    super(message)
    this.name = 'NatsServerError'
  }
}

/**
 * nats.conf with this server's own port and directory. A later setting replaces an earlier one, so
 * differences are appended. Without `auth`, everybody on this machine may connect, under any name
 * and with every permission.
 */
export function natsServerConfig(options: {
  readonly auth: boolean
  readonly port?: number
  readonly storeDir: string
  /** Default: the repository's nats.conf. */
  readonly base?: string
}): string {
  const base = options.base ?? readFileSync(repositoryFile('nats.conf'), 'utf8')
  const store = quoted(options.storeDir)
  return [
    base.trimEnd(),
    '',
    '# ---- this server; the settings above with the same name do not count ----',
    `listen: "127.0.0.1:${options.port ?? 4222}"`,
    `jetstream { store_dir: ${store}, max_memory_store: 64MB, max_file_store: 10GB }`,
    ...(options.auth ? [] : ['authorization {}']),
    '',
  ].join('\n')
}

/** Path of nats-server, or an error that says how to install it here. */
export function findNatsServer(
  env: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const given = env['ENGRAM_NATS_SERVER']
  if (given) return given
  const usual = ['/usr/sbin', '/usr/local/sbin', '/usr/local/bin', '/opt/homebrew/bin']
  const places = [...(env['PATH'] ?? '').split(delimiter).filter(Boolean), ...usual]
  const names = process.platform === 'win32' ? ['nats-server.exe'] : ['nats-server']
  for (const place of places) {
    for (const name of names) if (executable(join(place, name))) return join(place, name)
  }
  throw new NatsServerError('NATS_SERVER_MISSING',
    `nats-server was not found in PATH. ${installHint()} Or give a running one with --nats URL.`)
}

/** The command that installs it on this system. */
export function installHint(
  platform: NodeJS.Platform = process.platform,
  release: string = osRelease(),
): string {
  if (platform === 'darwin') return 'Install it with: brew install nats-server.'
  if (platform === 'linux' && /^ID(_LIKE)?=.*(debian|ubuntu)/m.test(release)) {
    return 'Install it with: apt-get update && apt-get install -y nats-server (as root).'
  }
  return 'Install it from the releases page of the nats-server project (nats-io on GitHub), '
    + 'and put the binary into a directory of PATH.'
}

/**
 * Starts a nats-server on 127.0.0.1 and waits until it greets with JetStream on.
 *
 * It lives no longer than this process. It is ended by `stop()`, when this process exits, and by a
 * small watching shell that notices the closed pipe when this process is killed (SIGKILL too). Only
 * if there is no `sh` does a SIGKILL of this process leave it behind. It has a process group of its
 * own, so that Ctrl-C lets the nodes hand over before the broker goes.
 * @throws NatsServerError
 */
export async function startNatsServer(options: NatsServerOptions): Promise<NatsServer> {
  const command = options.command ?? findNatsServer({ ...process.env, ...options.env })
  mkdirSync(options.storeDir, { recursive: true, mode: 0o700 })
  const port = await freePort(options.port ?? 0)
  const config = options.config ?? natsServerConfig({ auth: false, storeDir: options.storeDir })
  const configFile = join(options.storeDir, 'nats-server.conf')
  writeFileSync(configFile, config, { mode: 0o600 })
  const logFile = options.logFile ?? join(options.storeDir, 'nats-server.log')
  const server = launch(command, configFile, port, logFile, options)
  try {
    await ready(server, options.startTimeoutMs ?? 10_000)
  } catch (error) {
    await server.stop()
    // Another process took the port between our check and the server's start.
    const busy = /address already in use/.test(tail(logFile))
    if (busy && port < 65_535) return startNatsServer({ ...options, port: port + 1 })
    throw error
  }
  return server
}

function launch(
  command: string,
  configFile: string,
  port: number,
  logFile: string,
  options: NatsServerOptions,
): NatsServer {
  const log = openSync(logFile, 'a', 0o600)
  const args = ['-c', configFile, '-a', '127.0.0.1', '-p', String(port)]
  const child = spawn(command, args, {
    env: environment(options),
    stdio: ['ignore', log, log],
    detached: true,
  })
  closeSync(log)
  const watcher = watch(child.pid)
  const onExit = (): void => signal(child, 'SIGTERM')
  process.once('exit', onExit)
  const exited = new Promise<string>((resolve) => {
    const end = (text: string): void => {
      process.removeListener('exit', onExit)
      watcher?.kill('SIGKILL')
      resolve(text)
    }
    child.once('error', (error) => end(`nats-server could not be started: ${error.message}`))
    child.once('exit', (code, by) =>
      end(
        `nats-server ended ${by ? `by ${by}` : `with code ${code}`}`,
      ))
  })
  return {
    url: `nats://127.0.0.1:${port}`,
    port,
    pid: child.pid ?? -1,
    logFile,
    exited,
    kill: (name) => signal(child, name),
    stop: () => stop(child, exited),
  }
}

async function stop(child: ChildProcess, exited: Promise<string>): Promise<void> {
  signal(child, 'SIGTERM')
  // A paused process takes the signal once it runs again.
  signal(child, 'SIGCONT')
  const timer = setTimeout(() => signal(child, 'SIGKILL'), 5000)
  await exited
  clearTimeout(timer)
}

function signal(child: ChildProcess, name: NodeJS.Signals): void {
  if (child.exitCode === null && child.signalCode === null) child.kill(name)
}

/** Waits for the end of its input, which comes with the end of this process. */
function watch(pid: number | undefined): ChildProcess | null {
  if (pid === undefined || process.platform === 'win32') return null
  const script = 'while read -r _; do :; done; kill -TERM "$1"; kill -CONT "$1"; '
    + 'for i in 1 2 3 4 5; do sleep 1; kill -0 "$1" || exit; done; kill -KILL "$1"'
  const watcher = spawn('sh', ['-c', script, 'engram-nats-watch', String(pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  watcher.on('error', () => {})
  watcher.stdin?.on('error', () => {})
  watcher.unref()
  const pipe = watcher.stdin as unknown as { unref?(): void } | null
  pipe?.unref?.()
  return watcher
}

function environment(options: NatsServerOptions): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, ...options.env }
  env['ENGRAM_NATS_STORE'] = quoted(options.storeDir)
  for (const role of roles) {
    const name = passwordVariable(role)
    env[name] = quoted(unquoted(env[name] ?? '') || randomBytes(24).toString('base64url'))
  }
  return env
}

/** nats-server reads a variable as a configuration value: `12k` would be a number. */
function quoted(text: string): string {
  return `"${text.replace(/[\\"]/g, (special) => `\\${special}`)}"`
}

function unquoted(text: string): string {
  if (!/^".*"$/s.test(text)) return text
  return text.slice(1, -1).replace(/\\([\\"])/g, '$1')
}

async function ready(server: NatsServer, timeoutMs: number): Promise<void> {
  let ended: string | null = null
  void server.exited.then((text) => {
    ended = text
  })
  for (const end = performance.now() + timeoutMs; performance.now() < end;) {
    if (ended !== null) throw failure(`${String(ended)}`, server)
    if (await greets(server.port)) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw failure(`nats-server did not get ready within ${timeoutMs} ms`, server)
}

function failure(what: string, server: NatsServer): NatsServerError {
  return new NatsServerError('NATS_SERVER_FAILED',
    `${what}; see ${server.logFile}:\n${tail(server.logFile)}`)
}

/** The greeting says whether JetStream is on; the server starts it before it listens. */
function greets(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: '127.0.0.1', port })
    let head = ''
    const settle = (result: boolean): void => {
      socket.removeAllListeners()
      socket.on('error', () => {})
      socket.destroy()
      resolve(result)
    }
    socket.setTimeout(1000, () => settle(false))
    socket.on('error', () => settle(false))
    socket.on('close', () => settle(false))
    socket.on('data', (chunk) => {
      head += chunk.toString('latin1')
      if (head.includes('\r\n')) settle(/"jetstream": ?true/.test(head))
    })
  })
}

/** The port, or the next free one above it; any free one for 0. */
export async function freePort(from: number): Promise<number> {
  for (let port = from; port <= Math.min(from + 200, 65_535); port += 1) {
    const found = await listenOnce(port)
    if (found !== null) return found
  }
  throw new NatsServerError('NATS_SERVER_FAILED', `no free port from ${from} on`)
}

function listenOnce(port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(null))
    probe.listen({ host: '127.0.0.1', port, exclusive: true }, () => {
      const address = probe.address()
      const found = typeof address === 'object' && address ? address.port : port
      probe.close(() => resolve(found))
    })
  })
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function osRelease(): string {
  try {
    return readFileSync('/etc/os-release', 'utf8')
  } catch {
    return ''
  }
}

function tail(file: string): string {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-8).join('\n')
  } catch {
    return ''
  }
}
