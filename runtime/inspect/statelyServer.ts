/**
 * Serves the cluster's statecharts to Stately's inspector: a page on HTTP and its WebSocket, with
 * one event of the `@statelyai/inspect` protocol per message. `createWebSocketReceiver` of that
 * package can read it.
 *
 * That package's own server is a relay. It listens on all interfaces, checks neither Host nor
 * Origin, and keeps only the latest 200 events, so that a later reader misses most actors.
 */
import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { StatelyInspectionEvent } from '@statelyai/inspect'
import { WebSocketServer } from 'ws'
import type { WebSocket } from 'ws'
import { startHttpServer } from '../http/server.js'
import type { HttpServer } from '../http/server.js'
import { contentSecurityPolicy, statelyPage } from './statelyPage.js'

export interface StatelyServerOptions {
  /** Port on 127.0.0.1. 0 for a free one. */
  readonly port: number
  readonly inspectorUrl?: string
  /** Events that a new reader gets first. */
  readonly greeting: () => StatelyInspectionEvent[]
  readonly limits?: Partial<typeof defaultLimits>
}

export interface StatelyServer {
  readonly url: string
  readonly webSocketUrl: string
  readonly readers: number
  /** Number of events not sent because a reader was too slow. */
  readonly skipped: number
  send(events: readonly StatelyInspectionEvent[]): void
  close(): Promise<void>
}

export const defaultInspectorUrl = 'https://stately.ai/inspect'

const defaultLimits = {
  readers: 8,
  /** Bytes that may wait for a reader. Beyond that it is sent nothing until they are read. */
  waitingBytes: 4 * 1024 * 1024,
  /** Time after which a reader that reads nothing is disconnected. */
  stuckMs: 30_000,
}
type Limits = typeof defaultLimits

/** @throws HttpListenError */
export async function startStatelyServer(options: StatelyServerOptions): Promise<StatelyServer> {
  const limits = { ...defaultLimits, ...options.limits }
  const inspectorUrl = options.inspectorUrl ?? defaultInspectorUrl
  const sockets = new WebSocketServer({ noServer: true, maxPayload: 1024, clientTracking: false })
  const readers = new Set<Reader>()
  let skipped = 0
  const http: HttpServer = await startHttpServer({
    address: `127.0.0.1:${options.port}`,
    routes: {
      '/': (_, response) => {
        const nonce = randomBytes(16).toString('base64')
        response.setHeader('Content-Security-Policy',
          contentSecurityPolicy(inspectorUrl, http.port, nonce))
        const body = statelyPage(inspectorUrl, nonce)
        return { status: 200, type: 'text/html; charset=utf-8', body }
      },
    },
    onUpgrade: (request, socket, head) => {
      if (!isWelcome(request) || readers.size >= limits.readers) {
        socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n')
        return
      }
      sockets.handleUpgrade(request, socket, head, (webSocket) => {
        const reader = new Reader(webSocket, limits, options.greeting, (count) => {
          skipped += count
        })
        readers.add(reader)
        webSocket.once('close', () => readers.delete(reader))
      })
    },
  })
  return {
    url: http.url,
    webSocketUrl: http.url.replace('http:', 'ws:'),
    get readers() {
      return readers.size
    },
    get skipped() {
      return skipped
    },
    send: (events) => {
      if (readers.size === 0 || events.length === 0) return
      const texts = events.map((event) => JSON.stringify(event))
      for (const reader of readers) reader.send(texts)
    },
    close: async () => {
      for (const reader of readers) reader.close()
      await http.close()
    },
  }
}

/** True for a program (no Origin header) and for the server's own page. */
function isWelcome({ headers }: IncomingMessage): boolean {
  return headers.origin === undefined || headers.origin === `http://${headers.host}`
}

class Reader {
  private stuckSinceMs: number | null = null

  constructor(
    private readonly socket: WebSocket,
    private readonly limits: Limits,
    private readonly greeting: () => StatelyInspectionEvent[],
    private readonly onSkipped: (count: number) => void,
  ) {
    // An unhandled error of the socket would end the process. It is closed anyway.
    socket.on('error', () => socket.terminate())
    this.greet()
  }

  send(texts: readonly string[]): void {
    if (this.stuckSinceMs !== null && !this.recovered()) {
      this.onSkipped(texts.length)
      return
    }
    for (const text of texts) this.socket.send(text)
    if (this.socket.bufferedAmount > this.limits.waitingBytes) {
      this.stuckSinceMs = performance.now()
    }
  }

  close(): void {
    this.socket.terminate()
  }

  private recovered(): boolean {
    const { socket, limits } = this
    if (socket.bufferedAmount === 0) {
      this.stuckSinceMs = null
      this.greet()
      return true
    }
    if (performance.now() - (this.stuckSinceMs ?? 0) > limits.stuckMs) socket.terminate()
    return false
  }

  private greet(): void {
    for (const event of this.greeting()) this.socket.send(JSON.stringify(event))
  }
}
