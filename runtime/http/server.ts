/**
 * The small HTTP server of a node: /healthz, /readyz, /metrics, /status, the page. Bound to
 * loopback, it answers only requests that name loopback in their Host header; otherwise a web page
 * could read it through a name of its own that resolves to 127.0.0.1 (DNS rebinding). Bound
 * elsewhere it requires a token (token.ts), which such a page does not have either.
 */
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'

export interface Page {
  readonly status: number
  readonly type: string
  readonly body: string | Uint8Array
  /** Headers besides type and length; they win over `Cache-Control: no-store`. */
  readonly headers?: Readonly<Record<string, string>>
}

/** Makes the page of a path. Returns null if it answers by itself (a stream). */
export type Route = (
  request: IncomingMessage,
  response: ServerResponse,
) => Page | null | Promise<Page | null>

export interface HttpServerOptions {
  /** `host:port`; port 0 picks a free one. An IPv6 host is in brackets. */
  readonly address: string
  /** By exact path. */
  readonly routes: Readonly<Record<string, Route>>
  /** The same for POST. */
  readonly posts?: Readonly<Record<string, Route>>
  /** Called before a route: null lets the request through. */
  readonly guard?: (request: IncomingMessage, path: string) => Page | null
  /** Answers requests that no route takes. */
  readonly fallback?: Route
  /**
   * For WebSockets; the Host header was checked. The socket belongs to the callee from then on: it
   * must end it before `close()`, which waits for it.
   */
  readonly onUpgrade?: (request: IncomingMessage, socket: Duplex, head: Buffer) => void
  /** Called when a route throws; its client gets 500. */
  readonly onError?: (error: unknown, path: string) => void
}

/** Limit of the waiting requests of one connection. */
const pipelinedMax = 1000

export interface HttpServer {
  /** `http://host:port`, with the actual port. */
  readonly url: string
  readonly port: number
  /** Ends streams, too. */
  close(): Promise<void>
}

/** The address cannot be used. Codes of the system: EADDRINUSE, EACCES, EADDRNOTAVAIL … */
export class HttpListenError extends Error {
  constructor(readonly code: string, address: string, cause: unknown) {
    super(code === 'EADDRINUSE' ? `${address} is in use` : `cannot listen on ${address}: ${code}`, {
      cause,
    })
    this.name = 'HttpListenError'
  }
}

/** The text is no `host:port`. */
export class HttpAddressError extends Error {
  readonly code = 'HTTP_ADDRESS'
  constructor(address: string) {
    super(`an address is HOST:PORT, like 127.0.0.1:7432, not ${address}`)
    this.name = 'HttpAddressError'
  }
}

/** @throws HttpAddressError */
export function parseAddress(address: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^\s:[\]/]+)):([0-9]{1,5})$/i.exec(address)
  const port = Number(match?.[3])
  if (!match || port > 65_535) throw new HttpAddressError(address)
  return { host: match[1] ?? match[2] ?? '', port }
}

/** @throws HttpListenError, HttpAddressError */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { host, port } = parseAddress(options.address)
  const loopback = isLoopback(host)
  const server = createServer(
    oneByOne((request, response) => answer(request, response, options, loopback)),
  )
  server.headersTimeout = 10_000
  server.requestTimeout = 15_000
  server.maxHeadersCount = 64
  upgrade(server, options, loopback)
  await listen(server, host, port, options.address)
  const chosen = (server.address() as AddressInfo).port
  const shown = host.includes(':') ? `[${host}]` : host
  return {
    url: `http://${shown}:${chosen}`,
    port: chosen,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/**
 * Hundreds of requests may arrive in one piece. On one connection, each waits until the answer to
 * the one before is sent, and the event loop gets its turn in between. A connection with too many
 * of them is closed.
 */
function oneByOne(
  handle: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
): (request: IncomingMessage, response: ServerResponse) => void {
  const waiting = new WeakMap<Duplex, { last: Promise<void>; count: number }>()
  return (request, response) => {
    const { socket } = request
    const line = waiting.get(socket) ?? { last: Promise.resolve(), count: 0 }
    if (line.count >= pipelinedMax) {
      socket.destroy()
      return
    }
    const { last } = line
    const isFirst = line.count === 0
    const own = async (): Promise<void> => {
      if (!isFirst) {
        await last
        await nextTurn()
      }
      if (socket.destroyed) return
      const sent = new Promise<void>((resolve) => response.once('close', resolve))
      await handle(request, response)
      await sent
      line.count -= 1
    }
    line.count += 1
    line.last = own()
    waiting.set(socket, line)
  }
}

function listen(server: Server, host: string, port: number, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(new HttpListenError(error.code ?? 'UNKNOWN', address, error))
    })
    server.listen({ host, port }, () => {
      server.removeAllListeners('error')
      resolve()
    })
  })
}

/** Without a listener Node treats an upgrade as a plain request. */
function upgrade(
  server: Server,
  { onUpgrade, guard }: HttpServerOptions,
  loopback: boolean,
): void {
  if (!onUpgrade) return
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy())
    const isNamed = !loopback || namesLoopback(request.headers.host)
    if (isNamed && !guard?.(request, pathOf(request))) onUpgrade(request, socket, head)
    else socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n')
  })
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? '/').split('?')[0] ?? '/'
}

/** An address that only this machine reaches. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.[0-9]{1,3}){3}$/.test(host)
}

/** Whether the Host header names loopback; a client of HTTP/1.0 has none. */
function namesLoopback(header: string | undefined): boolean {
  if (header === undefined) return true
  return isLoopback(header.replace(/:[0-9]+$/, '').replace(/^\[(.*)\]$/, '$1').toLowerCase())
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: HttpServerOptions,
  loopback: boolean,
): Promise<void> {
  const path = pathOf(request)
  try {
    if (loopback && !namesLoopback(request.headers.host)) {
      send(request, response, text(403, 'this server answers to loopback names only'))
    } else {
      const page = options.guard?.(request, path)
        ?? await routeOf(request.method, path, options)(request, response)
      if (page) send(request, response, page)
    }
  } catch (error) {
    options.onError?.(error, path)
    if (response.headersSent) response.destroy()
    else send(request, response, text(500, 'internal error'))
  }
}

function routeOf(
  method: string | undefined,
  path: string,
  { routes, posts = {}, fallback }: HttpServerOptions,
): Route {
  const own = (of: Readonly<Record<string, Route>>): Route | undefined =>
    Object.hasOwn(of, path) ? of[path] : undefined
  const isPost = method === 'POST'
  if (!isPost && method !== 'GET' && method !== 'HEAD') return refusal('GET, HEAD')
  const route = own(isPost ? posts : routes)
  if (route) return route
  if (own(isPost ? routes : posts)) return refusal(isPost ? 'GET, HEAD' : 'POST')
  if (isPost) return refusal('GET, HEAD')
  return fallback
    ?? (() => text(404, `nothing here; there is ${Object.keys(routes).join(', ')}`))
}

function refusal(allowed: string): Route {
  return (_, response) => {
    response.setHeader('Allow', allowed)
    return text(405, `only ${allowed.replace(', ', ' and ')}`)
  }
}

function send(request: IncomingMessage, response: ServerResponse, page: Page): void {
  const body = typeof page.body === 'string' ? Buffer.from(page.body) : page.body
  response.writeHead(page.status, {
    'Content-Type': page.type,
    'Content-Length': body.length,
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    ...page.headers,
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}

export function text(status: number, line: string): Page {
  return { status, type: 'text/plain; charset=utf-8', body: `${line}\n` }
}

export function json(status: number, value: unknown): Page {
  return { status, type: 'application/json', body: `${JSON.stringify(value)}\n` }
}
